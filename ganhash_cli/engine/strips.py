"""Answers → strips of pictures as wide as a terminal: the query, its neighbours, and what each of them is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import decoders, wording
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.names import safe
from ganhash_cli.engine.results import Answer, Hit

MOST_ANSWERS = 10
_MOST_ROWS = 3  # of one query; several have one each
_WIDEST, _NARROWEST, _GAP = 18, 8, 2  # cells
_ABREAST = 4  # pictures, before they are made narrower than the widest
_EMPTY, _CROSS = (75, 82, 94, 255), (156, 163, 175, 255)


@dataclass(frozen=True)
class Caption:
    """What stands below a picture, in two lines; `right` is None where labels do not tell.

    In the place of a file that `changed` a picture is crossed out.
    """

    first: str
    second: str
    right: bool | None = None
    changed: bool = False


@dataclass(frozen=True)
class Strip:
    """Pictures side by side: (H, W, 4) RGBA pixels, transparent between them, which fill `rows` x `columns` cells.

    Each has its caption; it is `tile` cells wide, with `gap` cells to the next.
    """

    pixels: NDArray[np.uint8]
    rows: int
    columns: int
    tile: int
    captions: tuple[Caption, ...]
    gap: int = _GAP


def arrange(answers: Sequence[Answer], width: int, cell: tuple[int, int]) -> Iterator[Strip]:
    """Give the strips of up to 10 answers for a terminal `width` cells wide, a cell being so many pixels."""
    tile = min(max((width - (_ABREAST - 1) * _GAP) // _ABREAST, _NARROWEST), _WIDEST, width)
    abreast = (width + _GAP) // (tile + _GAP)
    most = abreast * (_MOST_ROWS if len(answers) == 1 else 1)
    shown = [_pictures(answer)[:most] for answer in answers[:MOST_ANSWERS]]
    squares = decoders.squares((file for pictures in shown for file, _ in pictures), tile * cell[0])
    for pictures in shown:
        for start in range(0, len(pictures), abreast):
            row = pictures[start : start + abreast]
            yield _strip([(next(squares), file, caption) for file, caption in row], tile, cell)


def _pictures(answer: Answer) -> list[tuple[bytes, Caption]]:
    query = (answer.query, Caption("query", safe(", ".join(answer.labels)) or _name(answer.query)))
    signs = {True: " ✓", False: " ✗", None: ""}
    return [
        query,
        *(
            (hit.path, Caption(f"{hit.distance}/{hit.bits}{signs[right]}", _label(hit), right, hit.changed))
            for hit, right in ((hit, answer.right(hit)) for hit in answer.hits)
        ),
    ]


def _strip(
    row: list[tuple[NDArray[np.uint8] | Undecodable, bytes, Caption]], tile: int, cell: tuple[int, int]
) -> Strip:
    side = tile * cell[0]
    rows, columns = -(-side // cell[1]), len(row) * (tile + _GAP) - _GAP
    pixels = np.zeros((rows * cell[1], columns * cell[0], 4), np.uint8)
    captions = []
    for number, (square, file, caption) in enumerate(row):
        left = number * (tile + _GAP) * cell[0]
        place = pixels[:side, left : left + side]
        if caption.changed or isinstance(square, Undecodable):
            place[...] = _empty(side)
            why = "changed" if caption.changed else "unreadable" if os.path.lexists(file) else wording.MISSING
            caption = replace(caption, second=why)
        else:
            place[..., :3], place[..., 3] = square, 255
        captions.append(caption)
    return Strip(pixels, rows, columns, tile, tuple(captions))


def _empty(side: int) -> NDArray[np.uint8]:
    """Return a crossed-out square for what is not there."""
    square = np.full((side, side, 4), _EMPTY, np.uint8)
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    thick = side // 32
    square[(abs(across - down) <= thick) | (abs(across + down - side + 1) <= thick)] = _CROSS
    return square


def _label(hit: Hit) -> str:
    return safe(hit.label) or _name(hit.path)


def _name(path: bytes) -> str:
    return safe(os.path.basename(path))
