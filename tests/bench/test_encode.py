"""Encoding JPEGs, small ones and photographs: images a second against a plain loop and against what the cores allow."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bench.conftest import write_model
from bench.measure import Cost, Report, Row, command, in_turn
from ganhash_cli.engine import decoders, parallel
from ganhash_cli.engine.bits import Numeric
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.runtime import open_runtime

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
LOOP = Path(__file__).parent / "plain_loop.py"
TIMES = 6  # ten thousand small images again, for sixty thousand


def test_encode(report: Report, model: Path, jpegs: Path, tmp_path: Path):
    part = _first(jpegs, 1_000, tmp_path / "part")
    whole, peer, small = in_turn(
        3,
        lambda: _ours(jpegs, model, tmp_path),
        lambda: _loop(jpegs, "efficientnet_lite0", 64, tmp_path),
        lambda: _ours(part, model, tmp_path),
    )
    count = len(list(jpegs.iterdir()))
    per_second = [count / cost.seconds for cost in (whole, peer)]
    bound = _bound(jpegs, model, "onnx", "float32")
    report.add(
        Row("encode 10,000 JPEGs, efficientnet_lite0 at 64", "images/s", "higher", *per_second, bound, 3, ratio=True)
    )
    growth = whole.mebibytes / small.mebibytes
    report.add(Row("encode, memory at 10,000 images over 1,000", "times", "lower", growth, None, 1.0, 1.1))


def test_encode_photographs(report: Report, photographs: Path, tmp_path: Path):
    model = write_model(tmp_path, "efficientnet_lite0", 224)
    bfloat16 = ("--runtime", "openvino", "--precision", "bfloat16")
    usual, peer, quick = in_turn(
        3,
        lambda: _ours(photographs, model, tmp_path),
        lambda: _loop(photographs, "efficientnet_lite0", 224, tmp_path),
        lambda: _ours(photographs, model, tmp_path, *bfloat16),
    )
    name, count = "encode 3,000 photographs, efficientnet_lite0 at 224", len(list(photographs.iterdir()))
    _add(report, name, count, usual, peer, _bound(photographs, model, "onnx", "float32"), 4)
    _add(
        report, f"{name}, bfloat16", count, quick, peer, _bound(photographs, model, "openvino", "bfloat16-openvino"), 7
    )


def test_encode_small(report: Report, jpegs: Path, tmp_path: Path):
    model, folder = write_model(tmp_path, "smallconv", 32), tmp_path / "many"
    folder.mkdir()
    for number, path in enumerate(sorted(jpegs.iterdir()) * TIMES):
        (folder / f"{number:06}.jpg").symlink_to(path.resolve())
    usual, peer, quick = in_turn(
        3,
        lambda: _ours(folder, model, tmp_path),
        lambda: _loop(folder, "smallconv", 32, tmp_path),
        lambda: _ours(folder, model, tmp_path, "--runtime", "openvino"),
    )
    name, count = "encode 60,000 JPEGs, smallconv at 32", len(list(folder.iterdir()))
    _add(report, name, count, usual, peer, _bound(folder, model, "onnx", "float32"), 3)
    _add(report, f"{name}, OpenVINO", count, quick, peer, _bound(folder, model, "openvino", "float32"), 3)


def _ours(folder: Path, model: Path, place: Path, *options: str) -> Cost:
    (place / "codes.h5").unlink(missing_ok=True)
    return command([GANHASH, "encode", folder, "--model", model, "-o", "codes.h5", "-q", *options], place)


def _loop(folder: Path, network: str, side: int, place: Path) -> Cost:
    return command([sys.executable, LOOP, folder, "codes.npy", network, str(side)], place)


def _add(report: Report, name: str, count: int, ours: Cost, peer: Cost, bound: float, aim: float) -> None:
    per_second = [count / cost.seconds for cost in (ours, peer)]
    report.add(Row(name, "images/s", "higher", *per_second, bound, aim, ratio=True))
    report.add(Row(f"{name}, share of what the cores allow", "of 1", "higher", per_second[0] / bound, None, 1, 0.85))


def _first(folder: Path, count: int, copy: Path) -> Path:
    copy.mkdir()
    for path in sorted(folder.iterdir())[:count]:
        shutil.copy(path, copy)
    return copy


def _bound(folder: Path, model: Path, runtime: Literal["onnx", "openvino"], numeric: Numeric) -> float:
    """Return what decoding and the network alone allow on these cores, in images/s: 1 / (1 / decode + 1 / network)."""
    bundle = Bundle.open(model)
    opened = open_runtime(bundle, runtime, numeric, parallel.threads())
    files = [os.fsencode(path) for path in sorted(folder.iterdir())[:1_000]]
    squares = np.stack([each for each in decoders.squares(files, bundle.side) if isinstance(each, np.ndarray)])
    opened.logits(squares[:32])  # the first is slow

    def seconds(turn: Iterator[object]) -> float:
        begun = time.perf_counter()
        for _ in turn:
            pass
        return time.perf_counter() - begun

    parts = [squares[start : start + 32] for start in range(0, len(squares), 32)]
    fastest = [
        min(seconds(decoders.squares(files, bundle.side)) for _ in range(3)),
        min(seconds(parallel.each(opened.logits, parts)) for _ in range(3)),
    ]
    return len(files) / sum(fastest)
