"""Start-up: `ganhash --help`, an answer to TAB, and a cold query over 100,000 codes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.measure import Report, Row, command, in_turn, python
from ganhash_cli.engine import codes
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header, Rows

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
WITH_TORCH = """
import timm, torch
network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=64).eval()
with torch.inference_mode():
    network(torch.zeros(1, 3, 64, 64))
"""
LEAST = """
import sys
import faiss, h5py, numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
pixels = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((64, 64)))[None]
code = np.packbits(session.run(None, {"images": pixels})[0] >= 0, axis=1)
with h5py.File(sys.argv[3]) as file:
    faiss.knn_hamming(code, file["codes"][:], 10)
"""


def test_help(report: Report, tmp_path: Path):
    ours, peer, limit = in_turn(
        9,
        lambda: command([GANHASH, "--help"], tmp_path),
        lambda: python("import torch, timm", tmp_path),
        lambda: python("pass", tmp_path),
    )
    report.add(Row("ganhash --help", "s", "lower", ours.seconds, peer.seconds, limit.seconds, 0.27))


def test_completion(report: Report, tmp_path: Path):
    asked = "_GANHASH_COMPLETE=complete_zsh _TYPER_COMPLETE_ARGS='ganhash generate -G '"
    ours, peer, limit = in_turn(
        9,
        lambda: command(["sh", "-c", f"{asked} exec {GANHASH}"], tmp_path),
        lambda: python("import torch, timm", tmp_path),
        lambda: python("pass", tmp_path),
    )
    report.add(Row("TAB after `ganhash generate -G`", "s", "lower", ours.seconds, peer.seconds, limit.seconds, 0.3))


def test_cold_query(report: Report, model: Path, jpegs: Path, tmp_path: Path):
    bundle = Bundle.open(model)
    _hundred_thousand_codes(tmp_path / "codes.h5", bundle)
    image = next(jpegs.iterdir())
    ours, peer, limit = in_turn(
        9,
        lambda: command([GANHASH, "query", image, "--model", model, "--codes", "codes.h5"], tmp_path),
        lambda: python(WITH_TORCH, tmp_path),
        lambda: python(LEAST, tmp_path, str(bundle.onnx), str(image), "codes.h5"),
    )
    report.add(
        Row("cold query, 100,000 codes", "s", "lower", ours.seconds, peer.seconds, limit.seconds, 1 / 6, ratio=True)
    )
    report.add(
        Row("cold query, memory", "MiB", "lower", ours.mebibytes, peer.mebibytes, limit.mebibytes, 1 / 3, ratio=True)
    )


def _hundred_thousand_codes(path: Path, bundle: Bundle) -> None:
    """Write random codes that pass for the model's."""
    count = 100_000
    random = np.random.default_rng(0)
    header = Header(bundle.bits, bundle.fingerprint, b"/", bundle.side, "nothing")
    rows = Rows(
        random.integers(0, 256, (count, bundle.bits // 8), dtype=np.uint8),
        [f"{number:06}.jpg".encode() for number in range(count)],
        np.ones(count, np.uint64),
        np.ones(count, np.int64),
        np.ones(count, np.uint8),
    )
    codes.write(path, header, rows)
