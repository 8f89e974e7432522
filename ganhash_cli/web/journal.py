"""Tells of requests, one line each: of those that failed, or of all; never a query, which may hold the token."""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganhash_cli.engine.names import safe

_LONGEST = 200  # characters of a path
FAILED = 400  # the least status of what failed


class Journal:
    """Stands before all else; `tell` takes a line for each request that failed, or with `every` for each."""

    def __init__(self, app: ASGIApp, tell: Callable[[str], None], *, every: bool) -> None:
        self._app, self._tell, self._every = app, tell, every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, and tell of it."""
        status, body = 0, b""

        async def watched(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            if status >= FAILED:
                body += message.get("body", b"")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if self._every or not 0 < status < FAILED:
                self._tell(safe(f"{status or 'no answer:'} {scope['method']} {scope['path'][:_LONGEST]}{_why(body)}"))


def _why(body: bytes) -> str:
    """Return what a refusal says."""
    try:
        return f": {json.loads(body)['error']}"
    except (ValueError, TypeError, KeyError):
        return ""
