"""Near duplicates among 1,000,000 codes that cluster as those of images do, beside comparing all with all."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.measure import Report, Row, command, python
from ganhash_cli.engine import bits, codes
from ganhash_cli.engine.codes_format import Header, Rows

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
COUNT, BITS, MOST, FLIPS = 1_000_000, 64, 2, 6
SHARE = 100  # one code in so many is compared with all by the peer; all of them take that much longer
ALL_WITH_ALL = f"""
import sys
import faiss, h5py
with h5py.File(sys.argv[1]) as file:
    codes = file["codes"][:]
index = faiss.IndexBinaryFlat({BITS})
index.add(codes)
index.range_search(codes[: int(sys.argv[2])], {MOST} + 1)
"""
LEAST = """
import sys
import h5py, numpy as np
with h5py.File(sys.argv[1]) as file:
    np.sort(file["codes"][:].view(np.uint64).ravel())
"""


def test_dedup(report: Report, model: Path, jpegs: Path, tmp_path: Path):
    encode = [GANHASH, "encode", jpegs, "--model", model, "-o", "some.h5"]
    command(encode, tmp_path)
    _a_million(tmp_path / "some.h5", tmp_path / "codes.h5")
    ours = command([GANHASH, "dedup", "codes.h5", "--max-distance", str(MOST)], tmp_path)
    with_some, with_one = (
        python(ALL_WITH_ALL, tmp_path, "codes.h5", str(count)).seconds for count in (COUNT // SHARE, 1)
    )
    peer = (with_some - with_one) * SHARE
    limit = python(LEAST, tmp_path, "codes.h5")
    name = "dedup, 1,000,000 codes of 64 bits, distance 2"
    report.add(Row(name, "s", "lower", ours.seconds, peer, limit.seconds, 60))
    report.add(Row(f"{name}, memory", "MiB", "lower", ours.mebibytes, None, limit.mebibytes, 2048))


def _a_million(source: Path, path: Path) -> None:
    """Write codes of real images with up to six random bits flipped, under names of no files."""
    random = np.random.default_rng(0)
    with codes.open_codes(source) as stored:
        header = Header(BITS, stored.header.fingerprint, b"/nowhere", stored.header.side, "nothing")
        real = np.array(stored.codes)
    made = real[random.integers(0, len(real), COUNT)]
    flips = random.integers(0, FLIPS + 1, COUNT)
    for number in range(FLIPS):
        rows = np.flatnonzero(flips > number)
        at = random.integers(0, BITS, len(rows))
        made[rows, at // 8] ^= (1 << (at % 8)).astype(np.uint8)
    assert made.shape[1] == bits.width(BITS)
    rows_of = Rows(
        made,
        [f"{number:07}.jpg".encode() for number in range(COUNT)],
        np.ones(COUNT, np.uint64),
        np.ones(COUNT, np.int64),
        np.ones(COUNT, np.uint8),
    )
    codes.write(path, header, rows_of)
