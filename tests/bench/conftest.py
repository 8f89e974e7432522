"""What the benchmarks share: the report, a model as `ganhash train` writes it, and images to encode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.measure import Report

IMAGES = "GANHASH_BENCH_IMAGES"  # a folder of at least 10,000 images; without it they are made from the sample


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """The rows of this run, written when it ends."""
    result = Report()
    yield result
    result.write()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An efficientnet_lite0 of 64 bits for 64 pixels; which bits come out does not matter for its speed."""
    import torch

    from ganhash_cli.engine import bundle, exporter
    from ganhash_cli.engine.backbones import build
    from ganhash_cli.engine.model import HashNet
    from ganhash_cli.engine.progress import finish
    from ganhash_cli.plugin import registry

    folder = tmp_path_factory.mktemp("bench") / "model"
    folder.mkdir()
    identity = registry.identify("backbone", "efficientnet_lite0", {})
    torch.manual_seed(0)
    probe = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)
    check = finish(exporter.export(HashNet(build(identity), 64), 64, folder, probe))
    bundle.write(
        folder,
        backbone=identity.as_json(),
        bits=64,
        side=64,
        class_names=(),
        source="nothing",
        training_digest="",
        settings={},
        metrics={"onnx_check": check},
        fakes=None,
    )
    return folder


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 10,000 small JPEGs: links to those in $GANHASH_BENCH_IMAGES, or made from the bundled sample."""
    folder = tmp_path_factory.mktemp("jpegs")
    if os.environ.get(IMAGES):
        found = sorted(Path(os.environ[IMAGES]).resolve().rglob("*.jp*g"))
        step = max(1, len(found) // 10_000)
        for number, path in enumerate(found[: 10_000 * step : step]):
            (folder / f"{number:05}.jpg").symlink_to(path)
        return folder
    from ganhash_cli.engine import sample

    with sample.training_folder() as source:
        pictures = [Image.open(path).convert("RGB").resize((32, 32)) for path in sorted(source.rglob("*.png"))]
    for number in range(10_000):
        pictures[number % len(pictures)].save(folder / f"{number:05}.jpg", quality=90 - number // len(pictures))
    return folder
