"""What the terminal on stdout is known to show: the kind of pictures, colours, its width, the size of its cells."""

import shutil
import struct
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

_VT340_CELL = (10, 20)  # pixels; what sixels were made for, where a terminal does not tell
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_KITTY_PROGRAMS = ("WezTerm", "ghostty")


class Preview(StrEnum):
    """How pictures are shown in a terminal."""

    auto = "auto"
    kitty = "kitty"
    sixel = "sixel"
    blocks = "blocks"
    none = "none"


def choose(wanted: Preview, environ: Mapping[str, str], encoding: str) -> Preview:
    """Return the kind of pictures for a terminal: what is wanted, or with `auto` the best it is known to show.

    Known from the environment only. Asking the terminal would mean to read its answer from stdin, where names of
    queries may come from, and to wait where there is none.
    """
    windows = "xterm-256color" if "WT_SESSION" in environ else "dumb"  # where no TERM is set
    term, program = environ.get("TERM", windows), environ.get("TERM_PROGRAM", "")
    if wanted != Preview.auto:
        return wanted
    if term == "dumb" or environ.get("NO_COLOR"):
        return Preview.none
    # Inside a multiplexer, variables still name the terminal around it, but its pictures do not get through.
    if term.startswith(("tmux", "screen")) or any(environ.get(name) for name in _MULTIPLEXERS):
        return _blocks(encoding)
    if term in _KITTY_TERMS or program in _KITTY_PROGRAMS:
        return Preview.kitty
    return Preview.sixel if term.partition("-")[0] == "foot" else _blocks(encoding)


def colours(wanted: Preview, environ: Mapping[str, str]) -> Literal["truecolor", "256"]:
    """Return how many colours half blocks may have: 24 bits where they are asked for by name, or known to be there.

    No terminal in use has fewer than 256 or does not make the best of them.
    """
    known = environ.get("COLORTERM") in ("truecolor", "24bit") or "WT_SESSION" in environ
    return "truecolor" if known or wanted == Preview.blocks else "256"


def width() -> int:
    """Return the columns of the terminal."""
    return shutil.get_terminal_size().columns


def cell(kind: Preview) -> tuple[int, int]:
    """Return how many pixels one character cell holds, across and down."""
    if kind == Preview.blocks:
        return 1, 2
    if sys.platform == "win32":
        return _VT340_CELL
    import fcntl
    import termios

    try:
        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return _VT340_CELL
    rows, columns, across, down = struct.unpack("HHHH", told)
    return (across // columns, down // rows) if across >= columns > 0 and down >= rows > 0 else _VT340_CELL


def _blocks(encoding: str) -> Preview:
    try:
        "▀".encode(encoding)
    except UnicodeEncodeError:
        return Preview.none
    return Preview.blocks
