"""Small pictures for tests: noisy squares of one colour, alone or a folder a colour."""

from pathlib import Path

import numpy as np
from PIL import Image


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
