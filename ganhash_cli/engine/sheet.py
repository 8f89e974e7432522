"""Answers → a contact sheet: each query, and beside it rows of its neighbours with distance and label."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ganhash_cli.engine import decoders, files, outputs, wording
from ganhash_cli.engine.codes import CHANGED
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.fonts import font
from ganhash_cli.engine.names import shortened
from ganhash_cli.engine.results import Answer, Hit

MOST_QUERIES = 50
COLUMNS, MOST_ROWS = 10, 100  # of neighbours: 89 MB of pixels, which a viewer still opens
_FEWEST_COLUMNS = 4  # so that the heading has room
_TILE, _FRAME, _GAP, _CAPTION, _MARGIN, _HEAD = 128, 4, 12, 48, 24, 48
_QUERY_GAP = 36  # between the query and its neighbours, with a line in it
_INK, _FAINT, _LINE, _PAPER, _EMPTY = "#1c1f24", "#6b7280", "#d7dbe0", "#ffffff", "#e5e7eb"
RIGHT, WRONG = "#1b9e77", "#d95f02"  # told apart by colour-blind eyes too
_SIGNS = {True: "✓", False: "✗", None: ""}
_STEP, _ROW = _TILE + 2 * _FRAME + _GAP, _TILE + 2 * _FRAME + _CAPTION

Drawn = NDArray[np.uint8] | Undecodable


def draw(answers: Sequence[Answer]) -> Image.Image:
    """Draw up to 50 answers in up to 100 rows; frames and signs tell right from wrong where labels are known."""
    most, answers = most_hits(len(answers)), answers[:MOST_QUERIES]
    shown = [answer.hits[:most] for answer in answers]
    files_shown = [file for answer, hits in zip(answers, shown, strict=True) for file in (answer.query, *_paths(hits))]
    columns = max([_FEWEST_COLUMNS, *(min(len(hits), COLUMNS) for hits in shown)])
    heights = [max(1, -(-len(hits) // COLUMNS)) * _ROW for hits in shown]
    size = (_left(columns) - _GAP + _MARGIN, _HEAD + sum(heights) + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    tiles, names = decoders.squares(files_shown, _TILE), _Names(files_shown)
    _head(pen, answers)
    top = _HEAD
    for answer, hits, height in zip(answers, shown, heights, strict=True):
        if top > _HEAD and max(heights) > _ROW:  # where a query ends is no longer seen by its row
            pen.line([(_MARGIN, top - _GAP // 2), (size[0] - _MARGIN, top - _GAP // 2)], _LINE)
        _draw_answer(sheet, pen, answer, hits, top, tiles, names)
        top += height
    line = _MARGIN + _TILE + 2 * _FRAME + _QUERY_GAP // 2
    pen.line([(line, _MARGIN // 2), (line, size[1] - _MARGIN)], _LINE)
    return sheet


def most_hits(queries: int) -> int:
    """Return how many neighbours of each of so many queries have room, in whole rows.

    >>> most_hits(1), most_hits(10), most_hits(50), most_hits(1000)
    (1000, 100, 20, 20)
    """
    return MOST_ROWS // max(1, min(queries, MOST_QUERIES)) * COLUMNS


def write(answers: Sequence[Answer], path: Path) -> None:
    """Write the contact sheet of `answers` as a PNG."""
    sheet, marks = draw(answers), PngImagePlugin.PngInfo()
    for name, text in outputs.PNG_TEXT.items():
        marks.add_text(name, text)
    with files.atomic_write(path) as stream:
        sheet.save(stream, "PNG", pnginfo=marks)


def _paths(hits: Sequence[Hit]) -> list[bytes]:
    return [hit.path for hit in hits]


class _Names:
    """Names of files as they are shown: with their folder where another file that is shown has the same name."""

    def __init__(self, paths: Sequence[bytes]) -> None:
        self._count = Counter(map(os.path.basename, {os.path.abspath(path) for path in paths}))

    def of(self, path: bytes) -> str:
        """Return what stands below a picture."""
        folder, name = os.path.split(path)
        shown = os.path.join(os.path.basename(folder), name) if self._count[name] > 1 else name
        return _text(shown.decode(errors="replace"))


def _left(column: int) -> int:
    """Return where the neighbour of a column begins."""
    return _MARGIN + _TILE + 2 * _FRAME + _QUERY_GAP + column * _STEP


def _head(pen: ImageDraw.ImageDraw, answers: Sequence[Answer]) -> None:
    hits = [(answer, hit) for answer in answers for hit in answer.hits]
    words = [("nearest by Hamming distance", _FAINT)]
    if hits:
        about = f"nearest of {hits[0][0].searched:,} images by Hamming distance, {hits[0][1].bits}-bit codes"
        words = [(about, _FAINT)]
    if any(answer.right(hit) is not None for answer, hit in hits):
        words += [(f"{_SIGNS[True]} same label", RIGHT), (f"{_SIGNS[False]} another label", WRONG)]
    pen.text((_MARGIN + _FRAME, _MARGIN // 2), "query", _FAINT, font(15))
    left = float(_left(0) + _FRAME)
    for text, colour in words:
        pen.text((left, _MARGIN // 2), text, colour, font(15))
        left += pen.textlength(text, font(15)) + _MARGIN


def _draw_answer(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    answer: Answer,
    hits: Sequence[Hit],
    top: int,
    tiles: Iterator[Drawn],
    names: _Names,
) -> None:
    _draw_tile(sheet, pen, (_MARGIN, top), next(tiles), _PAPER)
    name, label = names.of(answer.query), _text(", ".join(answer.labels))
    _caption(pen, (_MARGIN, top), "", label or name, name if label else "")
    for place, hit in enumerate(hits):
        corner = (_left(place % COLUMNS), top + place // COLUMNS * _ROW)
        right, tile = answer.right(hit), next(tiles)
        frame = {True: RIGHT, False: WRONG, None: _PAPER}[right]
        _draw_tile(sheet, pen, corner, Undecodable(CHANGED) if hit.changed else tile, frame)
        _caption(pen, corner, f"{hit.distance}/{hit.bits} {_SIGNS[right]} ", _text(hit.label), names.of(hit.path))


def _draw_tile(sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], tile: Drawn, frame: str) -> None:
    """Paste one image into its frame, or say in its place why there is none."""
    left, top = corner
    pen.rectangle([left, top, left + _TILE + 2 * _FRAME - 1, top + _TILE + 2 * _FRAME - 1], frame)
    inside = (left + _FRAME, top + _FRAME)
    if not isinstance(tile, Undecodable):
        sheet.paste(Image.fromarray(tile), inside)
        return
    pen.rectangle([*inside, inside[0] + _TILE - 1, inside[1] + _TILE - 1], _EMPTY)
    middle = (inside[0] + _TILE // 2, inside[1] + _TILE // 2)
    why = str(tile) if str(tile) in (CHANGED, wording.MISSING) else "cannot be read"
    pen.text(middle, why.replace(" since ", "\nsince "), _FAINT, font(13), anchor="mm", align="center")


def _caption(pen: ImageDraw.ImageDraw, corner: tuple[int, int], whole: str, first: str, second: str) -> None:
    """Write two lines below a tile; what is `whole` is never shortened."""
    left, top = corner[0] + _FRAME, corner[1] + _TILE + 2 * _FRAME
    taken = pen.textlength(whole, font(14))
    pen.text((left, top + 1), whole + _fitting(pen, first, font(14), _TILE - taken), _INK, font(14))
    pen.text((left, top + 18), _fitting(pen, second, font(13), _TILE), _FAINT, font(13))


def _fitting(
    pen: ImageDraw.ImageDraw, text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float
) -> str:
    """Shorten a text to a width."""
    return shortened(text, lambda shown: pen.textlength(shown, letters) <= width)


def _text(name: str) -> str:
    """Make a name drawable; a line break in it would leave its place."""
    return "".join(char if char.isprintable() else "?" for char in name)
