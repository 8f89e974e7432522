"""Codes → the different ones among them, and the rows that hold each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, words


@dataclass(frozen=True)
class Distinct:
    """The U different codes of N, `codes` (U, W), in the order of the first row that holds each.

    The rows of code u, ascending, are `rows[starts[u] : ends[u]]`.
    """

    codes: Codes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many rows hold each code, (U,)."""
        return self.ends - self.starts

    def of_rows(self) -> NDArray[np.int64]:
        """Return the number of the code that each row holds, (N,).

        >>> group(np.array([[0, 0, 0, 3], [0, 0, 0, 1], [0, 0, 0, 3]], np.uint8)).of_rows().tolist()
        [0, 1, 0]
        """
        as_they_lie = np.argsort(self.starts)
        numbers = np.empty(len(self.rows), np.int64)
        numbers[self.rows] = np.repeat(as_they_lie, self.sizes[as_they_lie])
        return numbers


def group(codes: Codes) -> Distinct:
    """Group the rows of (N, W) packed codes by code; takes about 0.1 s and 24 MB a million codes of 64 bits.

    >>> found = group(np.array([[0, 0, 0, 3], [0, 0, 0, 1], [0, 0, 0, 3]], np.uint8))
    >>> found.codes.tolist(), [found.rows[a:b].tolist() for a, b in zip(found.starts, found.ends)]
    ([[0, 0, 0, 3], [0, 0, 0, 1]], [[0, 2], [1]])
    """
    columns = words(codes).T
    # A stable sort, so that among equal codes the rows ascend.
    rows = np.argsort(columns[0], kind="stable") if len(columns) == 1 else np.lexsort(columns)
    new = np.ones(len(rows), np.bool_)
    new[1:] = False
    for column in columns:
        arranged = column[rows]
        new[1:] |= arranged[1:] != arranged[:-1]
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(rows))
    order = np.argsort(rows[starts])
    starts, ends = starts[order], ends[order]
    return Distinct(np.ascontiguousarray(codes[rows[starts]]), starts, ends, rows)
