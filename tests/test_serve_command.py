"""`ganhash serve` from the outside: a real server on loopback, asked over HTTP."""

import asyncio
import contextlib
import http.client
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from ganhash_cli.commands import serve
from ganhash_cli.engine import codes, decoders
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.errors import StorageError
from ganhash_cli.web import application, live, openapi, server, uploads
from ganhash_cli.web.gate import HEADERS
from ganhash_cli.web.search import Search, SearchFile, View
from ganhash_cli.web.turns import MOST_WAITING, Turns
from ganhash_cli.web.uploads import MOST_BYTES, Uploads
from linear_hash import BITS, write_bundle
from pictures import paint
from serving import FIRST, Answer, Served, encode_again, serving, serving_in, work_in
from test_encode_command import Printed, run

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, 36 images and their codes, which the tests of this file share."""
    folder = tmp_path_factory.mktemp("served")
    with contextlib.chdir(folder):
        work_in(folder)
    return folder


@pytest.fixture(scope="module")
def served(workspace: Path) -> Iterator[Served]:
    with contextlib.chdir(workspace), serving() as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Served]:
    """A server and a folder of this test's own, to change."""
    with serving_in(tmp_path) as running:
        yield running


@pytest.fixture
def photo(workspace: Path) -> bytes:
    return (workspace / FIRST).read_bytes()


def png(width: int, height: int) -> bytes:
    """Return a whole 1-bit PNG of any size, small however many pixels it has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def raw(served: Served, *sent: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        for part in sent:
            connection.sendall(part)
        received = b""
        while part := connection.recv(65536):
            received += part
            if b"\r\n\r\n" in received:
                break
        return received


def require_alive(served: Served, photo: bytes) -> None:
    assert served.ask("/api/query", photo).status == 200
    assert served.process.poll() is None


# A query, and what can be asked further.


def test_a_query_finds_what_the_command_finds(
    served: Served, workspace: Path, photo: bytes, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    _, out, _ = run(capsys, "query", str(FIRST), "-k", "36", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    hits = served.ask("/api/query", photo).json["hits"]
    assert [(hit["rank"], hit["distance"], hit["id"], hit["labels"]) for hit in hits] == [
        (each["rank"], each["distance"], each["id"], [each["label"]]) for each in told
    ]
    assert [f"folder/{hit['path']}" for hit in hits] == [each["path"] for each in told]


def test_a_result_is_searched_from_by_its_code(served: Served, photo: bytes) -> None:
    found = served.ask("/api/query", photo).json
    again = served.ask(f"/api/neighbours?code={found['hits'][0]['code']}").json
    assert (again["code"], again["hits"]) == (found["code"], found["hits"])


def test_pages_follow_each_other_without_gap_or_repetition(served: Served, photo: bytes) -> None:
    whole = served.ask("/api/query?limit=36", photo).json
    pages = [served.ask(f"/api/neighbours?code={whole['code']}&limit=7&offset={n}").json for n in range(0, 43, 7)]
    assert [hit for page in pages for hit in page["hits"]] == whole["hits"]
    assert {page["total"] for page in pages} == {36}


def test_the_distance_and_the_label_limit_what_is_found(served: Served, photo: bytes) -> None:
    whole = served.ask("/api/query", photo).json
    found = served.ask("/api/query?max_distance=1&label=blue", photo).json
    wanted = [hit["id"] for hit in whole["hits"] if hit["distance"] <= 1 and hit["labels"] == ["blue"]]
    assert 0 < len(wanted) < 12
    assert ([hit["id"] for hit in found["hits"]], found["total"]) == (wanted, len(wanted))


def test_the_counts_tell_how_many_lie_at_each_distance(served: Served, photo: bytes) -> None:
    found = served.ask("/api/query", photo).json
    distances = [hit["distance"] for hit in found["hits"]]
    assert found["counts"] == [distances.count(distance) for distance in range(BITS + 1)]


def test_a_thumbnail_is_the_image_made_anew(served: Served, photo: bytes) -> None:
    answer = served.ask(served.ask("/api/query", photo).json["hits"][0]["thumbnail"])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    drawn = np.asarray(Image.open(io.BytesIO(answer.body)).resize((32, 32))).astype(int)
    original = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB")).astype(int)
    assert np.abs(drawn - original).mean() < 25


def test_about_tells_what_is_searched(served: Served, workspace: Path) -> None:
    about = served.ask("/api/about").json
    assert (about["images"], about["bits"], about["labels"]) == (36, BITS, ["blue", "green", "red"])
    assert about["fingerprint"] == Bundle.open(workspace / "model").fingerprint


def test_a_path_of_an_answer_is_below_the_root_that_about_tells(served: Served, photo: bytes, workspace: Path) -> None:
    [hit] = served.ask("/api/query?limit=1", photo).json["hits"]
    assert Path(served.ask("/api/about").json["root"], hit["path"]).samefile(workspace / "folder" / hit["path"])


@pytest.mark.parametrize("given", ["-1", str(BITS + 1), "x"])
def test_a_wrong_distance_is_told_the_bits_of_these_codes_and_what_to_do(served: Served, given: str) -> None:
    refused = served.ask(f"/api/neighbours?code=0000&max_distance={given}").json
    assert f"a whole number from 0 to {BITS}," in refused["error"]
    assert refused["hint"] == "leave it out for no limit"


def test_a_label_that_is_none_is_told_those_there_are(served: Served) -> None:
    assert served.ask("/api/neighbours?code=0000&label=pink").json["hint"] == "choose blue, green, red"


@pytest.mark.parametrize(("verbose", "told"), [([], 0), (["-v"], 1), (["-vv"], 2)])
def test_requests_are_told_of_where_that_is_asked_for_without_token_or_escapes(
    verbose: list[str], told: int, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    token = "a-token-of-many-letters"
    with serving(verbose=verbose, environ={"GANHASH_TOKEN": token}) as own:
        assert own.ask(f"/?token={token}").status == 303
        assert own.ask("/%1b%5b31m", Authorization=f"Bearer {token}").status == 404
    lines = [line for line in own.errors.read_text().splitlines() if " GET " in line]
    failed = r"404 GET /\x1b[31m: there is nothing at this address"
    assert lines == ["303 GET /", failed][2 - told :]
    assert token not in own.errors.read_text()


def test_some_images_of_all_the_collection_are_told_of(served: Served, photo: bytes) -> None:
    found = served.ask("/api/images?limit=3").json
    assert [image["path"] for image in found["images"]] == ["blue/00.png", "green/05.png", "red/11.png"]
    [hit] = served.ask("/api/query?limit=1", photo).json["hits"]
    assert found["images"][0] == {name: value for name, value in hit.items() if name not in ("rank", "distance")}
    assert len(served.ask("/api/images?limit=500").json["images"]) == 36


def test_an_image_is_found_by_its_path(served: Served) -> None:
    for image in served.ask("/api/images?limit=36").json["images"]:
        assert served.ask(f"/api/images?path={quote(image['path'])}").json["images"] == [image]


@pytest.mark.parametrize("path", ["", "blue", "blue/00.pn", "blue/00.png0", "zzz", "../folder/blue/00.png", "\0"])
def test_an_image_that_is_not_there_is_404(served: Served, path: str) -> None:
    answer = served.ask(f"/api/images?path={quote(path)}")
    assert (answer.status, "there is no image" in answer.json["error"]) == (404, True)


def test_health_is_told(served: Served) -> None:
    assert served.ask("/healthz").json == {"status": "ok", "waiting": 0}


# What is described.


def described(schema: dict[str, Any], value: Any) -> None:
    """Hold a value to a schema of the description, all of whose words are known here."""
    schemas = openapi.describe()["components"]["schemas"]
    if "$ref" in schema:
        return described(schemas[schema["$ref"].rpartition("/")[2]], value)
    kinds = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list, "object": dict}
    assert isinstance(value, kinds[schema["type"]]), (schema, value)
    if schema["type"] == "integer":
        assert value >= schema["minimum"]
    if schema["type"] == "array":
        for each in value:
            described(schema["items"], each)
    if schema["type"] == "object":
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, each in value.items():
            described(schema["properties"][name], each)
    return None


def test_the_description_names_all_addresses_and_no_others() -> None:
    unseen = {"/", "/ganhash.js", "/ganhash.css", "/favicon.ico", "/openapi.json"}
    search = SearchFile.__new__(SearchFile)  # nothing is asked of it here
    routes = application.build(search, Turns(), Uploads()).routes
    methods = {(route.path, method) for route in routes for method in route.methods - {"HEAD"}}  # type: ignore[attr-defined]  # they are Routes
    paths = openapi.describe()["paths"].items()
    assert {(path, method.upper()) for path, operations in paths for method in operations} == {
        (path, method) for path, method in methods if path not in unseen
    }


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/healthz", "/healthz"),
        ("/api/about", "/api/about"),
        ("/api/neighbours", "/api/neighbours?code=0000"),
        ("/api/images", "/api/images"),
    ],
)
def test_answers_are_as_described(served: Served, path: str, address: str) -> None:
    answer = served.ask(address)
    operation = served.ask("/openapi.json").json["paths"][path]["get"]
    described(operation["responses"]["200"]["content"]["application/json"]["schema"], answer.json)


def test_the_answer_to_an_image_is_as_described(served: Served, photo: bytes) -> None:
    described({"$ref": "/Neighbours"}, served.ask("/api/query", photo).json)


# What is sent wrongly.

BAD_UPLOADS: dict[str, tuple[Any, int, str]] = {
    "text": (lambda photo: b"this is no image", 422, "not an image of a known format"),
    "page": (lambda photo: b"<html><script>alert(1)</script></html>", 422, "not an image of a known format"),
    "bomb": (lambda photo: png(20_000, 20_000), 422, "more than 64 megapixels"),
    "cut off": (lambda photo: photo[: len(photo) // 2], 422, "cannot be decoded"),
    "nothing": (lambda photo: b"", 400, "nothing was sent"),
    "100 MB": (lambda photo: bytes(100_000_000), 413, "more than 20 MB"),
    "endless": (lambda photo: iter([bytes(1_000_000)] * 400), 413, "more than 20 MB"),
}


@pytest.mark.parametrize("kind", BAD_UPLOADS)
def test_a_bad_upload_is_answered_and_the_server_lives_on(served: Served, photo: bytes, kind: str) -> None:
    make, status, reason = BAD_UPLOADS[kind]
    try:
        answer = served.ask("/api/query", make(photo), method="POST")
    except ConnectionError:  # what goes on sending for ever is not read for ever
        assert kind == "endless"
    else:
        described({"$ref": "/Error"}, answer.json)
        assert (answer.status, reason in answer.json["error"]) == (status, True), answer.body
    require_alive(served, photo)


def test_memory_is_given_back_after_large_uploads(served: Served, photo: bytes) -> None:
    status = Path(f"/proc/{served.process.pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc here to read the memory from")

    def peak() -> int:
        return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")))

    before = peak()
    for body in (bytes(100_000_000), bytes(MOST_BYTES), png(20_000, 20_000)):
        assert served.ask("/api/query", body).status in (413, 422)
    assert peak() - before < 200_000, "kB"


def test_an_upload_that_takes_too_long_is_given_up(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG of 0.3 MB that holds one scan 8,000 times would keep the one thread that computes busy for a minute."""
    within_a_second = "from ganhash_cli.engine import decoders; decoders.SECONDS = 1; decoders.serve()"
    monkeypatch.setattr(decoders, "_CHILD", within_a_second)
    bundle = Bundle.open(workspace / "model")
    with contextlib.closing(live.LiveCodes(workspace / "codes.h5", bundle)) as held:
        search = SearchFile(bundle, held)
        started = time.monotonic()
        with pytest.raises(Undecodable, match="cannot be decoded within 30 s"):
            search.query(repeating(8_000), View())
        assert time.monotonic() - started < 15
        assert search.query((workspace / FIRST).read_bytes(), View())["hits"][0]["distance"] == 0


def repeating(scans: int) -> bytes:
    """Return a grey progressive JPEG of 4400x4400 in which the last scan comes so many times more."""
    file = io.BytesIO()
    Image.new("L", (4400, 4400)).save(file, "JPEG", progressive=True)
    content = file.getvalue()[: -len(b"\xff\xd9")]
    return content + scans * content[content.rindex(b"\xff\xda") :] + b"\xff\xd9"


def test_a_client_that_goes_while_it_sends_does_no_harm(served: Served, photo: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        head = f"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}\r\n\r\n"
        connection.sendall(head.encode() + photo[:100])
    require_alive(served, photo)
    assert "bug" not in served.errors.read_text()


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"])
def test_a_form_is_refused(served: Served, photo: bytes, kind: str) -> None:
    answer = served.ask("/api/query", photo, content_type=kind)
    assert (answer.status, "not a form" in answer.json["error"]) == (415, True)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_what_a_form_is_told_to_send_instead_is_answered(
    served: Served, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("img.jpg").write_bytes(photo)
    address = f"{served.url}api/query?limit=1&max_distance=9"
    refused = subprocess.run(["curl", "-s", "--data-binary", "@img.jpg", address], stdout=subprocess.PIPE, check=True)
    told = json.loads(refused.stdout)["hint"]
    answered = subprocess.run(["bash", "-c", told], capture_output=True, check=True)
    assert [hit["path"] for hit in json.loads(answered.stdout)["hits"]] == ["blue/00.png"]


@pytest.mark.parametrize(
    "parameters",
    [
        *("limit=0", "limit=501", "limit=x", "limit=-1", "offset=1e3", f"offset={'9' * 5000}", "offset=\u0661"),
        *("max_distance=-1", "max_distance=", "label=purple", "label=%00", "limt=3", "code=00000", "code=0001"),
        *("code=zzzz", "code=00 00", "code="),
    ],
)
def test_a_wrong_parameter_is_named(served: Served, parameters: str) -> None:
    code = "" if "code" in parameters else "code=0000&"
    answer = served.ask(f"/api/neighbours?{code}{quote(parameters, safe='=%&')}")
    described({"$ref": "/Error"}, answer.json)
    assert (answer.status, bool(answer.json["error"])) == (400, True), answer.body


def test_heaps_of_parameters_and_ranges_are_answered_soon(served: Served, photo: bytes) -> None:
    started = time.monotonic()
    assert served.ask("/api/about?" + "&".join(f"p{n}=1" for n in range(5_000))).status == 400
    ranges = "bytes=" + ",".join(f"{n}-{n}" for n in range(5_000))
    assert served.ask("/thumbnail/0", Range=ranges).status == 200
    line = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n"
    with contextlib.suppress(ConnectionError):
        assert raw(served, line).startswith(b"HTTP/1.1 400")
    assert time.monotonic() - started < 5
    require_alive(served, photo)


# Who may ask.


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:80", "localhost:evil"),
        *("localhost@evil.example", "localhost:80:80", "", "0.0.0.0", "[::ffff:127.0.0.1]", "localhost/"),
    ],
)
@pytest.mark.parametrize("address", ["/", "/healthz", "/api/about", "/thumbnail/0"])
def test_a_foreign_host_is_refused(served: Served, host: str, address: str) -> None:
    answer = raw(served, f"GET {address} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400"), answer


@pytest.mark.parametrize("lines", ["", "Host: localhost\r\nHost: evil.example\r\n", "X-Forwarded-Host: localhost\r\n"])
def test_a_host_that_is_missing_or_named_twice_is_refused(served: Served, lines: str) -> None:
    for version in ("1.0", "1.1"):
        answer = raw(served, f"GET /healthz HTTP/{version}\r\n{lines}Connection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 400"), answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:8000"])
def test_a_host_that_is_this_machine_is_let_in_through_any_port(served: Served, host: str) -> None:
    answer = raw(served, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200"), answer


@pytest.mark.parametrize(
    "headers",
    [
        *({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}),
        *({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),
    ],
)
def test_the_page_of_another_site_is_refused(served: Served, photo: bytes, headers: dict[str, str]) -> None:
    for address, body in (("/api/query", photo), ("/api/about", None), ("/thumbnail/0", None)):
        assert served.ask(address, body, **headers).status == 403
    own = f"http://127.0.0.1:{served.port}"
    assert served.ask("/api/query", photo, Origin=own, Sec_Fetch_Site="same-origin").status == 200


def test_every_answer_has_the_headers_and_none_opens_to_other_sites(served: Served, photo: bytes) -> None:
    addresses = ["/", "/ganhash.js", "/healthz", "/api/about", "/thumbnail/0", "/thumbnail/99", "/nothing"]
    answers = [
        *map(served.ask, addresses),
        served.ask("/api/query", photo),
        served.ask("/healthz", Host="evil.example"),
    ]
    for answer in answers:
        missing = {name for name in HEADERS if name.lower() not in answer.headers}
        assert missing == set()
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_another_host_demands_a_token(workspace: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes) -> None:
    monkeypatch.chdir(workspace)
    with serving("--host", "0.0.0.0") as served:
        entry = served.url[served.url.index("?") :]
        local = Served(served.process, f"http://127.0.0.1:{served.port}/", served.errors)
        assert len(entry) > 30
        refused = [local.ask("/"), local.ask("/api/query", photo), local.ask("/?token=wrong")]
        assert {answer.status for answer in refused} == {401}
        assert local.ask("/healthz").status == 200
        entered = local.ask(f"/{entry}")
        assert (entered.status, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
        assert local.ask("/", Cookie=cookie.partition(";")[0]).status == 200
        assert local.ask("/api/query", photo, Authorization=f"Bearer {entry.partition('=')[2]}").status == 200


def test_a_token_of_the_person_is_used_and_not_printed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    monkeypatch.chdir(workspace)
    with serving(environ={serve.TOKEN: TOKEN}) as served:
        assert TOKEN not in served.url
        assert served.ask("/api/query", photo, Authorization=f"Bearer {TOKEN}").status == 200
        assert served.ask("/api/query", photo, Authorization=f"Bearer {TOKEN}x").status == 401
    assert TOKEN not in Path("serve.stderr").read_text()


def test_a_token_that_can_be_guessed_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv(serve.TOKEN, "secret")
    code, _, error = run(capsys, "serve", "--port", "0")
    assert (code, "can be guessed" in error, "secret" in error) == (2, True, False)


@pytest.mark.parametrize("token", ["pässwörter-sind-lang", "a-token-of-two\nlines-or-more"])
def test_a_token_that_no_header_carries_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, token: str
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv(serve.TOKEN, token)
    code, _, error = run(capsys, "serve", "no.h5", "--port", "0")
    assert (code, "no client can send" in error, "ASCII" in error, token in error) == (2, True, True, False)


def test_it_listens_on_loopback_only_unless_told(served: Served) -> None:
    assert served.url == f"http://127.0.0.1:{served.port}/"
    outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with outside:
        try:
            outside.connect(("192.0.2.1", 9))  # sends nothing; tells the address that leads outside
        except OSError:
            pytest.skip("this machine has no other address than loopback")
        own = outside.getsockname()[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, served.port), timeout=5).close()


@pytest.mark.parametrize(
    ("host", "only"),
    [
        *(("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False)),
        *(("192.168.0.7", False), ("example.org", False), ("::", False)),
    ],
)
def test_what_is_loopback_is_known(host: str, only: bool) -> None:
    assert server.is_loopback(host) is only


# Images by id, never by path.

STEPS = [
    "..",
    "%2e%2e",
    "%252e%252e",
    "..%2f",
    "..%5c",
    "..\\",
    "%c0%ae%c0%ae",
    "....//",
    "%00",
    "file:",
    "//",
    "\\\\x\\y",
]
ENDS = ["canary.png", "etc/passwd", "blue%2f00.png", "canary.png%00.jpg"]


def test_no_path_leads_to_a_file(served: Served, workspace: Path) -> None:
    paint(workspace / "canary.png", (1, 2, 3), seed=1)
    canary = (workspace / "canary.png").read_bytes()
    absolute = quote(str(workspace / "canary.png"), safe="")
    tails = [absolute, *(f"{step}/" * depth + end for step in STEPS for depth in (1, 4) for end in ENDS)]
    addresses = [f"{start}{tail}" for start in ("/", "/thumbnail/", "/api/", "/thumbnail/0/") for tail in tails]
    addresses += [f"/thumbnail/{row}" for row in ("-1", "36", "1e1", "0x1", "1.0", "٣", "%F0%9F%98%80", "9" * 5000)]
    assert len(addresses) > 350
    for address in addresses:
        answer = raw(served, f"GET {quote(address, safe='/%:')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 400"), (address, answer)
        assert canary[:40] not in answer


def test_an_image_that_has_gone_is_told_of(own: Served) -> None:
    FIRST.unlink()
    answer = own.ask("/thumbnail/0")
    assert (answer.status, "blue/00.png is missing" in answer.json["error"]) == (410, True)


def test_an_image_that_changed_is_not_shown_under_its_old_code(own: Served) -> None:
    content = FIRST.read_bytes()
    assert own.ask("/thumbnail/0").status == 200
    FIRST.write_bytes(Path("folder/red/00.png").read_bytes())
    answer = own.ask("/thumbnail/0")
    assert (answer.status, answer.json["error"]) == (410, "blue/00.png changed since it was encoded")
    FIRST.write_bytes(content)  # with another time, as a copy has
    assert own.ask("/thumbnail/0").status == 200


def test_an_image_that_cannot_be_read_is_told_of(own: Served) -> None:
    found = FIRST.stat()
    FIRST.write_bytes(b"no image".ljust(found.st_size))
    os.utime(FIRST, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert own.ask("/thumbnail/0").status == 422


def test_a_name_of_any_bytes_can_be_found(own: Served) -> None:
    odd = os.fsencode("folder/blue/") + b"\xff\n<b>\xe2\x80\xae.png"
    Path(os.fsdecode(odd)).write_bytes(FIRST.read_bytes())
    encode_again(Bundle.open(Path("model")))
    hits = own.ask("/api/query", FIRST.read_bytes()).json["hits"]
    [hit] = [hit for hit in hits if "path_b64" in hit]
    assert hit["name"] == "blue/\\xff\\x0a<b>\\u202e.png"
    assert own.ask(hit["thumbnail"]).status == 200


# Codes that are replaced.


def test_new_codes_in_their_place_are_searched(own: Served) -> None:
    before = own.ask("/api/query", FIRST.read_bytes()).json
    Path("folder/red/00.png").unlink()
    encode_again(Bundle.open(Path("model")))
    after = own.ask("/api/query", FIRST.read_bytes()).json
    assert (before["searched"], after["searched"], after["note"]) == (36, 35, "")
    old = own.ask(before["hits"][0]["thumbnail"])
    assert (old.status, "replaced" in old.json["error"]) == (409, True)
    assert "was replaced: 35 images now" in own.errors.read_text()


def test_codes_of_another_model_are_refused_and_the_old_ones_kept(own: Served) -> None:
    before = own.ask("/api/query", FIRST.read_bytes()).json
    encode_again(write_bundle(Path("other"), seed=1), seed=1)
    after = own.ask("/api/query", FIRST.read_bytes()).json
    assert after["hits"] == before["hits"]
    assert "was made by the model" in after["note"]
    assert own.ask("/api/about").json["note"] == after["note"]
    encode_again(Bundle.open(Path("model")))
    assert own.ask("/api/about").json["note"] == ""


def test_damaged_or_missing_codes_are_refused_and_the_old_ones_kept(own: Served) -> None:
    whole = Path("codes.h5").read_bytes()
    Path("new.h5").write_bytes(whole[: len(whole) // 2])
    os.replace("new.h5", "codes.h5")
    assert "not a sound codes file" in own.ask("/api/about").json["note"]
    Path("codes.h5").unlink()
    assert "does not exist" in own.ask("/api/about").json["note"]
    assert own.ask("/api/query", FIRST.read_bytes()).json["searched"] == 36


def test_codes_overwritten_in_place_are_searched_only_once_they_are_right(own: Served) -> None:
    before, whole = own.ask("/api/query", FIRST.read_bytes()).json, Path("codes.h5").read_bytes()
    other = write_bundle(Path("other"), seed=1)
    encode_again(other, seed=1)
    foreign = Path("codes.h5").read_bytes()
    Path("new.h5").write_bytes(whole)
    os.replace("new.h5", "codes.h5")
    assert own.ask("/api/about").json["note"] == ""
    for content, reason in ((foreign, "was made by the model"), (whole[: len(whole) // 2], "not a sound codes file")):
        Path("codes.h5").write_bytes(content)  # as `cp` does
        for _ in range(2):
            refused = own.ask(f"/api/neighbours?code={before['code']}")
            assert refused.status == 503, refused.body
            assert reason in refused.json["error"]
            assert "was overwritten in place" in refused.json["error"]
            assert "`mv`" in refused.json["hint"]
    Path("codes.h5").write_bytes(whole)
    after = own.ask("/api/query", FIRST.read_bytes()).json
    assert (after["hits"], after["note"]) == (before["hits"], "")


def test_new_codes_that_could_not_be_opened_for_a_moment_are_searched_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work_in(tmp_path)
    bundle = Bundle.open(Path("model"))
    held = live.LiveCodes(Path("codes.h5"), bundle)
    Path("folder/red/00.png").unlink()
    encode_again(bundle)
    with monkeypatch.context() as patch:
        patch.setattr(live, "require_harmless", passing_failure)
        assert (len(held.current()), "no processes left" in held.note) == (36, True)
    assert (len(held.current()), held.note) == (35, "")
    held.close()


def passing_failure(path: Path) -> None:
    raise StorageError("no processes left")


def test_answers_never_mix_two_versions(own: Served) -> None:
    photo, seen, stop = FIRST.read_bytes(), [], threading.Event()
    bundle = Bundle.open(Path("model"))

    def ask() -> None:
        while not stop.is_set():
            answer = own.ask("/api/query?limit=500", photo)
            seen.append((answer.status, answer.json["searched"], len(answer.json["hits"])))

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(6):
        paint(Path(f"folder/red/new{number}.png"), (200, 0, 0), seed=number)
        encode_again(bundle)
    stop.set()
    asking.join()
    assert {status for status, _, _ in seen} == {200}
    assert all(searched == hits for _, searched, hits in seen)
    assert own.ask("/api/about").json["images"] == 42


# One at a time.


def test_beyond_the_queue_a_request_is_told_to_come_again(served: Served, workspace: Path) -> None:
    large = io.BytesIO()
    Image.effect_noise((3000, 3000), 50).save(large, "PNG")
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(served.ask("/api/query", large.getvalue())))
        for _ in range(MOST_WAITING + 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    require_alive(served, (workspace / FIRST).read_bytes())


def test_what_waits_for_its_turn_counts_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine uploads of 10 bytes and more, where 85 may be held: the last is read to its end, but not kept."""
    monkeypatch.setattr(uploads, "MOST_HELD", 85)
    started, go_on, held, turns = threading.Event(), threading.Event(), Uploads(), Turns()

    def wait(content: bytes, view: View) -> dict[str, int]:
        started.set()
        go_on.wait(2)
        return {"held": held.held}

    search = SimpleNamespace(width=BITS, query=wait)
    app = application.build(cast(Search, search), turns, held)

    async def ask_all() -> list[Answer]:
        waiting = [asyncio.create_task(post(app, b"12345", b"67890")) for _ in range(8)]
        await asyncio.to_thread(started.wait, 10)
        while turns.waiting < 8:
            await asyncio.sleep(0)
        last = await post(app, b"12345", b"67890", b"more")
        go_on.set()
        return [last, *await asyncio.gather(*waiting)]

    refused, *answered = asyncio.run(ask_all())
    turns.close()
    assert (refused.status, refused.json["error"]) == (429, "the server is busy with other images")
    assert max(answer.json["held"] for answer in answered) == 80  # all that wait, as the first was computed
    assert held.held == 0


async def post(app: Starlette, *parts: bytes) -> Answer:
    """Send an image in parts to an application in this process; all of them must have been read for an answer."""
    messages, sent = [{"type": "http.request", "body": part, "more_body": True} for part in parts], list[Any]()
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    address = {"path": "/api/query", "raw_path": b"/api/query", "query_string": b"", "root_path": ""}
    await app({"type": "http", "method": "POST", **address, "headers": []}, receive, send)
    assert messages == []
    return Answer(sent[0]["status"], {}, b"".join(message.get("body", b"") for message in sent[1:]))


def test_clients_that_send_slowly_hold_nobody_up(served: Served, photo: bytes) -> None:
    head = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
    with contextlib.ExitStack() as stack:
        for number in range(50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.sendall(head if number % 2 else head[:20])
        started = time.monotonic()
        require_alive(served, photo)
        assert time.monotonic() - started < 5


# Starting and stopping.


def test_a_port_in_use_is_said_clearly(
    served: Served, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(workspace)
    code, _, error = run(capsys, "serve", "--port", str(served.port))
    assert (code, f"port {served.port} of 127.0.0.1 is in use" in error, "--port 0" in error) == (8, True, True)


def test_a_host_that_is_not_this_machine_is_said_clearly(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(workspace)
    code, _, error = run(capsys, "serve", "--host", "192.0.2.1", "--port", "0")
    assert (code, "cannot listen on port 0 of 192.0.2.1" in error) == (2, True)


def test_codes_of_another_model_do_not_start(workspace: Path, tmp_path: Path, capsys: Printed) -> None:
    write_bundle(tmp_path / "other", seed=1)
    code, _, error = run(
        capsys, "serve", str(workspace / "codes.h5"), "--model", str(tmp_path / "other"), "--port", "0"
    )
    assert (code, "was made by the model" in error) == (5, True)


def test_no_codes_do_not_start(tmp_path: Path, capsys: Printed) -> None:
    write_bundle(tmp_path / "model")
    code, _, error = run(capsys, "serve", str(tmp_path / "no.h5"), "--model", str(tmp_path / "model"), "--port", "0")
    assert (code, "does not exist" in error, "ganhash encode" in error) == (4, True, True)


def test_missing_codes_are_told_of_before_a_port_in_use(served: Served, tmp_path: Path, capsys: Printed) -> None:
    write_bundle(tmp_path / "model")
    given = [str(tmp_path / "no.h5"), "--model", str(tmp_path / "model"), "--port", str(served.port)]
    code, _, error = run(capsys, "serve", *given)
    assert (code, "no.h5 does not exist" in error) == (4, True)


def test_codes_without_images_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work_in(tmp_path)
    with codes.open_codes(Path("codes.h5")) as stored:
        header = stored.header
    nothing = np.empty(0, np.uint64)
    rows = codes.Rows(np.empty((0, 4), np.uint8), [], nothing, nothing.astype(np.int64), nothing.astype(np.uint8))
    codes.write(Path("codes.h5"), header, rows)
    with serving() as served:
        found = served.ask("/api/query", FIRST.read_bytes()).json
        assert (found["hits"], found["total"]) == ([], 0)
        assert served.ask("/api/images").json["images"] == []
        assert served.ask("/api/images?path=a").status == 404
        nothing_there = served.ask("/thumbnail/0")
        assert (nothing_there.status, nothing_there.json["hint"]) == (404, "there are none at all")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]  # as serve imports it
    code, _, error = run(capsys, "serve")
    assert (code, "pip install 'ganhash[serve]'" in error) == (9, True)


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_without_a_traceback(workspace: Path, monkeypatch: pytest.MonkeyPatch, signal: str) -> None:
    import signal as signals

    monkeypatch.chdir(workspace)
    with serving() as served:
        assert served.ask("/healthz").status == 200
        served.process.send_signal(getattr(signals, signal))
        code = served.process.wait(10)
    assert code in {"SIGINT": (130,), "SIGTERM": (143, -signals.SIGTERM)}[signal]
    assert "Traceback" not in Path("serve.stderr").read_text()


def test_torch_is_never_loaded(workspace: Path) -> None:
    program = [sys.executable, "-X", "importtime", "-m", "ganhash_cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(program, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = json.loads(process.stdout.readline())["url"].rpartition(":")[2].strip("/")
        connection = http.client.HTTPConnection("127.0.0.1", int(port))
        connection.request("POST", "/api/query", (workspace / FIRST).read_bytes())
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
        imported = {line.rpartition("|")[2].strip() for line in process.communicate()[1].splitlines()}
    assert "onnxruntime" in imported
    assert imported & {"torch", "timm", "torchvision", "faiss", "rich"} == set()


def test_the_page_is_small(served: Served) -> None:
    first = ["/", "/ganhash.js", "/ganhash.css", "/api/about"]
    assert sum(len(served.ask(address).body) for address in first) < 100_000


def test_the_page_asks_nothing_of_others_and_holds_no_script(served: Served) -> None:
    page = served.ask("/").body.decode()
    assert "style=" not in page
    assert page.count("<script") == page.count('<script src="/ganhash.js" defer></script>') == 1
    for address in ("/", "/ganhash.js", "/ganhash.css"):
        assert "//" not in served.ask(address).body.decode().replace("// ", "")
