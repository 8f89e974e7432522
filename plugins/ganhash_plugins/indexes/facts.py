"""The facts of a collection as one text, which its program keeps beside it."""

import json
from collections.abc import Mapping


def text_of(facts: Mapping[str, str]) -> str:
    """Return the text of these facts."""
    return json.dumps(dict(facts))


def facts_in(text: str | None, what: str) -> dict[str, str]:
    """Return the facts of a text; `ValueError` where it is none of ours, which then belongs to `what`."""
    try:
        facts = json.loads(text or "")
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise ValueError(f"there is a {what} that was not made by ganhash", "use another --name")
    return facts
