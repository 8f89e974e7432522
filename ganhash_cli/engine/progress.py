"""`Progress`, the one thing long work yields: how far it is, and what a person may want to know.

A long engine function is a generator, `Work[Result]`: it yields `Progress` and returns its result. Whoever
drives it may throw `errors.Interrupted` into it at a yield; the function then saves its state and lets it pass.
"""

import time
from collections import deque
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

RATE_SECONDS = 10.0


class Rate:
    """How many units a second were done of late: in the last ten seconds, or since it was made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done = 0
        self._marks = deque([(clock(), 0)])

    def after(self, units: int) -> float:
        """Return the rate after `units` more."""
        self._done += units
        now = self._clock()
        while len(self._marks) > 1 and now - self._marks[0][0] > RATE_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        self._marks.append((now, self._done))
        return (self._done - before) / max(now - began, 1e-9)


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
