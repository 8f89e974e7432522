"""What a request is refused with: a status, and JSON that says what is wrong and what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.errors import GanhashError, UsageError

_WORDS = {404: "there is nothing at this address", 405: "this address does not take that method"}


class Refused(Exception):
    """A request that gets no answer, by an HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.headers = status, message, hint, headers


class Json(Response):
    """A JSON answer in ASCII, so that any name can stand in it, also one that is not Unicode."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return `content` as compact JSON."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def explain(error: Exception) -> Json:
    """Return what is answered where `error` was raised; anything not raised on purpose is logged as a bug."""
    if isinstance(error, Refused):
        return _answer(error.status, error.message, error.hint, error.headers)
    if isinstance(error, HTTPException):
        hint = "/openapi.json lists all addresses"
        return _answer(error.status_code, _WORDS.get(error.status_code, error.detail), hint, error.headers)
    if isinstance(error, Undecodable):
        return _answer(422, f"this image cannot be read: {error}", "send a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")
    if isinstance(error, GanhashError):
        return _answer(400 if isinstance(error, UsageError) else 503, error.message, error.hint)
    if isinstance(error, MemoryError):
        return _answer(503, "out of memory", "send a smaller image")
    logging.getLogger(__name__).error("this is a bug in ganhash: %s: %s", type(error).__name__, error, exc_info=error)
    return _answer(500, "this is a bug in ganhash; its log says more", "report it")


def _answer(status: int, message: str, hint: str, headers: Mapping[str, str] | None = None) -> Json:
    return Json({"error": message, "hint": hint}, status, headers)
