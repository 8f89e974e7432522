"""Lets in what comes from the page or from a program of this person, and puts the same headers on every answer."""

from __future__ import annotations

import re
import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganhash_cli.web.refusal import Refused, explain

COOKIE = "ganhash_token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Stands before the application; `hosts` None lets in any name, which a `token` must then make up for."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, token: str | None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._entry(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        try:
            self._require_host(headers)
            _require_own_origin(headers)
            if scope["path"] != "/healthz":
                self._require_token(headers, scope)
        except Refused as refused:
            return explain(refused)
        return None

    def _require_host(self, headers: Headers) -> None:
        """Refuse a name that is not ours: a foreign one can be made to lead here, which makes a page's origin ours."""
        names = headers.getlist("host")
        matched = _HOST.fullmatch(names[0].lower()) if len(names) == 1 else None
        if not matched or (self._hosts is not None and matched[1] not in self._hosts):
            raise Refused(400, "the Host header does not name this server", "use the address that was printed")

    def _require_token(self, headers: Headers, scope: Scope) -> None:
        if self._token is None:
            return
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")  # others may stand there, of any form
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [cookie, bearer if scheme.lower() == "bearer" else "", _in_query(scope)]
        if not any(secrets.compare_digest(each.encode(), self._token.encode()) for each in given):
            hint = "open the address that `ganhash serve` printed, or send the header Authorization: Bearer TOKEN"
            raise Refused(401, "a token is needed", hint, {"WWW-Authenticate": "Bearer"})

    def _entry(self, scope: Scope) -> Response | None:
        """Take the token of the printed address into a cookie, and out of the address."""
        if self._token is None or not _in_query(scope):
            return None
        answer = Response(status_code=303, headers={"Location": "/"})
        answer.set_cookie(COOKIE, self._token, httponly=True, samesite="lax")
        return answer


def _require_own_origin(headers: Headers) -> None:
    """Refuse what the page of another site sends; browsers say so by themselves, and programs say nothing."""
    origin, host = headers.get("origin"), headers["host"].lower()
    foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
    if foreign or (site not in ("none", "same-origin") and mode != "navigate"):
        raise Refused(403, "another site asks", "only the server's own page and programs may ask")


def _in_query(scope: Scope) -> str:
    if scope["path"] != "/":
        return ""
    query: bytes = scope["query_string"]
    return parse_qs(query.decode("latin-1")).get("token", [""])[0]
