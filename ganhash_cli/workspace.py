"""The workspace: the default places of what the verbs hand on, `ganhash.toml`, and where to keep what can be remade."""

import os
import tomllib
from pathlib import Path
from typing import Any

from ganhash_cli.errors import UsageError

FAKES = Path("fakes")
MODEL = Path("model")
CODES = Path("codes.h5")
SETTINGS = Path("ganhash.toml")


def settings(path: Path = SETTINGS) -> dict[str, Any]:
    """Read `ganhash.toml`: one table a verb, one key an option; an empty dict where there is no such file.

    `[train]` with `bits = 64` is `ganhash train --bits 64`.
    """
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", hint="mend the file, or move it away") from error


def cache() -> Path | None:
    """Return the person's folder for what can be remade, in $XDG_CACHE_HOME or ~/.cache; None without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "ganhash"
    except RuntimeError:
        return None
