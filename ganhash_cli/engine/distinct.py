"""Codes → the different ones among them, and the rows that hold each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import parallel
from ganhash_cli.engine.bits import Codes, words

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MOST_HASH = np.uint64((1 << 64) - 1)
MOST = (1 << 32) - 1  # rows; the hash then keeps half of a word
_PARTS, _PART = 12, 1 << 18  # the binary logarithm of the most parts, and how many rows make one
_SAMPLED = 1 << 16  # rows that tell how many codes are different


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
    """Group the rows of (N, W) packed codes by code.

    >>> found = group(np.array([[0, 0, 0, 3], [0, 0, 0, 1], [0, 0, 0, 3]], np.uint8))
    >>> found.codes.tolist(), [found.rows[a:b].tolist() for a, b in zip(found.starts, found.ends)]
    ([[0, 0, 0, 3], [0, 0, 0, 1]], [[0, 2], [1]])
    """
    rows, new = _arranged(codes)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(rows))
    at = np.zeros(len(rows), np.uint32)  # where a code is held first, its number from 1 on: quicker than a sort
    at[rows[starts]] = np.arange(1, len(starts) + 1, dtype=np.uint32)
    order = at[at > 0] - np.uint32(1)
    starts, ends = starts[order], ends[order]
    return Distinct(np.ascontiguousarray(codes[rows[starts]]), starts, ends, rows)


def at_most(codes: Codes, share: float) -> bool:
    """Tell whether the different ones are at most about a `share` of (N, W) codes.

    A part of all hashes is looked at, and with it all codes of these hashes.
    """
    parts = max(1, len(codes) // _SAMPLED)
    hashes = _hashes(codes)
    return len(np.unique(hashes[hashes <= _MOST_HASH // np.uint64(parts)])) * parts <= share * len(codes)


def _hashes(codes: Codes) -> NDArray[np.uint64]:
    """Return numbers, (N,), that are equal where codes are, and rarely elsewhere."""
    columns = words(codes).T
    hashes: NDArray[np.uint64] = columns[0] * _ODD
    for number, column in enumerate(columns[1:], 1):
        hashes = (hashes + column * np.uint64(2 * number + 1)) * _ODD
    return hashes


def _arranged(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows, (N,), such that equal codes follow each other with their rows rising, and where a code begins.

    They are shared out by the high bits of their hashes, so that each part fits the cache and has a thread.
    """
    if len(codes) > MOST:
        raise ValueError(f"{len(codes):,} codes are more than can be grouped, {MOST:,}")
    hashes = _hashes(codes)
    parts = 1 << min(_PARTS, (len(codes) // _PART).bit_length())
    of = (hashes >> np.uint64(64 - _PARTS)).astype(np.uint16) // np.uint16((1 << _PARTS) // parts)
    shared = np.argsort(of, kind="stable")  # of 16 bits: in one pass
    ends = np.cumsum(np.bincount(of, minlength=parts)).tolist()
    spans = zip([0, *ends], ends, strict=False)
    found = list(parallel.each(lambda span: _part(codes, hashes, shared[slice(*span)]), spans))
    return np.concatenate([rows for rows, _ in found]), np.concatenate([new for _, new in found])


def _part(
    codes: Codes, hashes: NDArray[np.uint64], part: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Do so with some of the rows, (P,), rising.

    One sort of numbers does it, several times as quick as one of codes: the high bits are of the hash of a code, the
    low ones tell its place among these rows.
    """
    if not len(part):
        return part, np.empty(0, np.bool_)
    low = np.uint64((1 << len(part).bit_length()) - 1)
    keys = hashes[part]
    keys &= ~low
    keys |= np.arange(len(part), dtype=np.uint64)
    keys.sort()
    places = (keys & low).astype(np.int64)
    hashed = np.diff(keys & ~low) != 0
    arranged = words(codes[part])[places]
    new = _changes(arranged)
    if np.any(new & ~hashed):
        # Different codes of one hash may lie mixed: these few are sorted by the codes themselves.
        runs = np.concatenate([[0], np.cumsum(hashed)])
        mixed = np.flatnonzero(np.isin(runs, runs[1:][new & ~hashed]))
        by_code = np.lexsort((places[mixed], *arranged[mixed].T, runs[mixed]))
        places[mixed], arranged[mixed] = places[mixed][by_code], arranged[mixed][by_code]
        new = _changes(arranged)
    return part[places], np.concatenate([[True], new])


def _changes(arranged: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Return where, from the second on, a code, (N, words), is another than the one before it."""
    changed = np.zeros(max(0, len(arranged) - 1), np.bool_)
    for column in arranged.T:  # quicker than `any` along short rows
        changed |= column[1:] != column[:-1]
    return changed
