"""The workspace: the default places of what the verbs hand on, and where to keep what can be remade."""

import os
from pathlib import Path

from ganhash_cli.errors import InputError

FAKES = Path("fakes")
MODEL = Path("model")
CODES = Path("codes.h5")


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
