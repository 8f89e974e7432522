"""Small pictures for tests: noisy squares of one colour, alone, a folder a colour, or as fakes that are scored."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.engine import images
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.images import Collection


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


def scored(folder: Path, scores: list[float]) -> tuple[Collection, tuple[Judgement, ...]]:
    """Fakes of all colours, which a teacher takes for these, more or less surely, in the order of their paths."""
    fakes = images.from_folder(paint_classes(folder, each=len(scores) // len(COLOURS)))
    judged = (Judgement(entry.labels[0], score) for entry, score in zip(fakes.entries, scores, strict=True))
    return fakes, tuple(judged)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path, error: OSError) -> None:
    """Let the listing of a folder fail; where it says that it is gone, it is."""
    scan = os.scandir

    def scandir(path: bytes) -> Any:
        if path == os.fsencode(folder):
            error.filename = path
            if isinstance(error, FileNotFoundError):
                shutil.rmtree(folder)
            raise error
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
