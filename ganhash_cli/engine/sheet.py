"""Answers → a contact sheet: one row a query, its neighbours beside it with distance and label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ganhash_cli.engine import decoders, files, outputs
from ganhash_cli.engine.codes import CHANGED
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.fonts import font
from ganhash_cli.engine.names import shortened
from ganhash_cli.engine.results import Answer

MOST_ROWS = 50
MOST_COLUMNS = 20
_FEWEST_COLUMNS = 4  # so that the heading has room
_TILE, _FRAME, _GAP, _CAPTION, _MARGIN, _HEAD = 128, 4, 12, 48, 24, 48
_QUERY_GAP = 36  # between the query and its neighbours, with a line in it
_INK, _FAINT, _LINE, _PAPER, _EMPTY = "#1c1f24", "#6b7280", "#d7dbe0", "#ffffff", "#e5e7eb"
RIGHT, WRONG = "#1b9e77", "#d95f02"  # told apart by colour-blind eyes too
_STEP, _ROW = _TILE + 2 * _FRAME + _GAP, _TILE + 2 * _FRAME + _CAPTION

Drawn = NDArray[np.uint8] | Undecodable


def draw(answers: Sequence[Answer]) -> Image.Image:
    """Draw up to 50 answers of up to 20 neighbours; a frame tells right from wrong where labels are known."""
    answers = answers[:MOST_ROWS]
    columns = max([_FEWEST_COLUMNS, *(min(len(answer.hits), MOST_COLUMNS) for answer in answers)])
    size = (_left(columns) - _GAP + _MARGIN, _HEAD + len(answers) * _ROW + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    shown = [file for answer in answers for file in (answer.query, *_paths(answer))]
    tiles = decoders.squares(shown, _TILE)
    _head(pen, answers)
    for row, answer in enumerate(answers):
        _draw_row(sheet, pen, answer, _HEAD + row * _ROW, tiles)
    line = _MARGIN + _TILE + 2 * _FRAME + _QUERY_GAP // 2
    pen.line([(line, _MARGIN // 2), (line, size[1] - _MARGIN)], _LINE)
    return sheet


def write(answers: Sequence[Answer], path: Path) -> None:
    """Write the contact sheet of `answers` as a PNG."""
    sheet, marks = draw(answers), PngImagePlugin.PngInfo()
    for name, text in outputs.PNG_TEXT.items():
        marks.add_text(name, text)
    with files.atomic_write(path) as stream:
        sheet.save(stream, "PNG", pnginfo=marks)


def _paths(answer: Answer) -> list[bytes]:
    return [hit.path for hit in answer.hits[:MOST_COLUMNS]]


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
        words += [("same label", RIGHT), ("another label", WRONG)]
    pen.text((_MARGIN + _FRAME, _MARGIN // 2), "query", _FAINT, font(15))
    left = float(_left(0) + _FRAME)
    for text, colour in words:
        pen.text((left, _MARGIN // 2), text, colour, font(15))
        left += pen.textlength(text, font(15)) + _MARGIN


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, answer: Answer, top: int, tiles: Iterator[Drawn]) -> None:
    _draw_tile(sheet, pen, (_MARGIN, top), next(tiles), _PAPER)
    name, label = _name(answer.query), _text(", ".join(answer.labels))
    _caption(pen, (_MARGIN, top), label or name, name if label else "")
    for column, hit in enumerate(answer.hits[:MOST_COLUMNS]):
        corner, tile = (_left(column), top), next(tiles)
        frame = {True: RIGHT, False: WRONG, None: _PAPER}[answer.right(hit)]
        _draw_tile(sheet, pen, corner, Undecodable(CHANGED) if hit.changed else tile, frame)
        _caption(pen, corner, f"{hit.distance}/{hit.bits}  {_text(hit.label)}", _name(hit.path))


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
    why = CHANGED.replace(" since ", "\nsince ") if str(tile) == CHANGED else "cannot be read"
    pen.text(middle, why, _FAINT, font(13), anchor="mm", align="center")


def _caption(pen: ImageDraw.ImageDraw, corner: tuple[int, int], first: str, second: str) -> None:
    left, top = corner[0] + _FRAME, corner[1] + _TILE + 2 * _FRAME
    pen.text((left, top + 1), _fitting(pen, first, font(14)), _INK, font(14))
    pen.text((left, top + 18), _fitting(pen, second, font(13)), _FAINT, font(13))


def _fitting(pen: ImageDraw.ImageDraw, text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a text to the width of a tile."""
    return shortened(text, lambda shown: pen.textlength(shown, letters) <= _TILE)


def _name(path: bytes) -> str:
    return _text(os.path.basename(path).decode(errors="replace"))


def _text(name: str) -> str:
    """Make a name drawable; a line break in it would leave its place."""
    return "".join(char if char.isprintable() else "?" for char in name)
