"""Names from files, made safe to show, and short enough: what would act on a terminal is made visible."""

import os
import unicodedata
from bisect import bisect_left
from collections.abc import Callable


def safe(name: str | bytes) -> str:
    r"""Make control characters, bidirectional marks and undecodable bytes of a name visible.

    >>> safe(b"a\x1b[31m.png"), safe(b"\xff.png"), safe("\u202egnp")
    ('a\\x1b[31m.png', '\\xff.png', '\\u202egnp')
    """
    text = os.fsdecode(name) if isinstance(name, bytes) else name
    if text.isprintable():  # nothing of the kinds below, and told at once, where a million names are shown
        return text
    return "".join(
        char if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escape(char) for char in text
    )


def shortened(name: str, fits: Callable[[str], bool]) -> str:
    """Cut a name in the middle until it fits: its end, with number and suffix, tells it from others that begin alike.

    >>> shortened("IMG_20240501_portrait_0042.jpg", lambda text: len(text) <= 18)
    'IMG_2…ait_0042.jpg'
    """
    if fits(name):
        return name
    kept = bisect_left(range(1, len(name)), True, key=lambda count: not fits(_cut(name, count)))
    return _cut(name, kept)


def _cut(name: str, kept: int) -> str:
    """Keep so many characters of a name, two of three at its end."""
    start = kept // 3
    return f"{name[:start]}…{name[len(name) - kept + start :]}"


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode carries it
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
