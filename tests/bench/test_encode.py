"""Encoding 10,000 small JPEGs: images a second against a plain loop, and memory that does not grow with the folder."""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.measure import Cost, Report, Row, command, in_turn
from ganhash_cli.engine import decoding
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.runtime import open_runtime

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
LOOP = Path(__file__).parent / "plain_loop.py"
COUNT, SIDE = 10_000, 64


def test_encode(report: Report, model: Path, jpegs: Path, tmp_path: Path):
    part = _first(jpegs, 1_000, tmp_path / "part")

    def ours(folder: Path) -> Cost:
        (tmp_path / "codes.h5").unlink(missing_ok=True)
        return command([GANHASH, "encode", folder, "--model", model, "-o", "codes.h5", "-q"], tmp_path)

    whole, peer, small = in_turn(
        3,
        lambda: ours(jpegs),
        lambda: command([sys.executable, LOOP, jpegs, "codes.npy", str(SIDE)], tmp_path),
        lambda: ours(part),
    )
    per_second = [COUNT / cost.seconds for cost in (whole, peer)]
    name = "encode 10,000 JPEGs, efficientnet_lite0 at 64"
    report.add(Row(name, "images/s", "higher", *per_second, _bound(jpegs, model), 3, ratio=True))
    growth = whole.mebibytes / small.mebibytes
    report.add(Row("encode, memory at 10,000 images over 1,000", "times", "lower", growth, None, 1.0, 1.1))


def _first(folder: Path, count: int, copy: Path) -> Path:
    copy.mkdir()
    for path in sorted(folder.iterdir())[:count]:
        shutil.copy(path, copy)
    return copy


def _bound(folder: Path, model: Path) -> float:
    """Return what decoding and the network alone allow on these cores, in images/s: 1 / (1 / decode + 1 / network)."""
    files = [os.fsencode(path) for path in sorted(folder.iterdir())[:2_000]]
    runtime = open_runtime(Bundle.open(model))
    begun = time.perf_counter()
    runtime.logits(np.stack([square for square in decoding.squares(files, SIDE) if isinstance(square, np.ndarray)]))
    return len(files) / (time.perf_counter() - begun)
