"""What a query gives to look at besides its table: a contact sheet, and pictures in the terminal."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ganhash_cli import console, terminal
from ganhash_cli.errors import UsageError
from ganhash_cli.terminal import Preview

if TYPE_CHECKING:
    from ganhash_cli.engine.results import Answer


def require_suffixes(sheet: Path | None) -> None:
    """Raise `UsageError` where a name does not say what will be written there."""
    if sheet and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet {sheet}: a contact sheet is a PNG", hint=f"--sheet {sheet.stem}.png")


def write(answers: "list[Answer]", path: Path | None) -> None:
    """Write the views that were asked for and name them."""
    if not path:
        return
    from ganhash_cli.engine import sheet

    sheet.write(answers, path)
    shown = f", the first {sheet.MOST_ROWS} queries" if len(answers) > sheet.MOST_ROWS else ""
    console.note(f"contact sheet: {console.safe(os.fspath(path))}{shown}")


def show(answers: "list[Answer]", wanted: Preview) -> None:
    """Draw pictures of queries and hits where stdout is a terminal that shows some."""
    kind = terminal.choose(wanted, os.environ, sys.stdout.encoding) if sys.stdout.isatty() else Preview.none
    if kind == Preview.none or not any(answer.hits for answer in answers):
        return
    from ganhash_cli.engine import graphics, strips

    for strip in strips.arrange(answers, terminal.width(), terminal.cell(kind)):
        if kind == Preview.kitty:
            drawing = graphics.kitty(strip.pixels, strip.rows, strip.columns)
        elif kind == Preview.sixel:
            drawing = graphics.sixel(strip.pixels, strip.rows)
        else:
            drawing = graphics.blocks(strip.pixels, terminal.colours(wanted, os.environ))
        console.pictures(strip, drawing)
