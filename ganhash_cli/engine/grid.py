"""Draws the grid that shows fakes beside real images: for each class, real ones above fakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganhash_cli.engine.files import atomic_write
from ganhash_cli.engine.fonts import font
from ganhash_cli.engine.names import shortened

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Band = tuple[str, Images, Images]
"""A name, (n, S, S, C) real images and (m, S, S, C) fakes."""

COLUMNS = 16
MOST_CLASSES = 20
_LONGEST = 24  # characters of a name
_CELL = 56  # least side of an image in the grid, in pixels
_GAP = 2
_MARGIN = 20
_KIND_WIDTH = 40
_INK, _LINE = "#767c85", "#767c8560"  # read on white and on black, since there is no paper


def write(path: Path, bands: list[Band]) -> None:
    """Write a PNG with a band for each class: its name, a row of real images, and a row of fakes below.

    It is clear around the images, to be shown on a light or a dark page.
    """
    side = max(images.shape[1] for _, *kinds in bands for images in kinds)
    scale = max(1, -(-_CELL // side))
    pitch = side * scale + _GAP
    name_width = max(round(font(15).getlength(name)) for name, *_ in bands) + (_MARGIN if bands[0][0] else 0)
    left = _MARGIN + name_width + _KIND_WIDTH
    columns = max(len(images) for _, *kinds in bands for images in kinds)
    height = 2 * pitch + _MARGIN
    canvas = Image.new("RGBA", (left + columns * pitch + _MARGIN, len(bands) * height + _MARGIN))
    for index, band in enumerate(bands):
        _draw_band(canvas, band, _MARGIN + index * height, left, pitch, scale)
    with atomic_write(path) as stream:
        canvas.save(stream, "PNG")


def by_class(
    real: Images, real_labels: Labels, fake: Images, fake_labels: Labels, names: tuple[str, ...]
) -> list[Band]:
    """Choose the first images of each class, of at most `MOST_CLASSES` classes spread over all."""
    present = [label for label in range(len(names)) if (fake_labels == label).any()]
    chosen = present[:: -(-len(present) // MOST_CLASSES)]
    return [
        (
            shortened(names[label], lambda name: len(name) <= _LONGEST),
            real[real_labels == label][:COLUMNS],
            fake[fake_labels == label][:COLUMNS],
        )
        for label in chosen
    ]


def without_classes(real: Images, fake: Images) -> list[Band]:
    """Choose the first images, for three bands without a name."""
    starts = range(0, 3 * COLUMNS, COLUMNS)
    bands: list[Band] = [("", real[start : start + COLUMNS], fake[start : start + COLUMNS]) for start in starts]
    return [band for band in bands if len(band[2])]


def _draw_band(canvas: Image.Image, band: Band, top: int, left: int, pitch: int, scale: int) -> None:
    name, *kinds = band
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, top + pitch), name, _INK, font(15), anchor="lm")
    for row, (kind, images) in enumerate(zip(("real", "fake"), kinds, strict=True)):
        y = top + row * pitch
        draw.text((left - 8, y + pitch // 2), kind, _INK, font(11), anchor="rm")
        for column, image in enumerate(images):
            canvas.paste(_enlarged(image, scale), (left + column * pitch, y))
    bottom = top + 2 * pitch + (_MARGIN - _GAP) // 2
    draw.line((_MARGIN, bottom, canvas.width - _MARGIN, bottom), _LINE)


def _enlarged(image: Images, scale: int) -> Image.Image:
    drawn = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).convert("RGB")
    return drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)
