"""What a text says of a request, asked of `ganhash serve` in this process: what fuzzing and its regressions share.

The first line is a method and an address, headers follow, and behind an empty line the body, of which every line is
sent by itself. It is asked twice: of a server for this machine, and of one for all that demands a token.
"""

import asyncio
import re
import weakref
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from urllib.parse import unquote

from starlette.types import Message, Scope

from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.web import application, openapi
from ganhash_cli.web.gate import LOOPBACK, Gate
from ganhash_cli.web.live import LiveCodes
from ganhash_cli.web.search import SearchFile
from ganhash_cli.web.turns import Turns
from ganhash_cli.web.uploads import Uploads
from serving import work_in

TOKEN = "kAp4lUhX"
SMALL = {"MOST_BYTES": 2_000, "MOST_HELD": 16_000, "_MOST_DRAINED": 16_000}
"""The limits of a body, which a text of a few kilobytes is to reach."""

PATHS = openapi.describe()["paths"]

SEEDS = [
    b"GET /api/about\nhost: localhost:8080\nauthorization: Bearer " + TOKEN.encode(),
    b"GET /?token=" + TOKEN.encode() + b"\nhost: 127.0.0.1\norigin: http://127.0.0.1\ncookie: ganhash_token=no; a=b",
    b"GET /thumbnail/3?codes=ab\nhost: [::1]:80\nsec-fetch-site: same-origin\ncookie: ganhash_token=" + TOKEN.encode(),
    b"GET /api/neighbours?code=ff0f&limit=3&offset=1&label=red\nhost: localhost\nx-forwarded-host: a.com",
    b"GET /api/images?path=blue/00.png&limit=3\nhost: localhost\nsec-fetch-mode: navigate",
    b"POST /api/query?limit=5\nhost: localhost\ncontent-type: image/png; a=b\ncontent-length: 9\n\nnot\nan\nimage",
    b"POST /api/query\nhost: localhost\ncontent-type: text/plain\norigin: null\nsec-fetch-mode: navigate\n\n"
    + b"x" * 3000,
]


def target(folder: Path) -> Callable[[bytes], None]:
    """Return what asks a text of a server in `folder`; `AssertionError` where the answer is none that is allowed.

    The limits of `uploads` must be the `SMALL` ones.
    """
    with chdir(folder):
        work_in(folder)
        bundle = Bundle.open(folder / "model")
        search = SearchFile(bundle, LiveCodes(folder / "codes.h5", bundle))
    held, runner = Uploads(), asyncio.Runner()
    app = application.build(search, Turns(), held)
    near, far = Gate(app, LOOPBACK, None), Gate(app, None, TOKEN)

    def ask(content: bytes) -> None:
        scope, body = parsed(content)
        for gate in (near, far):
            status = runner.run(_status(gate, scope, body))
            require_allowed(scope, content, sum(map(len, body)), status, demands_token=gate is far)
            assert held.held == 0

    weakref.finalize(ask, runner.close)
    return ask


def parsed(content: bytes) -> tuple[Scope, list[bytes]]:
    """Return what uvicorn would make of a request that a text describes, and the parts of its body."""
    head, _, body = content.partition(b"\n\n")
    line, *lines = head.split(b"\n")
    method, _, address = line.decode("latin-1").partition(" ")
    path, _, query = address.partition("?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (each.partition(b":") for each in lines)]
    scope: Scope = {
        "type": "http",
        "method": method if method in ("GET", "POST", "HEAD", "PUT", "OPTIONS") else "GET",
        "path": unquote("/" + path.lstrip("/")),
        "raw_path": path.encode("latin-1"),
        "root_path": "",
        "query_string": query.encode("latin-1"),
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "http_version": "1.1",
    }
    return scope, body.splitlines(keepends=True)


def require_allowed(scope: Scope, content: bytes, sent: int, status: int, *, demands_token: bool) -> None:
    """Compare a status with what may be answered at all to such a request."""
    given = [(name, value.decode("latin-1").lower()) for name, value in scope["headers"]]
    hosts, origins = ([value for name, value in given if name == wanted] for wanted in (b"host", b"origin"))
    assert status < 500, "a bug"
    described = PATHS.get(re.sub("(?<=^/thumbnail/)[^/]+$", "{id}", scope["path"]), {}).get(scope["method"].lower())
    assert described is None or str(status) in described["responses"], "not described"
    if demands_token:
        assert status >= 400 or TOKEN in unquote(content.decode("latin-1")) or scope["path"] == "/healthz", "no token"
    else:
        assert status == 400 or (len(hosts) == 1 and hosts[0].startswith(tuple(LOOPBACK))), "a foreign host"
    if origins and origins[0].partition("://")[2] not in hosts:
        assert status in (400, 403), "a foreign page"
    assert sent <= SMALL["MOST_BYTES"] or scope["path"] != "/api/query" or status >= 400, "too much"


async def _status(gate: Gate, scope: Scope, body: list[bytes]) -> int:
    waiting, statuses = [*body, b""], list[int]()

    async def receive() -> Message:
        part = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await gate({**scope, "headers": list(scope["headers"])}, receive, send)
    return statuses[0]
