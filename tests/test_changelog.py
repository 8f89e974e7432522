"""The changelog keeps step with the package."""

import re
from pathlib import Path

from ganhash_cli import __version__


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\] - \d{4}-\d{2}-\d{2}$", changelog, flags=re.MULTILINE)
    assert versions[0] == __version__
