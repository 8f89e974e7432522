"""The workspace: the default places of what the verbs hand on, `ganhash.toml`, and where to keep what can be remade."""

import os
import tomllib
from pathlib import Path
from typing import Any

from ganhash_cli.errors import InputError, UsageError

FAKES = Path("fakes")
MODEL = Path("model")
CODES = Path("codes.h5")
SETTINGS = Path("ganhash.toml")
_MOST_BYTES, _MOST_DEPTH = 64 << 10, 8  # of settings: deep nesting overflows the stack of whoever walks it


def settings(path: Path = SETTINGS) -> dict[str, Any]:
    """Read `ganhash.toml`: one table a verb, one key an option; an empty dict where there is no such file.

    `[train]` with `bits = 64` is `ganhash train --bits 64`.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 10} KiB")
        found = tomllib.loads(content.decode())
        _require_shallow(found)
        return found
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", hint="mend the file, or move it away") from error


def _require_shallow(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(_MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ValueError("it is nested too deeply")


def standing() -> list[Path]:
    """Return what stands here of fakes, a model and codes, under their default names; `InputError` for nothing."""
    places = [place for place in (FAKES, MODEL, CODES) if place.exists()]
    if not places:
        raise InputError(
            "there are no fakes, no model and no codes here", hint="name a fakes folder, a model folder or a codes file"
        )
    return places


def cache() -> Path | None:
    """Return the person's folder for what can be remade, in $XDG_CACHE_HOME or ~/.cache; None without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "ganhash"
    except RuntimeError:
        return None
