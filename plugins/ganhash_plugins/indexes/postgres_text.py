"""Codes and rows as PostgreSQL writes them: bits as zeros and ones, and the text format of COPY."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})  # in a column of COPY


def bit_strings(codes: NDArray[np.uint8], bits: int) -> list[str]:
    """Return (N, ceil(bits / 8)) codes as PostgreSQL writes bits, zeros and ones from the first on."""
    signs = np.unpackbits(codes, axis=1, count=bits) + np.uint8(ord("0"))
    return [row.tobytes().decode() for row in signs]


def copy_rows(
    ids: Sequence[int],
    codes: Sequence[str],
    paths: Sequence[bytes],
    labels: Sequence[tuple[str, ...]],
    digests: Sequence[str],
) -> bytes:
    r"""Return rows in the text format of COPY, all at once: `write_row` of the driver takes more time than the server.

    >>> copy_rows([7], ["01"], [b"a.png"], [("one", 'a "b"')], ["00ff"])
    b'7\t01\t\\\\x612e706e67\t{"one","a \\\\"b\\\\""}\t00ff\n'
    """
    arrays = {names: _array(names).translate(_ESCAPED) for names in set(labels)}
    rows = zip(ids, codes, paths, labels, digests, strict=True)
    return "".join(
        [f"{i}\t{code}\t\\\\x{path.hex()}\t{arrays[names]}\t{digest}\n" for i, code, path, names, digest in rows]
    ).encode()


def _array(texts: tuple[str, ...]) -> str:
    """Return an array as PostgreSQL writes it, every text in quotes."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def code_of(text: str) -> NDArray[np.uint8]:
    """Return a code from the zeros and ones of PostgreSQL, (ceil(bits / 8),)."""
    return np.packbits(np.frombuffer(text.encode(), np.uint8) - np.uint8(ord("0")))
