"""Start-up: `ganhash --help`, an answer to TAB, and a cold query over a million codes."""

import sys
from pathlib import Path

import pytest

from bench.conftest import million_codes, write_model
from bench.measure import Report, Row, command, in_turn, python
from ganhash_cli.engine.bundle import Bundle

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
WITH_TORCH = """
import sys
import timm, torch
network = timm.create_model(sys.argv[1], pretrained=False, num_classes=64).eval()
with torch.inference_mode():
    network(torch.zeros(1, 3, 224, 224))
"""
LEAST = """
import sys
import faiss, h5py, numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
pixels = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize((224, 224)))[None]
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


@pytest.mark.parametrize(
    ("network", "architecture", "aim"),
    [("efficientnet_lite0", "tf_efficientnet_lite0", 0.45), ("resnet50", "resnet50", 0.75)],
)
def test_cold_query(report: Report, jpegs: Path, tmp_path: Path, network: str, architecture: str, aim: float):
    bundle = Bundle.open(write_model(tmp_path, network, 224))
    million_codes(tmp_path / "codes.h5", bundle)
    image = next(jpegs.iterdir())
    ours, peer, limit = in_turn(
        9,
        lambda: command([GANHASH, "query", image, "--codes", "codes.h5"], tmp_path),
        lambda: python(WITH_TORCH, tmp_path, architecture),
        lambda: python(LEAST, tmp_path, str(bundle.onnx), str(image), "codes.h5"),
    )
    name = f"cold query, 1,000,000 codes, {network} at 224"
    figures = (ours.seconds, peer.seconds, limit.seconds)
    report.add(Row(name, "s", "lower", *figures, aim))
    if network == "efficientnet_lite0":
        report.add(Row(f"{name}, beside torch and timm", "s", "lower", *figures, 1 / 9, ratio=True))
        report.add(Row(f"{name}, memory", "MiB", "lower", ours.mebibytes, peer.mebibytes, limit.mebibytes, 250))
