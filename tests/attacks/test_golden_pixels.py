"""I4: the pixels of every mode, depth and orientation are those of a formula written down apart from the decoder's."""

import io
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import corpus
from ganhash_cli.engine import codes, decoding
from linear_hash import LinearHash
from reliability_card import record
from test_encoder import run

Array = NDArray[np.uint8]
RGB = tuple[int, int, int]
ERROR = {"CMYK": 2, "YCCK": 2}
"""By how much a flat colour may differ: a JPEG rounds, the others are exact."""
SEPARATE = [(0, 0, 0, 0), (255, 0, 0, 0), (10, 200, 90, 30), (255, 255, 255, 255)]


def tiff(order: str, bits: int, kind: int, samples: bytes, width: int) -> bytes:
    """Return a TIFF of one grey row, by hand: TIFF 6.0, sections 2 and 8; kind 1 is unsigned, 2 signed, 3 a float."""
    entries = {256: width, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(samples), 339: kind}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(samples))
    table = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return head + samples + struct.pack(f"{order}H", len(entries)) + table + bytes(4)


def greys(order: str, code: str, values: Sequence[float]) -> bytes:
    """Return such a TIFF of values in a struct code."""
    kind = {"H": 1, "i": 2, "f": 3}[code]
    samples = struct.pack(f"{order}{len(values)}{code}", *values)
    return tiff(order, 8 * struct.calcsize(code), kind, samples, len(values))


def png(mode: str, rows: Sequence[Sequence[object]], **options: object) -> bytes:
    """Return pixels of a mode as a PNG."""
    image = Image.new(mode, (len(rows[0]), len(rows)))
    image.putdata([pixel for row in rows for pixel in row])
    if mode == "P":
        image.putpalette([200, 0, 0, 0, 100, 0, 0, 0, 50])
    return corpus.saved(image, "PNG", **options)


def separated(colour: tuple[int, int, int, int], transform: int) -> bytes:
    """Return a flat JPEG of four components as Adobe writes it, inverted; its marker says CMYK (0) or YCCK (2)."""
    content = bytearray(corpus.saved(Image.new("CMYK", (16, 16), colour), "JPEG", quality=100))
    content[content.index(b"Adobe") + 11] = transform
    return bytes(content)


def over_white(colour: RGB, alpha: int) -> RGB:
    return tuple(round(part * alpha / 255 + 255 * (255 - alpha) / 255) for part in colour)  # type: ignore[return-value]  # of three


def inked(cyan: int, magenta: int, yellow: int, black: int) -> RGB:
    """Return how white paper looks under four inks: each takes its share away."""
    return tuple(round((255 - ink) * (255 - black) / 255) for ink in (cyan, magenta, yellow))  # type: ignore[return-value]  # three


def of_ycck(components: tuple[int, int, int, int]) -> RGB:
    """Return the colour of inverted components Y, Cb, Cr, K: JFIF 1.02 gives RGB, which is the paper less each ink."""
    luma, blue, red, black = (255 - part for part in components)
    blue, red = blue - 128, red - 128
    light = luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue
    return inked(*(min(255, max(0, round(part))) for part in light), 255 - black)


def each_grey(values: Sequence[int]) -> list[RGB]:
    return [(value, value, value) for value in values]


WIDE = (0, 128, 129, 257, 30_000, 65_535)
LEVELS, CLEAR = [0, 1, 127, 254, 255], [(9, 0), (9, 255), (200, 128), (0, 77)]
COLOURS = [(0, 0, 0, 0), (10, 200, 30, 255), (10, 200, 30, 128), (255, 255, 255, 3)]
GOLDEN: dict[str, tuple[bytes, list[RGB]]] = {
    "1": (png("1", [[0, 255, 255, 0]]), each_grey([0, 255, 255, 0])),
    "L": (png("L", [LEVELS]), each_grey(LEVELS)),
    "LA": (png("LA", [CLEAR]), [over_white((grey, grey, grey), alpha) for grey, alpha in CLEAR]),
    "P": (png("P", [[0, 1, 2]]), [(200, 0, 0), (0, 100, 0), (0, 0, 50)]),
    "P with tRNS": (
        png("P", [[0, 1, 2]], transparency=bytes([0, 128, 255])),
        [(255, 255, 255), over_white((0, 100, 0), 128), (0, 0, 50)],
    ),
    "RGB": (png("RGB", [[(1, 2, 3), (255, 0, 128)]]), [(1, 2, 3), (255, 0, 128)]),
    "RGBA": (png("RGBA", [COLOURS]), [over_white(colour[:3], colour[3]) for colour in COLOURS]),
    "I;16 little": (greys("<", "H", WIDE), each_grey([round(value / 257) for value in WIDE])),
    "I;16 big": (greys(">", "H", WIDE), each_grey([round(value / 257) for value in WIDE])),
    "I": (greys("<", "i", (-5, 0, 257, 65_535)), each_grey([0, 0, 1, 255])),
    "F": (greys("<", "f", (0, 0.2, 0.5, 1)), each_grey([0, 51, 128, 255])),
    **{f"CMYK {ink}": (separated(ink, 0), [inked(*ink)] * 256) for ink in SEPARATE},
    **{f"YCCK {ink}": (separated(ink, 2), [of_ycck(ink)] * 256) for ink in SEPARATE},
}


@pytest.mark.parametrize("mode", GOLDEN)
def test_pixels_are_those_of_the_formula(mode: str) -> None:
    content, wanted = GOLDEN[mode]
    found = np.asarray(decoding.decode(io.BytesIO(content))).reshape(-1, 3).astype(int)
    assert np.abs(found - np.array(wanted)).max() <= ERROR.get(mode.split()[0], 0), found.tolist()[:6]


def turned(upright: Array, orientation: int) -> Array:
    """Return what a camera stores: pixel by pixel, by the rows and columns that EXIF 2.32 says the 0th ones are."""
    height, width = upright.shape[:2]
    place: dict[int, Callable[[int, int], tuple[int, int]]] = {
        1: lambda y, x: (y, x),
        2: lambda y, x: (y, width - 1 - x),
        3: lambda y, x: (height - 1 - y, width - 1 - x),
        4: lambda y, x: (height - 1 - y, x),
        5: lambda y, x: (x, y),
        6: lambda y, x: (width - 1 - x, y),
        7: lambda y, x: (width - 1 - x, height - 1 - y),
        8: lambda y, x: (x, height - 1 - y),
    }
    stored = np.empty((width, height, 3) if orientation > 4 else upright.shape, np.uint8)
    for y in range(height):
        for x in range(width):
            stored[place[orientation](y, x)] = upright[y, x]
    return stored


def test_eight_orientations_of_one_picture_have_one_code(tmp_path: Path) -> None:
    upright = np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "folder").mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(turned(upright, orientation)).save(tmp_path / f"folder/{orientation}.png", exif=exif)
    run(tmp_path / "folder", tmp_path / "codes.h5", LinearHash())
    with codes.open_codes(tmp_path / "codes.h5") as stored:
        assert len({bytes(code) for code in stored.codes}) == 1
        assert len(stored) == 8
    square = decoding.square(os.fsencode(tmp_path / "folder/6.png"), 20)
    assert np.array_equal(square, upright[:, 5:25])
    record("I4", "pixels by formulas apart from the decoder's", modes=len(GOLDEN), orientations=8, codes_differing=0)
