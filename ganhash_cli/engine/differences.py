"""In which settings two runs differ, in the words of the options that set them."""

import json
from collections.abc import Mapping
from typing import Any

OF_INPUTS = "on other images, in another order or split, with other fakes or other first weights"
"""What else two trainings differ in, where all settings are equal."""
_SHOWN = 3
_FOLLOWING = {"precision"}  # what is chosen by other settings where nobody chooses
_LETTERS = {"backbone": "-B", "generator": "-G", "loss_options": "-L"}  # that set the options of these


def named(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first settings of `now` that were others `before`, as options; empty where all are equal.

    What `before` does not name counts as equal; it may have been to JSON and back. A setting that only follows from
    others is named where it alone differs.

    >>> named({"bits": 64, "loss": "csq"}, {"bits": 48, "loss": "csq"})
    'with --bits 64, not 48'
    """
    now = json.loads(json.dumps(now))
    changed = [name for name, value in now.items() if before.get(name, value) != value]
    chosen = [name for name in changed if name not in _FOLLOWING] or changed
    if "loss" in chosen:  # another loss has other options
        chosen = [name for name in chosen if name != "loss_options"]
    found = [_said(name, before[name], now[name]) for name in chosen]
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"with {', '.join(found[:_SHOWN])}{more}" if found else ""


def _said(name: str, before: Any, now: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if isinstance(before, bool):
        return f"{option}, not without" if before else f"no {option}"
    if not isinstance(before, dict) or not isinstance(now, dict):
        return f"{option} {_text(before)}, not {_text(now)}"
    if before.get("name") != now.get("name"):
        return f"{option} {_text(before.get('name'))}, not {_text(now.get('name'))}"
    ours, theirs = (each.get("options", {}) if "name" in now else each for each in (now, before))
    changed = [key for key in ours if theirs.get(key) != ours[key]]
    if not changed:
        return f"another version of {option} {now.get('name')}"
    return f"{_LETTERS.get(name, option)} {changed[0]}={_text(theirs.get(changed[0]))}, not {_text(ours[changed[0]])}"


def _text(value: Any) -> str:
    return "left out" if value is None else str(value)
