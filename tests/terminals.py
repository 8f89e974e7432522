"""A terminal for tests: runs the command line in one of a given size, and reads the pictures shown there back."""

import base64
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIZES = "HHHH"  # of TIOCSWINSZ: rows, columns, and both in pixels


def in_terminal(*arguments: str, columns: int = 80, environ: dict[str, str], pixels: int = 0) -> tuple[int, str]:
    """Run ganhash in a terminal, `pixels` wide where it tells; return exit code and what it shows on stdout."""
    command = [sys.executable, "-m", "ganhash_cli", *arguments]
    return show(command, columns=columns, environ=environ, pixels=pixels, stderr=subprocess.DEVNULL)


def show(
    command: list[str], *, columns: int = 80, environ: dict[str, str], pixels: int = 0, stderr: int | None = None
) -> tuple[int, str]:
    """Run a command in a terminal of 40 rows; return exit code and what it shows, without `stderr` its errors too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack(_SIZES, 40, columns, pixels, 40 * 20 if pixels else 0))
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    given = {**kept, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs if stderr is None else stderr, env=given) as child:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return child.returncode, shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # Linux says so at the end of a terminal
        return b""


def plain(shown: str) -> list[str]:
    """Return the lines of what a terminal shows without colours, links and pictures."""
    return re.sub(
        r"\x1b_.*?\x1b\\|\x1bP.*?\x1b\\|\x1b\].*?\x1b\\|\x1b\[[\d;]*[A-Za-z]|\x1b[78]", "", shown
    ).splitlines()


def kitty_pictures(shown: str) -> list[tuple[dict[str, str], Image.Image]]:
    """Return each picture sent by kitty's graphics protocol, with the keys of its first piece."""
    found, keys, content = [], dict[str, str](), ""
    for control, payload in re.findall(r"\x1b_G(.*?);(.*?)\x1b\\", shown):
        given = dict(pair.split("=") for pair in control.split(","))
        keys, content = keys or given, content + payload
        assert len(payload) <= 4096
        if given["m"] == "0":
            found.append((keys, Image.open(io.BytesIO(base64.b64decode(content)))))
            keys, content = {}, ""
    return found


def sixel_picture(shown: str) -> NDArray[np.uint8]:
    """Return the first picture sent as sixels: (H, W, 4) RGBA, transparent where nothing was drawn."""
    match = re.search(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)(.*?)\x1b\\', shown, re.DOTALL)
    assert match is not None
    width, height = int(match[1]), int(match[2])
    pixels = np.zeros((height + 6, width, 4), np.uint8)
    colours: dict[int, tuple[int, ...]] = {}
    x = y = 0
    colour = 0
    for define, select, count, sign, move in re.findall(
        r"#(\d+;2;\d+;\d+;\d+)|#(\d+)|(?:!(\d+))?([?-~])|([$-])", match[3]
    ):
        if define:
            number, _, *percents = (int(value) for value in define.split(";"))
            colours[number] = tuple(round(255 * percent / 100) for percent in percents)
        elif select:
            colour = int(select)
        elif move:
            x, y = 0, y + (6 if move == "-" else 0)
        else:
            wide = int(count or 1)
            for bit in range(6):
                if (ord(sign) - 63) >> bit & 1:
                    pixels[y + bit, x : x + wide] = (*colours[colour], 255)
            x += wide
    return pixels[:height]


def cursor_rows(text: str) -> tuple[int, int]:
    """Follow the cursor through what draws one picture; return the row it is drawn in, and where the cursor ends."""
    row, saved, drawn = 0, 500, 0
    for picture, count, way, newline, keep in re.findall(
        r"(\x1b[_P].*?\x1b\\)|\x1b\[(\d+)([AB])|(\n)|\x1b([78])", text, re.DOTALL
    ):
        if picture:
            drawn, row = row, row + 1000  # wherever the terminal leaves it
        elif way:
            row += int(count) * (1 if way == "B" else -1)
        elif newline:
            row += 1
        elif keep == "7":
            saved = row
        else:
            row = saved
    return drawn, row
