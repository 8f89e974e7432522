"""The one thread that computes, and the bounded queue before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ganhash_cli.web.refusal import Refused

T = TypeVar("T")

MOST_WAITING = 32  # a browser asks for at most six things at once


class Turns:
    """Computes one thing after the other; what may not be used by two threads is used in this one only."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.waiting = 0
        self._most = most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def take(self, work: Callable[[], T]) -> T:
        """Return what `work` returns once its turn has come; `Refused` (429) where too many wait already."""
        if self.waiting > self._most:
            raise Refused(429, "the server is busy", "ask again in a second", {"Retry-After": "1"})
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """End the thread after what it computes now; whatever still waits is dropped."""
        self._thread.shutdown(cancel_futures=True)
