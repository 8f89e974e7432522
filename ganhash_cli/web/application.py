"""The addresses of the server: what each takes from a request, and hands to `search.py`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ganhash_cli.web.openapi import describe
from ganhash_cli.web.refusal import Json, Refused, explain
from ganhash_cli.web.search import MOST_PAGE, PAGE, SOME, Search, View
from ganhash_cli.web.turns import Turns
from ganhash_cli.web.uploads import Uploads

Endpoint = Callable[[Request], Awaitable[Response]]

_PAGE = {
    "/": ("index.html", "text/html"),
    "/ganhash.js": ("ganhash.js", "text/javascript"),
    "/ganhash.css": ("ganhash.css", "text/css"),
}
_MOST_PLACE = 999_999_999_999
_MOST_ID = 2**63 - 1


def build(search: Search, turns: Turns, uploads: Uploads) -> Starlette:
    """Return the application; all that `search` does is done in `turns`."""

    async def healthz(request: Request) -> Response:
        return Json({"status": "ok", "waiting": turns.waiting})

    async def openapi(request: Request) -> Response:
        return Json(describe())

    async def about(request: Request) -> Response:
        _parameters(request, ())
        return Json(await turns.take(search.about))

    async def query(request: Request) -> Response:
        view = _view(_parameters(request, _VIEW), search.width)
        async with uploads.reading(request) as content:
            return Json(await turns.take(lambda: search.query(content, view)))

    async def neighbours(request: Request) -> Response:
        given = _parameters(request, (*_VIEW, "code"))
        view = _view(given, search.width)
        return Json(await turns.take(lambda: search.neighbours(given.get("code", ""), view)))

    async def images(request: Request) -> Response:
        given = _parameters(request, ("path", "limit"))
        path = given["path"].encode() if "path" in given else None
        limit = _number("limit", given.get("limit", str(SOME)), 1, MOST_PAGE)
        return Json(await turns.take(lambda: search.images(path, limit)))

    async def thumbnail(request: Request) -> Response:
        codes = _parameters(request, ("codes",)).get("codes")
        row = _number("id", request.path_params["id"], 0, _MOST_ID, "take it from an answer", status=404)
        jpeg = await turns.take(lambda: search.thumbnail(row, codes))
        # With the codes named, the address means one image for ever; it may change on disk all the same.
        kept = "private, max-age=600" if codes else "no-store"
        headers = {"Cache-Control": kept, "Content-Disposition": f'inline; filename="{row}.jpg"'}
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    async def icon(request: Request) -> Response:
        return Response(status_code=204)

    routes = [
        *(_static(address, name, kind) for address, (name, kind) in _PAGE.items()),
        _route("/favicon.ico", icon),
        _route("/healthz", healthz),
        _route("/openapi.json", openapi),
        _route("/api/about", about),
        _route("/api/query", query, "POST"),
        _route("/api/neighbours", neighbours),
        _route("/api/images", images),
        _route("/thumbnail/{id}", thumbnail),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _explained})


def _route(address: str, endpoint: Endpoint, method: str = "GET") -> Route:
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as error:
            return explain(error)

    return Route(address, answered, methods=[method])


def _static(address: str, name: str, kind: str) -> Route:
    """Serve one file of the page, read once: no address leads to any other."""
    content = (files("ganhash_cli.web") / "page" / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return _route(address, endpoint)


async def _explained(request: Request, error: Exception) -> Response:
    return explain(error)


_VIEW = ("offset", "limit", "max_distance", "label")


def _parameters(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of a request; one that nobody knows is refused, since it would do nothing."""
    given = dict(request.query_params)
    if unknown := sorted(set(given) - set(known)):
        raise Refused(400, f"there is no parameter {unknown[0]!r} here", "/openapi.json lists them")
    return given


def _view(given: dict[str, str], bits: int) -> View:
    most = given.get("max_distance")
    return View(
        offset=_number("offset", given.get("offset", "0"), 0, _MOST_PLACE),
        limit=_number("limit", given.get("limit", str(PAGE)), 1, MOST_PAGE),
        max_distance=None if most is None else _number("max_distance", most, 0, bits, "leave it out for no limit"),
        label=given.get("label"),
    )


def _number(name: str, text: str, low: int, high: int, hint: str = "leave it out", *, status: int = 400) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise Refused(status, f"{name}: a whole number from {low:,} to {high:,}, not {text[:40]!r}", hint)
    return int(text)
