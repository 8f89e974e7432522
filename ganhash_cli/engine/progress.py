"""`Progress`, the one thing long work yields: how far it is, and what a person may want to know.

A long engine function is a generator, `Work[Result]`: it yields `Progress` and returns its result. Whoever
drives it may throw `errors.Interrupted` into it at a yield; the function then saves its state and lets it pass.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of one stage; `figures` are named numbers such as a loss."""

    stage: str
    done: float
    total: float
    figures: dict[str, float] = field(default_factory=dict)
    unit: str = ""


Work = Generator[Progress, None, T]


def finish(work: Work[T], seen: Callable[[Progress], object] = lambda _: None) -> T:
    """Drive `work` to its end, hand every `Progress` to `seen`, and return its result.

    >>> def two_steps():
    ...     yield Progress("step", 1, 2)
    ...     yield Progress("step", 2, 2)
    ...     return "done"
    >>> finish(two_steps())
    'done'
    """
    while True:
        try:
            progress = next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        seen(progress)
