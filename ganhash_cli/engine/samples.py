"""Grids of fakes drawn while a generator trains, always from the same noise, and the film they make in the end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from ganhash_cli.engine import decoding, files, generator
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.fonts import font
from ganhash_cli.engine.seeds import derive

_LOG = logging.getLogger(__name__)

SAMPLES = "samples"
FILM = "training.gif"
ROWS = 8  # and as many fakes in each
_LEAST = 48  # pixels of a fake
_CAPTION = 24  # pixels
_SHOWN, _SHOWN_LAST = 500, 3000  # milliseconds


class Samples:
    """Writes grids to a folder, one at each step that is a power of two; `labels`, (64,), are the classes of the fakes.

    All are of one run: `forget` removes what another one left, or this one after the state that it goes on from.
    """

    def __init__(self, folder: Path, labels: NDArray[np.int64] | None, seed: int) -> None:
        self._folder = folder
        self._labels = None if labels is None else torch.from_numpy(labels)
        self._seed = seed

    def forget(self, after: int) -> None:
        """Remove the film, and the grids of steps later than `after`."""
        late = [path for step, path in self._grids().items() if step > after]
        for path in (self._folder / FILM, *late, *self._folder.glob(".step-*.tmp")):  # the last of a kill
            path.unlink(missing_ok=True)

    def note(self, step: int, network: nn.Module, *, last: bool = False) -> None:
        """Draw the grid of a step if it is a power of two, or the last; training goes on as if it were not drawn."""
        if step & (step - 1) and not last:
            return
        labels = self._labels if generator.contract(network).num_classes is not None else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self._seed, "samples"))
            drawn = np.concatenate(list(generator.draw(network, labels, ROWS * ROWS, self._seed)))
        with files.atomic_write(self._folder / f"step-{step:08}.png") as stream:
            Image.fromarray(_tiled(drawn)).save(stream, "PNG")

    def film(self, path: Path) -> None:
        """Write the grids so far as an animated GIF, each with its step; nothing where there are none."""
        frames = list(self._frames())
        if frames:
            times = [_SHOWN] * (len(frames) - 1) + [_SHOWN_LAST]
            with files.atomic_write(path) as stream:
                frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)

    def _frames(self) -> Iterator[Image.Image]:
        for step, path in self._grids().items():
            try:
                yield _captioned(decoding.decode(bytes(path)), f"step {step:,}")
            except Undecodable:  # a view, and not worth the fakes
                _LOG.warning("%s cannot be read and is left out of the film", path)

    def _grids(self) -> dict[int, Path]:
        found = {path.stem.removeprefix("step-"): path for path in self._folder.glob("step-*.png")}
        return {int(step): path for step, path in sorted(found.items()) if step.isdigit()}


def _tiled(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay out (64, S, S, 1 or 3) images as one square, (8 S', 8 S', 3), each enlarged to 48 pixels or more."""
    scale = -(-_LEAST // images.shape[1])
    large = images.repeat(scale, 1).repeat(scale, 2)
    side = large.shape[1]
    tiles = np.broadcast_to(large, (*large.shape[:3], 3)).reshape(ROWS, ROWS, side, side, 3)
    return np.ascontiguousarray(tiles.swapaxes(1, 2).reshape(ROWS * side, ROWS * side, 3))


def _captioned(grid: Image.Image, text: str) -> Image.Image:
    canvas = Image.new("RGB", (grid.width, grid.height + _CAPTION), "white")
    canvas.paste(grid)
    ImageDraw.Draw(canvas).text((6, grid.height + 4), text, "#1a1a1a", font(14))
    return canvas
