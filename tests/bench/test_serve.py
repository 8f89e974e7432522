"""`ganhash serve` over a million codes: how soon it is up, what searches take, how large page and memory are."""

import re
import statistics
import time
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest

from bench.conftest import million_codes, write_model
from bench.measure import Report, Row, timed
from ganhash_cli.engine.bundle import Bundle
from serving import Served, serving

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

ROUNDS, SEARCHES = 5, 20


def test_serve(report: Report, jpegs: Path, tmp_path: Path) -> None:
    million_codes(tmp_path / "codes.h5", Bundle.open(write_model(tmp_path, "efficientnet_lite0", 224)))
    image = next(jpegs.iterdir()).read_bytes()
    starts, firsts, later, memory = [], [], [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with chdir(tmp_path), serving() as server:
            assert server.ask("/healthz").status == 200
            starts.append(time.perf_counter() - begun)
            firsts.append(timed(partial(search, server, image)))
            later += [timed(partial(search, server, image)) for _ in range(SEARCHES)]
            page = server.ask("/").body
            parts = re.findall(rb'(?:src|href)="(/[^"]+\.(?:js|css|svg))"', page)
            size = len(page) + sum(len(server.ask(part.decode()).body) for part in parts)
            peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
            assert peak
            memory.append(int(peak[1]) / 1024)
    for name, unit, figures, aim in (
        ("up", "s", starts, 1.5),
        ("first search", "s", firsts, 1),
        ("later searches", "ms", [1000 * each for each in later], 150),
        ("page without pictures", "kB", [size / 1000], 100),
        ("memory", "MiB", memory, 500),
    ):
        report.add(Row(f"serve 1,000,000 codes, {name}", unit, "lower", statistics.median(figures), None, None, aim))


def search(server: Served, image: bytes) -> None:
    answer = server.ask("/api/query?limit=24", image, content_type="image/jpeg")
    assert len(answer.json["hits"]) == 24, answer.body
