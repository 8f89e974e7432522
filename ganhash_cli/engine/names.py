"""Names from files, made safe to show: what would act on a terminal, or turn the text around, is made visible."""

import os
import unicodedata


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


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode carries it
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
