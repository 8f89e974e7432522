"""What the benchmarks share: the report, a model as `ganhash train` writes it, and images to encode."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.measure import Report

if TYPE_CHECKING:
    from ganhash_cli.engine.bundle import Bundle

IMAGES = "GANHASH_BENCH_IMAGES"  # a folder of JPEGs, small ones, photographs or both; what is not there is made
BUILT_IN = ("efficientnet_lite0", "smallconv")  # the others are timm's, which would fetch weights
SMALL = 64  # pixels of the short side, up to which images are no photographs


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """The rows of this run, written when it ends."""
    result = Report()
    yield result
    result.write()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An efficientnet_lite0 of 64 bits for 64 pixels."""
    return write_model(tmp_path_factory.mktemp("bench"), "efficientnet_lite0", 64)


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 10,000 small JPEGs: links to those in $GANHASH_BENCH_IMAGES, or made from the bundled sample."""
    folder = tmp_path_factory.mktemp("jpegs")
    found = _given(lambda short_side: short_side <= SMALL)
    if found:
        return _link(found[:: max(1, len(found) // 10_000)], folder, 10_000)
    from ganhash_cli.engine import sample

    with sample.training_folder() as source:
        pictures = [Image.open(path).convert("RGB").resize((32, 32)) for path in sorted(source.rglob("*.png"))]
    for number in range(10_000):
        pictures[number % len(pictures)].save(folder / f"{number:05}.jpg", quality=90 - number // len(pictures))
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 300 JPEGs ten times over: those in $GANHASH_BENCH_IMAGES, or made like photographs."""
    found = _given(lambda short_side: short_side > SMALL)[:300]
    return _link(
        found or _paint(tmp_path_factory.mktemp("painted"), 300), tmp_path_factory.mktemp("photographs"), 3_000
    )


def write_model(parent: Path, backbone: str, side: int) -> Path:
    """Write a model of 64 bits as `ganhash train` does; which bits come out does not matter for its speed."""
    import torch

    from ganhash_cli.engine import bundle, exporter
    from ganhash_cli.engine.backbones import build, identify
    from ganhash_cli.engine.model import HashNet
    from ganhash_cli.engine.progress import finish

    folder = parent / "model"
    folder.mkdir()
    identity = identify(backbone, {} if backbone in BUILT_IN else {"pretrained": "false"})
    torch.manual_seed(0)
    probe = np.random.default_rng(0).integers(0, 256, (64, side, side, 3), dtype=np.uint8)
    check = finish(exporter.export(HashNet(build(identity), 64), side, folder, probe))
    bundle.write(
        folder,
        backbone=identity.as_json(),
        bits=64,
        side=side,
        class_names=(),
        source="nothing",
        training_digest="",
        settings={},
        metrics={"onnx_check": check},
        fakes=None,
    )
    return folder


def million_codes(path: Path, bundle: Bundle) -> None:
    """Write random codes that pass for the model's."""
    from ganhash_cli.engine import codes
    from ganhash_cli.engine.codes_format import Header, Rows

    count = 1_000_000
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


def _given(fits: Callable[[int], bool]) -> list[Path]:
    """Return the JPEGs of the folder that was named that fit by their short side, in order."""
    found = sorted(Path(os.environ[IMAGES]).resolve().rglob("*.[jJ][pP]*[gG]")) if os.environ.get(IMAGES) else []
    return [path for path in found if fits(_short_side(path))]


def _short_side(path: Path) -> int:
    with Image.open(path) as image:
        return min(image.size)


def _link(files: list[Path], folder: Path, count: int) -> Path:
    """Fill a folder with `count` links to files, again and again."""
    for number in range(count):
        (folder / f"{number:05}.jpg").symlink_to(files[number % len(files)])
    return folder


def _paint(folder: Path, count: int) -> list[Path]:
    """Write JPEGs of the sizes of photographs, smooth with some noise, about 100 kB each."""
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = (480, 640) if number % 2 else (768, 1024)
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + random.integers(-12, 13, smooth.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=85)
    return sorted(folder.iterdir())


@pytest.fixture(autouse=True)
def _same_for_every_test() -> None:
    """In place of what the other tests have: all processors, for the peers too."""
