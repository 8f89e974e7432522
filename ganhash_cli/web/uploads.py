"""Reads what a request sends, up to a size, within a time, and all requests together within a share of memory."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from ganhash_cli.web.refusal import Refused

MOST_BYTES = 20_000_000
MOST_DECODED = 180_000_000  # bytes of memory that one image may take, so that a small file of many pixels is no weapon
MOST_HELD = 8 * MOST_BYTES
_MOST_DRAINED = 8 * MOST_BYTES
_SECONDS = 30.0
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded", "text/plain")


class Uploads:
    """Counts the bytes that all requests hold at this moment, also while they wait for their turn."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.held = 0
        self._seconds = seconds

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[bytes]:
        """Give the body of a request, whose bytes count as held until the block ends.

        Raises `Refused`: 408 where it does not come in time, 413 where it is too large, 415 where it is a form, and
        429 where other requests hold too much.
        """
        # A form is what a page of somebody else can send without asking first.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FORMS:
            sent = f"curl --data-binary @img.jpg -H 'Content-Type: image/jpeg' {shlex.quote(str(request.url))}"
            raise Refused(415, "the image itself must be sent, not a form", sent)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > _MOST_DRAINED:  # of thousands of digits Python makes no number
            raise _too_large()
        parts: list[bytes] = []
        try:
            await self._receive_in_time(request, parts)
            if not parts:
                raise Refused(400, "nothing was sent", "send an image as the body of the request")
            parts[:] = [b"".join(parts)]  # so that the parts are not held beside the whole
            yield parts[0]
        finally:
            self._drop(parts)

    async def _receive_in_time(self, request: Request, parts: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._receive(request, parts)
        except TimeoutError as error:
            raise Refused(408, f"the image did not come within {self._seconds:.0f} seconds", "send it again") from error

    async def _receive(self, request: Request, parts: list[bytes]) -> None:
        size, busy = 0, False
        async for part in request.stream():
            size += len(part)
            if size > _MOST_DRAINED:
                break
            busy = busy or self.held + len(part) > MOST_HELD
            if busy or size > MOST_BYTES:
                self._drop(parts)  # the rest is read all the same: a client that still sends does not see an answer
            elif part:
                self.held += len(part)
                parts.append(part)
        if size > MOST_BYTES:
            raise _too_large()
        if busy:
            raise Refused(429, "the server is busy with other images", "ask again", {"Retry-After": "1"})

    def _drop(self, parts: list[bytes]) -> None:
        self.held -= sum(map(len, parts))
        parts.clear()


def _too_large() -> Refused:
    return Refused(413, f"the image has more than {MOST_BYTES // 1_000_000} MB", "send a smaller one")
