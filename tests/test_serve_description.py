"""What /openapi.json says of refusals: every operation refused in each way that several share, as described."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.types import Message

from ganhash_cli.web import application, openapi
from ganhash_cli.web.gate import LOOPBACK, Gate
from ganhash_cli.web.search import Search
from ganhash_cli.web.turns import Turns
from ganhash_cli.web.uploads import Uploads
from test_serve_command import described

OPERATIONS = [
    (path, method, operation)
    for path, each in openapi.describe()["paths"].items()
    for method, operation in each.items()
]
WAYS: dict[str, tuple[int, dict[str, str], str]] = {  # status, headers and query
    "foreign host": (400, {"host": "evil.example"}, ""),
    "foreign page": (403, {"origin": "http://evil.example"}, ""),
    "no token": (401, {"authorization": "Bearer another"}, ""),
    "unknown parameter": (400, {}, "x=1"),
    "busy": (429, {}, ""),
}
FREE = ("no token", "unknown parameter", "busy")  # ways in which /healthz is not refused


def ask(method: str, path: str, query: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Ask a server that demands a token and whose queue is full; return the status and the JSON."""
    search = cast(Search, SimpleNamespace(width=16, about=None))  # nothing comes as far as to be computed
    gate = Gate(application.build(search, Turns(most=-1), Uploads()), LOOPBACK, "token")
    given = {"host": "localhost", "authorization": "Bearer token", **headers}
    scope = {
        "type": "http",
        "method": method.upper(),
        "path": path.replace("{id}", "0"),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"an image", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[path for path, _, _ in OPERATIONS])
@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_is_as_described(path: str, method: str, operation: dict[str, Any], way: str) -> None:
    wanted, headers, query = WAYS[way]
    status, content = ask(method, path, query, headers)
    assert status == (200 if path == "/healthz" and way in FREE else wanted), content
    assert str(status) in operation["responses"]
    described(operation["responses"][str(status)]["content"]["application/json"]["schema"], content)


def test_whether_the_server_answers_needs_no_token_and_no_turn() -> None:
    [health] = [operation for path, _, operation in OPERATIONS if path == "/healthz"]
    assert set(health["responses"]) == {"200", "400", "403"}
