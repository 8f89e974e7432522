"""Pixels → the text that makes a terminal draw them: kitty's graphics protocol, sixels, or half blocks."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CHUNK = 4096  # characters of one piece, by the protocol
_COLOURS = 255


def kitty(pixels: NDArray[np.uint8], rows: int, columns: int) -> str:
    """Return (H, W, 4) RGBA pixels as one picture that fills so many cells.

    https://sw.kovidgoyal.net/kitty/graphics-protocol/; with q=2 the terminal answers nothing, which would end up
    on somebody's stdin.
    """
    png = BytesIO()
    Image.fromarray(pixels).save(png, "PNG", compress_level=1)
    payload = base64.b64encode(png.getvalue()).decode()
    pieces = [payload[start : start + _CHUNK] for start in range(0, len(payload), _CHUNK)]
    keys = [f"a=T,f=100,q=2,C=1,c={columns},r={rows},", *[""] * (len(pieces) - 1)]
    more = [*[1] * (len(pieces) - 1), 0]
    return _in_room(
        "".join(f"\x1b_G{key}m={m};{piece}\x1b\\" for key, m, piece in zip(keys, more, pieces, strict=True)), rows
    )


def sixel(pixels: NDArray[np.uint8], rows: int) -> str:
    """Return (H, W, 4) RGBA pixels, `rows` cells high, as sixels of up to 255 colours; alpha 0 is not drawn.

    A character holds six pixels of one colour, one below the other (DEC's VT330/VT340 manual, chapter 14).
    """
    height, width = pixels.shape[:2]
    # The fast way: in the size of a preview it looks like median cut, which takes a hundred times as long.
    reduced = Image.fromarray(pixels[..., :3]).quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    numbers = np.where(pixels[..., 3] > 0, np.asarray(reduced), _COLOURS)
    colours = np.array(reduced.getpalette(), np.uint32).reshape(-1, 3)
    defined = "".join(f"#{number};2;{r};{g};{b}" for number, (r, g, b) in enumerate((colours * 100 + 127) // 255))
    bands = "-".join("$".join(_lines(numbers[top : top + 6])) for top in range(0, height, 6))
    return _in_room(f'\x1bP0;1;0q"1;1;{width};{height}{defined}{bands}\x1b\\', rows)


def blocks(pixels: NDArray[np.uint8], colours: Literal["truecolor", "256"]) -> str:
    """Return (2 H, W, 4) RGBA pixels as H lines of W half blocks: the upper pixel in ink, the lower as its ground."""
    codes = _true_colours(pixels) if colours == "truecolor" else _of_256_colours(pixels)
    rows = zip(codes[0::2], codes[1::2], strict=True)
    return "\n".join("".join(map(_half_block, upper, lower)) + "\x1b[0m" for upper, lower in rows)


def _half_block(upper: str, lower: str) -> str:
    """Return one cell of two colours; where a pixel has none, the terminal's own shows."""
    ink, ground = (f";38;{upper}" if upper else ""), (f";48;{lower}" if lower else "")
    return f"\x1b[0{ink}{ground}m{'▀' if upper else ' '}"


def _in_room(picture: str, rows: int) -> str:
    """Make room first and put the cursor back after: terminals differ in whether a picture scrolls and moves it."""
    down = "\n" * rows
    return f"{down}\x1b[{rows}A\x1b7{picture}\x1b8\x1b[{rows - 1}B"


def _true_colours(pixels: NDArray[np.uint8]) -> list[list[str]]:
    return [[f"2;{r};{g};{b}" if a else "" for r, g, b, a in row] for row in pixels.tolist()]


def _of_256_colours(pixels: NDArray[np.uint8]) -> list[list[str]]:
    """Return for each pixel the nearest of xterm's 240 colours that no theme changes: a cube of six, and greys."""
    levels, greys = (0, 95, 135, 175, 215, 255), range(8, 239, 10)
    table = np.array([*product(levels, repeat=3), *((grey,) * 3 for grey in greys)])
    away = ((pixels[..., None, :3].astype(int) - table) ** 2).sum(-1)
    numbers = np.where(pixels[..., 3] > 0, away.argmin(-1) + 16, 0)
    return [[f"5;{number}" if number else "" for number in row] for row in numbers.tolist()]


def _lines(band: NDArray[np.integer]) -> Iterator[str]:
    """Give for each colour of up to six rows of pixels its sixels, equal ones counted."""
    signs = np.full((_COLOURS + 1, band.shape[1]), ord("?"), np.uint8)
    for bit, row in enumerate(band):
        signs[row, np.arange(len(row))] += 1 << bit
    for number in np.unique(band[band != _COLOURS]):
        yield f"#{number}" + re.sub(r"(.)\1{3,}", _counted, signs[number].tobytes().decode().rstrip("?"))


def _counted(run: re.Match[str]) -> str:
    return f"!{len(run[0])}{run[1]}"
