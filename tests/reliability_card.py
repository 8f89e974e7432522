"""Keeps what the tests of reliability have counted: one JSON file, from which docs/reliability.md is built."""

import json
from pathlib import Path

from filelock import FileLock

CARD = Path(__file__).parents[1] / "build" / "reliability.json"


def record(test: str, what: str = "", **figures: float | str) -> None:
    """Note under the ID of a test what it does, in one line of Markdown, and what it counted.

    Figures of one ID are gathered, the newest of one name wins; so tests that share an ID share a row. A name is
    shown with spaces for its underscores: `record("R1 encode", "SIGKILL at random moments", kills=200, lost=0)`.
    """
    CARD.parent.mkdir(exist_ok=True)
    with FileLock(CARD.with_suffix(".lock")):  # another run may be counting too
        rows = json.loads(CARD.read_text()) if CARD.exists() else {}
        row = rows.get(test, {"what": what})
        rows[test] = row | {"what": what or row["what"]} | figures
        CARD.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
