"""`ganhash serve` under attack: bombs, lengths that lie, heaps of headers and parameters, paths, slow clients."""

import contextlib
import io
import itertools
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.web.gate import HEADERS
from pictures import paint
from reliability_card import record
from serving import FIRST, Served, serving, work_in

MEGABYTES = 200  # what no upload may take beyond what the server holds at rest
TAKEN: dict[str, float] = {}  # of them, by each image
WAITED: dict[str, float] = {}  # seconds, by each heap


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("attacked")
    with contextlib.chdir(folder):
        work_in(folder)
        with serving() as running:
            yield running


@pytest.fixture
def photo(served: Served) -> bytes:
    return (served.errors.parent / FIRST).read_bytes()


@pytest.fixture(autouse=True)
def lives_on(served: Served, photo: bytes) -> Iterator[None]:
    """After every attack the server answers as before, and has found no bug in itself."""
    yield
    assert served.ask("/api/query", photo).json["hits"][0]["distance"] == 0
    assert "bug" not in served.errors.read_text()


def png(width: int, height: int, kind: int, depth: int = 8) -> bytes:
    """Return a PNG of zeros of any size and colour type, made without holding it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = bytes(1 + (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * depth + 7) // 8)
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256)) if kind == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(kind: str, mode: str, width: int, height: int, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind, **options)
    return file.getvalue()


def raw(served: Served, sent: bytes, *, end: bool = False) -> bytes:
    """Send bytes as they are, with `end` no more; return the head of the answer, nothing where there was none."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
        return b""


# Images that are small as files and large as pictures.

BOMBS: dict[str, tuple[Callable[[], bytes], int]] = {
    "62 MP PNG, RGBA": (lambda: png(7800, 7900, 6), 422),
    "62 MP PNG, palette with alpha": (lambda: png(7800, 7900, 3), 422),
    "62 MP PNG, 16 bits": (lambda: png(7800, 7900, 0, depth=16), 422),
    "20 MP WebP": (lambda: picture("WEBP", "RGB", 5000, 4000, lossless=True, method=0), 422),
    "62 MP JPEG": (lambda: picture("JPEG", "RGB", 7800, 7900), 200),
    "62 MP JPEG, long and low": (lambda: picture("JPEG", "RGB", 65500, 950), 200),
    "20 MP PNG, RGBA": (lambda: png(5000, 3990, 6), 200),
    "20 MP PNG, 16 bits": (lambda: png(5000, 3990, 0, depth=16), 200),
    "10 MP WebP": (lambda: picture("WEBP", "RGBA", 4000, 2640, lossless=True, method=0), 200),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_image_takes_the_memory_of_the_server(served: Served, photo: bytes, bomb: str) -> None:
    """W4: what is refused by its size costs nothing, what is decoded no more than its pixels."""
    process = Path(f"/proc/{served.process.pid}")
    if not process.exists():
        pytest.skip("there is no /proc here to read the memory from")
    make, status = BOMBS[bomb]
    body = make()
    served.ask("/api/query", photo)
    both = [process, decoder_of(process)]
    for each in both:
        (each / "clear_refs").write_text("5")  # the peak begins anew
    before = [kilobytes(each, "VmHWM") for each in both]
    answer = served.ask("/api/query", body)
    assert answer.status == status, answer.body
    taken = [kilobytes(each, "VmHWM") - least for each, least in zip(both, before, strict=True)]
    TAKEN[bomb] = sum(taken) / 1000
    assert TAKEN[bomb] < MEGABYTES
    most = round(max(TAKEN.values()))
    record("W4 images", "small uploads that are large as pictures", files=len(TAKEN), most_mb=most)


def decoder_of(process: Path) -> Path:
    """Return the process that decodes the uploads of a server."""
    [child] = " ".join(each.read_text() for each in process.glob("task/*/children")).split()
    return process.parent / child


def kilobytes(process: Path, name: str) -> int:
    return int(next(line.split()[1] for line in (process / "status").read_text().splitlines() if name in line))


# Bodies that are not what they say.


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999", "10, 20", "0x10", ""])
def test_a_length_that_is_none_is_refused(served: Served, length: str) -> None:
    began = time.monotonic()
    answer = raw(served, f"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nx".encode())
    assert time.monotonic() - began < 10  # nobody waits for what is refused anyway
    assert answer[:10] in (b"", b"HTTP/1.1 4"), answer


@pytest.mark.parametrize("length", [1, 10, 1_000_000, 10**12])
def test_a_length_that_lies_is_believed_by_nobody(served: Served, photo: bytes, length: int) -> None:
    """W4: a Content-Length that is not that of the body."""
    head = f"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    assert raw(served, head.encode() + photo, end=True)[:10] in (b"", b"HTTP/1.1 4")


def test_two_ways_to_tell_a_length_do_not_smuggle_a_request(served: Served) -> None:
    both = (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /no HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert raw(served, b"POST /api/query HTTP/1.1\r\nHost: localhost\r\n" + both)[:10] in (b"", b"HTTP/1.1 4")


def test_ten_thousand_parts_are_not_taken_apart(served: Served) -> None:
    parts = b"".join(b'--x\r\nContent-Disposition: form-data; name="%d"\r\n\r\n1\r\n' % n for n in range(10_000))
    answer = served.ask("/api/query", parts + b"--x--", content_type="multipart/form-data; boundary=x")
    assert answer.status == 415


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
def test_deep_json_is_no_image(served: Served, kind: str) -> None:
    assert served.ask("/api/query", b"[" * 100_000, content_type=kind).status == 422


# Heaps.

HEAPS = {
    "a header line of 1 MB": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "100,000 headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 100_000 + b"\r\n",
    "100,000 parameters": b"GET /api/about?" + b"p=1&" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("heap", HEAPS)
def test_heaps_are_refused_at_once(served: Served, heap: str) -> None:
    """W7: more than a request may hold."""
    started = time.monotonic()
    assert raw(served, HEAPS[heap])[:10] in (b"", b"HTTP/1.1 4")
    WAITED[heap] = time.monotonic() - started
    assert WAITED[heap] < 5  # 0.1 s where nothing else runs
    record("W7 heaps", "headers and parameters in heaps", heaps=len(WAITED), worst_s=round(max(WAITED.values()), 2))


def test_ranges_of_a_thumbnail_do_nothing(served: Served) -> None:
    whole = served.ask("/thumbnail/0")
    for many in (9_000, 10_000):  # the latter are more than a header may have
        part = served.ask("/thumbnail/0", Range="bytes=" + ",".join(f"{n}-" for n in range(many)))
        assert part.status in (400, 431) or (part.status, part.body) == (200, whole.body)


# Names that lead elsewhere.

STEPS = ["../", "%2e%2e/", "%252e%252e/", "..%2f", "..%5c", "..\\", "%c0%ae%c0%ae/", "....//", "..;/", "%00../", "."]
STARTS = ["", "/", "file://", "file:%2f%2f%2f", "//127.0.0.1/", "\\\\127.0.0.1\\", "C:\\", "%00", "0/", "0%00", "~/"]


def test_no_name_in_path_or_parameter_leads_to_a_file(served: Served) -> None:
    """W3: no step upwards, scheme, drive or device, however it is written, gives a file."""
    folder = served.errors.parent
    paint(folder / "canary.png", (1, 2, 3), seed=1)
    canary = (folder / "canary.png").read_bytes()
    ends = ["canary.png", "codes.h5", "etc/passwd", str(folder / "canary.png")]
    names = [a + b * n + end for a, b, n, end in itertools.product(STARTS, STEPS, (1, 8), ends)]
    assert len(names) > 500
    for number, name in enumerate(names):
        safe = quote(name, safe="/%:;.~\\").replace("\\", "%5c" if number % 2 else "\\")
        inside = safe.replace("/", "%2f")
        for address in (f"/thumbnail/{safe}", f"/{safe}"):
            answer = raw(served, f"GET {address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert answer[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 400"), (address, answer)
            assert canary[:40] not in answer
        place = ("/thumbnail/0?codes=", "/api/neighbours?code=", "/api/neighbours?code=0000&label=")[number % 3]
        answer = raw(
            served, f"GET {place}{inside} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 409"), (place, inside, answer)
    record("W3 names", "names that lead elsewhere, in paths and parameters", requests=3 * len(names), leaks=0)


def test_every_route_and_every_method_has_the_headers(served: Served) -> None:
    """W6: what a browser is told, on what is there and on what is not."""
    routes = ["/", "/ganhash.js", "/ganhash.css", "/favicon.ico", "/healthz", "/openapi.json", "/thumbnail/0", "/no"]
    routes += ["/api/about", "/api/query", "/api/neighbours"]
    methods = ("GET", "POST", "OPTIONS", "PUT", "TRACE", "ODD")
    for route, method in itertools.product(routes, methods):
        answer = served.ask(route, method=method)
        assert {name for name in HEADERS if name.lower() not in answer.headers} == set(), (route, method)
        assert answer.status < 500
        assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = len(routes) * len(methods)
    record("W6 headers", "every address by every method", requests=asked, answers_that_lack_a_header=0)


# Clients that are slow.


def test_fifty_slow_clients_do_not_slow_the_others(served: Served, photo: bytes) -> None:
    """W4: connections that are open and send nothing more."""

    def p95() -> float:
        seconds = []
        for _ in range(60):
            started = time.perf_counter()
            assert served.ask("/api/query", photo).status == 200
            seconds.append(time.perf_counter() - started)
        return float(np.percentile(seconds, 95))

    alone = p95()
    head = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(50)]
        for number, connection in enumerate(slow):
            connection.sendall(head if number % 2 else head[:30])
        beside = p95()
    assert beside < 2 * max(alone, p95()) + 0.05  # seconds; the machine may do other things
    figures = {"ms_p95_alone": round(1000 * alone, 1), "ms_p95_beside_them": round(1000 * beside, 1)}
    record("W4 slow clients", "queries beside clients that send nothing more", clients=50, **figures)
