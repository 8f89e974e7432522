"""A function over many items on all processors: results in their order, never far ahead of who takes them."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def threads(root: Path = Path("/")) -> int:
    """Count the processors that this process may use, by its affinity and by what its container grants.

    `root` is where the system's files lie.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, _, period = (root / "sys/fs/cgroup/cpu.max").read_text().partition(" ")
        return min(allowed, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return allowed


def each(function: Callable[[S], T], items: Iterable[S], ahead: int = 2) -> Generator[T, None, None]:
    """Yield `function` of each item in order, at most `ahead` times as many under way as there are processors.

    What it raises is raised here, in the item's turn. Leaving the loop early drops what has not begun.
    """
    most = ahead * threads()
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads())
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Budget:
    """An amount of something that threads share; who asks for more than is left waits until it is given back."""

    def __init__(self, whole: int) -> None:
        self._left = self._whole = whole
        self._changed = Condition()

    @contextmanager
    def taking(self, amount: int) -> Iterator[None]:
        """Hold an amount while the block runs; more than there is counts as all of it."""
        amount = min(amount, self._whole)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
