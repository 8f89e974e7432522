"""What a verb gives besides its table: names, a contact sheet, a gallery, pictures in the terminal, a viewer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganhash_cli import console, terminal
from ganhash_cli.engine import wording
from ganhash_cli.terminal import Preview

if TYPE_CHECKING:
    from ganhash_cli.engine.results import Answer

_VIEWER_SECONDS = 1.0  # in which a viewer that cannot start says so


def write(answers: "Sequence[Answer]", sheet: Path | None, html: Path | None) -> None:
    """Write the views that were asked for and name them."""
    if sheet:
        from ganhash_cli.engine import sheet as contact_sheet

        contact_sheet.write(answers, sheet)
        most = contact_sheet.MOST_QUERIES, contact_sheet.most_hits(len(answers))
        note("contact sheet", sheet, len(answers), most[0], more=_left_out(answers, *most))
    if html:
        from ganhash_cli.engine import page

        page.write(answers, html)
        more = _left_out(answers, page.MOST_QUERIES, page.MOST_HITS)
        note(f"gallery of {wording.size(html.stat().st_size)}", html, len(answers), page.MOST_QUERIES, more=more)


def _left_out(answers: "Sequence[Answer]", queries: int, hits: int) -> str:
    """Say that of queries that are shown not all neighbours are."""
    several = " of each query" if len(answers) > 1 else ""
    return f", the first {hits:,} neighbours{several}" if any(len(a.hits) > hits for a in answers[:queries]) else ""


def note(what: str, path: Path, count: int, most: int, unit: str = "queries", more: str = "") -> None:
    """Name a view that was written, and what of it had room."""
    shown = f", the first {most} {unit}" if count > most else ""
    console.note(f"{what}: {console.safe(os.fspath(path))}{shown}{more}")


def note_inside(picture: Path, root: bytes, whose: str = "images", verb: str = "encode") -> None:
    """Say where a picture that was written lies below `root`, among what a verb takes, and so will be one of these."""
    if Path(os.path.realpath(picture)).is_relative_to(os.path.realpath(os.fsdecode(root))):
        console.note(
            f"{console.safe(os.fspath(picture))} lies among your {whose}: the next `ganhash {verb}` takes it for one;"
            " move it elsewhere"
        )


def print_names(paths: Iterable[bytes], end: bytes) -> None:
    """Print names by their exact bytes; on a terminal, made safe, as they may hold anything.

    One that begins with a dash stands behind `./`, so that no program which is given it takes it for an option.
    """
    for path in paths:
        path = b"./" + path if path.startswith(b"-") else path
        if sys.stdout.isatty():
            console.say(console.safe(path))
        else:
            sys.stdout.buffer.write(path + end)
    sys.stdout.flush()


def show(answers: "Sequence[Answer]", wanted: Preview) -> None:
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


def open_best(answers: "Sequence[Answer]", sheet: Path | None, html: Path | None) -> None:
    """Open the gallery, the contact sheet, or else the nearest hit of the first query in the system's viewer."""
    hits = [hit.path for answer in answers for hit in answer.hits]
    path = os.path.abspath(os.fsdecode(html or sheet or hits[0]))
    if not os.path.exists(path):
        console.warn(f"cannot open {console.safe(path)}: it is {wording.MISSING}")
    elif not _open(path):
        console.warn(f"no viewer could be started here; open {console.safe(path)} yourself")


def _open(path: str) -> bool:
    """Start the system's viewer; False where there is none.

    Not `typer.launch`: its viewer holds our stdout, so that a pipe would end only with it, and what it prints there
    would stand among the results.
    """
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606  # no shell, and a path of ours
        return True
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None:
        return False
    nowhere = subprocess.DEVNULL
    viewer = subprocess.Popen([opener, path], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        return viewer.wait(_VIEWER_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
