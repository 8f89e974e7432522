"""`ganhash.toml`: read where it is, refused with its line where it is broken."""

from pathlib import Path

import pytest

from ganhash_cli.errors import UsageError
from ganhash_cli.workspace import settings


def test_no_file_means_no_settings(tmp_path: Path) -> None:
    assert settings(tmp_path / "ganhash.toml") == {}


def test_a_table_is_a_verb_and_a_key_an_option(tmp_path: Path) -> None:
    file = tmp_path / "ganhash.toml"
    file.write_text("[train]\nbits = 64\n")
    assert settings(file) == {"train": {"bits": 64}}


@pytest.mark.parametrize("content", [b"[train\n", b"[train]\nbackbone = '\xff'\n"])
def test_a_broken_file_is_a_usage_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "ganhash.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"ganhash\.toml: "):
        settings(file)
