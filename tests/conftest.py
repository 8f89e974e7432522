"""What several tests share: small folders of images and quiet settings for each test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganhash_cli import console


@pytest.fixture(autouse=True)
def _same_for_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads, no settings from the person's environment, and the normal verbosity."""
    torch.set_num_threads(2)
    monkeypatch.delenv("GANHASH_PLUGINS", raising=False)
    monkeypatch.setattr(console, "verbosity", 0)


def paint(path: Path, colour: tuple[int, int, int], seed: int, side: int = 32) -> None:
    """Write a noisy square of one colour."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + rng.normal(0, 30, (side, side, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def paint_classes(folder: Path, each: int = 12) -> Path:
    """Write `each` noisy squares of every colour, a folder a colour."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(each):
            paint(folder / name / f"{index:02}.png", colour, seed=100 * number + index)
    return folder


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of 36 noisy squares in three classes."""
    return paint_classes(tmp_path / "coloured")
