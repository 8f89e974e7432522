"""Search among up to 100,000,000 codes: beside faiss's own indexes, and beside what reading the codes takes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import crowds
from bench.measure import Report, Row, seconds, timed
from ganhash_cli.engine import codes, ivf, scan
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.progress import finish

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

REACH = {12: 1.05, 24: 0.3, 32: 1.05, 48: 0.3, 64: 0.85, 96: 0.3, 128: 1.05}  # times the peer, by bits
ONE_QUERY = Path(__file__).parent / "one_query.py"


@pytest.mark.parametrize("bits", REACH)
@pytest.mark.parametrize("count", [1_000_000, 10_000_000])
def test_exact(report: Report, count: int, bits: int):
    import faiss

    made, queries = crowds.clustered(count, bits), crowds.clustered(1_000, bits, seed=1)
    narrow = (bits + 7) // 8  # what a user of faiss would store
    flat = faiss.IndexBinaryFlat(8 * narrow)
    flat.add(np.ascontiguousarray(made[:, :narrow]))
    asked = np.ascontiguousarray(queries[:, :narrow])
    index = ExactIndex(made, bits)
    assert np.array_equal(index.search(queries[:20], 10)[1], flat.search(asked[:20], 10)[1])
    words = made.view(np.uint32)
    for number, rounds in ((1, 15), (1_000, 3)):
        ours, peer, limit = seconds(
            rounds,
            lambda n=number: ExactIndex(made, bits).search(queries[:n], 10),
            lambda n=number: flat.search(asked[:n], 10),
            words.max,
        )
        name = f"search, {number:,} {'query' if number == 1 else 'queries'}, {count:,} codes of {bits} bits"
        row = Row(
            name, "ms", "lower", 1e3 * ours, 1e3 * peer, 1e3 * limit if number == 1 else None, REACH[bits], ratio=True
        )
        report.add(row)


def test_exact_where_codes_are_equal(report: Report):
    import faiss

    count, bits = 10_000_000, 64
    made, queries = crowds.with_copies(crowds.clustered(count, bits), 8), crowds.clustered(1_000, bits, seed=1)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(made)
    assert np.array_equal(ExactIndex(made, bits).search(queries, 10)[1][:20], flat.search(queries[:20], 10)[1])
    ours, peer = seconds(
        3, lambda: ExactIndex(made, bits).search(queries, 10), lambda: flat.search(queries, 10)
    )  # what finds equal codes is part of ours
    name = f"search, 1,000 queries, {count:,} codes of {bits} bits, 8 times each"
    report.add(Row(name, "ms", "lower", 1e3 * ours, 1e3 * peer, None, 0.4, ratio=True))


def test_approximate(report: Report):
    import faiss

    count, bits = 10_000_000, 64
    made, queries = crowds.clustered(count, bits), crowds.clustered(1_000, bits, seed=1)
    index = finish(ivf.build(made, bits))
    exact = scan.nearest(made, queries, 10)[0]
    theirs = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, len(index.lists.centres))
    theirs.train(index.lists.codes[:: max(1, len(index.lists.codes) // 100_000)])
    theirs.add(made)
    theirs.nprobe = index.lists.probes
    ours, peer = seconds(
        5,
        lambda: [index.search(query[None], 10) for query in queries],
        lambda: [theirs.search(query[None], 10) for query in queries],
    )
    found = [np.mean(each.search(queries, 10)[0] <= exact[:, -1:]) for each in (index, theirs)]
    name = f"search, one of 1,000 queries, approximate, {count:,} codes of {bits} bits"
    report.add(Row(name, "ms", "lower", ours, peer, None, 0.5))  # seconds for 1,000 are milliseconds for one
    report.add(Row(f"{name}: recall@10", "", "higher", float(found[0]), float(found[1]), 1.0, 0.98))


def test_a_hundred_million(report: Report, tmp_path: Path):
    count, bits = 100_000_000, 64
    crowds.write(tmp_path / "codes.h5", crowds.clustered(count, bits), bits)
    runs = [
        json.loads(
            subprocess.run([sys.executable, ONE_QUERY, tmp_path / "codes.h5"], capture_output=True, check=True).stdout
        )
        for _ in range(5)
    ][1:]  # the first one warms the file
    taken, grown, reading = (
        statistics.median(run[name] for run in runs) for name in ("seconds", "mebibytes", "reading")
    )
    name = f"search, opening {count:,} codes of {bits} bits and one exact query"
    report.add(Row(name, "s", "lower", taken, None, reading, 1.5))
    report.add(Row(f"{name}, memory of its own", "MiB", "lower", grown, None, None, 200))


def test_names(report: Report, tmp_path: Path):
    count = 10_000_000
    crowds.write(tmp_path / "codes.h5", np.zeros((count, 4), np.uint8), 12)
    with codes.open_codes(tmp_path / "codes.h5") as stored:
        stored_bytes = sum(stored.stored_bytes(name) for name in ("path_bytes", "path_offsets"))
        rows = np.random.default_rng(0).integers(0, count, 200).tolist()
        each = statistics.median(timed(lambda row=row: stored.path_of(row)) for row in rows)
    report.add(Row(f"search, names of {count:,} images", "MB", "lower", stored_bytes / 1e6, None, None, 200))
    report.add(Row(f"search, one name of {count:,}", "ms", "lower", 1e3 * each, None, None, 1))
