"""The sign rule, packing and the Hamming distance: the one place where logits become codes.

A logit z >= 0 is a 1, anything else a 0 (`torch.sign` would give a third value at 0). Bits are packed most
significant first and padded with zeros to a width in bytes that search is fast at; padding changes no distance.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.limits import MAX_BITS

SIGN_RULE = "z>=0"
BIT_ORDER = "msb-first"


Codes = NDArray[np.uint8]
Precision = Literal["float32", "bfloat16"]
Numeric = Literal["float32", "bfloat16-openvino", "bfloat16-torch"]
"""The arithmetic that logits are computed in. Codes of two differ in bits near zero and are not to be compared.

Every runtime rounds to bfloat16 elsewhere: their codes differ from each other as much as from those in float32.
"""


def width(bits: int) -> int:
    """Return the bytes of a stored code: the next power of two from 4 on.

    >>> [width(bits) for bits in (12, 32, 48, 64, 65, 1024)]
    [4, 4, 8, 8, 16, 128]
    """
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"bits must be 1 to {MAX_BITS}, not {bits}")
    return max(4, 1 << ((bits + 7) // 8 - 1).bit_length())


def pack(logits: NDArray[np.floating]) -> Codes:
    """Turn (N, bits) logits into (N, width(bits)) packed bytes.

    >>> pack(np.array([[-1.0, 0.0, 2.0, -3.0]])).tolist()
    [[96, 0, 0, 0]]
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be (N, bits), got shape {logits.shape}")
    rows, bits = logits.shape
    codes = np.zeros((rows, width(bits)), np.uint8)
    codes[:, : (bits + 7) // 8] = np.packbits(logits >= 0, axis=1)
    return codes


def unpack(codes: Codes, bits: int) -> NDArray[np.uint8]:
    """Turn (N, W) packed bytes back into (N, bits) zeros and ones."""
    return np.unpackbits(codes, axis=1, count=bits)


def confidence(logits: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Tell of each row of (N, bits) logits how far the weakest bit stood from zero: 255 tanh(|z| / 2), (N,).

    >>> confidence(np.array([[-9.0, 0.0], [20.0, -20.0]])).tolist()
    [0, 255]
    """
    shares: NDArray[np.float64] = np.tanh(np.abs(logits).min(axis=1) / 2)
    return np.rint(255 * shares).astype(np.uint8)


def hamming(a: Codes, b: Codes) -> NDArray[np.int32]:
    """Return the (len(a), len(b)) table of Hamming distances between packed codes of one width.

    >>> hamming(np.array([[0, 0, 0, 3]], np.uint8), np.array([[0, 0, 0, 1], [0, 0, 0, 3]], np.uint8)).tolist()
    [[1, 0]]
    """
    table = np.zeros((len(a), len(b)), np.int32)
    columns = np.ascontiguousarray(words(b).T)  # whole columns of words: 3 x as quick as byte by byte
    for row, code in zip(table, words(a), strict=True):
        for column, word in zip(columns, code, strict=True):
            row += np.bitwise_count(column ^ word)
    return table


def words(codes: Codes) -> NDArray[np.unsignedinteger]:
    """View packed codes, (N, W) bytes, as (N, w) of the widest words that divide a row."""
    size = next(size for size in (8, 4, 1) if codes.shape[1] % size == 0)
    return np.ascontiguousarray(codes).view(f"u{size}")
