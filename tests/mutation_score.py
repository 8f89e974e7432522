"""How many mutants of each module its tests have killed: what `make mutants` counts, for docs/reliability.md too.

mutmut breaks one thing in one function at a time and keeps in mutants/ how the tests ended, so that a run that was
stopped goes on. It leaves alone what stands outside functions, and functions under decorators such as
`contextmanager` and `property`.
"""

import json
import sys
from pathlib import Path

from reliability_card import record

KILLED, SURVIVED, UNTESTED = (1, 3), (0,), (5, 33)
"""How a run of the tests ends; anything else is a time limit, which says nothing on a busy machine."""


def scores(folder: Path) -> dict[str, dict[str, int]]:
    """Return for each module how its mutants ended: killed, survived, untested, late, or not tried yet."""
    found = {}
    for file in sorted(folder.rglob("*.py.meta")):
        ends = list(json.loads(file.read_text())["exit_code_by_key"].values())
        kinds = {"killed": KILLED, "survived": SURVIVED, "untested": UNTESTED, "not_tried": (None,)}
        counted = {kind: sum(end in codes for end in ends) for kind, codes in kinds.items()}
        found[file.name.removesuffix(".py.meta")] = counted | {"late": len(ends) - sum(counted.values())}
    return found


def share(score: dict[str, int]) -> float:
    """Return which part of those that were tried was killed; one that no test reaches survives."""
    return score["killed"] / tried(score) if tried(score) else 0.0


def tried(score: dict[str, int]) -> int:
    """Count those whose tests came to an end; one that no test reaches is among them."""
    return score["killed"] + score["survived"] + score["untested"]


def main() -> None:
    found = scores(Path("mutants"))
    for name, score in found.items():
        print(
            f"{name:14}{share(score):6.0%} killed",
            *(f"{count} {kind.replace('_', ' ')}" for kind, count in score.items()),
        )
    record(
        "mutants",
        "one thing broken at a time in what stores, opens and decodes: a test fails",
        modules=len(found),
        mutants=sum(map(tried, found.values())),
        killed=sum(score["killed"] for score in found.values()),
        percent_killed_of_the_weakest_module=round(100 * min(map(share, found.values()))),
    )
    sys.exit(any(share(score) < 0.8 for score in found.values()))


if __name__ == "__main__":
    main()
