"""Reads what a request sends, up to a size, within a time, and all requests together within a share of memory."""

from __future__ import annotations

import asyncio
import shlex

from starlette.requests import Request

from ganhash_cli.web.refusal import Refused

MOST_BYTES = 20_000_000
MOST_DECODED = 180_000_000  # bytes of memory that one image may take, so that a small file of many pixels is no weapon
MOST_HELD = 8 * MOST_BYTES
_MOST_DRAINED = 8 * MOST_BYTES
_SECONDS = 30.0
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded", "text/plain")


class Uploads:
    """Counts the bytes that all requests hold at this moment."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.held = 0
        self._seconds = seconds

    async def read(self, request: Request) -> bytes:
        """Return the body of a request.

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
            async with asyncio.timeout(self._seconds):
                await self._receive(request, parts)
        except TimeoutError as error:
            raise Refused(408, f"the image did not come within {self._seconds:.0f} seconds", "send it again") from error
        finally:
            self.held -= sum(map(len, parts))
        if not parts:
            raise Refused(400, "nothing was sent", "send an image as the body of the request")
        return b"".join(parts)

    async def _receive(self, request: Request, parts: list[bytes]) -> None:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > _MOST_DRAINED:
                break
            if size > MOST_BYTES:
                # The rest is read and dropped, since a client that still sends does not see an answer.
                self.held -= sum(map(len, parts))
                parts.clear()
            elif part:
                self.held += len(part)
                parts.append(part)
            if self.held > MOST_HELD:
                raise Refused(429, "the server is busy with other images", "ask again", {"Retry-After": "1"})
        if size > MOST_BYTES:
            raise _too_large()


def _too_large() -> Refused:
    return Refused(413, f"the image has more than {MOST_BYTES // 1_000_000} MB", "send a smaller one")
