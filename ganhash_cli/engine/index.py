"""Codes → the nearest of them, exactly; ties go to the smaller id.

Many queries that meet many codes are answered among the distinct codes, of which trained networks make few.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import distinct, scan
from ganhash_cli.engine.bits import Codes, width
from ganhash_cli.engine.distinct import Distinct

Distances = NDArray[np.int32]
Ids = NDArray[np.int64]

_DISTINCT_PAYS = 512  # queries; grouping costs as much as about 200 of them, counting as 20
_DISTINCT_SHARE = 0.8  # of the codes, at most; with more, nothing is saved


class ExactIndex:
    """Searches (N, W) packed codes by Hamming distance; they are used where they lie, also in a memory map."""

    def __init__(self, codes: Codes, bits: int) -> None:
        self.bits = bits
        self._codes = padded(codes, bits)

    def __len__(self) -> int:
        return len(self._codes)

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the distances and ids, both (Q, min(k, N)), of the nearest codes, by (distance, id)."""
        queries, k = padded(queries, self.bits), min(k, len(self))
        if not k or not len(queries):
            return nothing(len(queries), k)
        if self._few_distinct(len(queries)):
            return self._search_distinct(queries, k)
        return scan.nearest(self._codes, queries, k)

    def _few_distinct(self, queries: int) -> bool:
        pays = queries >= _DISTINCT_PAYS and scan.faiss_pays(self._codes, queries) and len(self) <= distinct.MOST
        return pays and distinct.at_most(self._codes, _DISTINCT_SHARE)

    @cached_property
    def _distinct(self) -> Distinct:
        return distinct.group(self._codes)

    def _search_distinct(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Search the distinct codes, then take their rows.

        The k nearest rows are held by the k nearest distinct codes, these too by (distance, smallest id): before a
        row stands at least one of each distinct code that stands before its own.
        """
        known = self._distinct
        near, which = scan.nearest(known.codes, queries, min(k, len(known)))
        distances, ids = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        for row, (levels, groups) in enumerate(zip(near, which, strict=True)):
            starts, ends = known.starts[groups], known.ends[groups]
            distances[row], ids[row] = nearest_rows(levels, starts, ends, known.rows, k)
        return distances, ids

    def radius(self, queries: Codes, most: int) -> list[tuple[Distances, Ids]]:
        """Return for each query the distances and ids of all codes no farther than `most`, by (distance, id)."""
        faiss = scan.faiss_pays(self._codes, len(queries))
        rows = list(padded(queries, self.bits))
        return scan.each(rows, lambda query: scan.within(self._codes, query, most, faiss=faiss), faiss=faiss)

    def distances(self, query: Codes) -> NDArray[np.uint16]:
        """Return the distances of all codes, (N,), from one query, (W,)."""
        return scan.distances(self._codes, padded(query[None], self.bits)[0])

    def ties(self, queries: Codes, distances: NDArray[np.integer]) -> Ids:
        """Return how many codes lie at exactly the given distance, (Q,), of each query, (Q,)."""
        queries, faiss = padded(queries, self.bits), scan.faiss_pays(self._codes, len(queries))
        pairs = list(zip(queries, distances.tolist(), strict=True))
        counts = scan.each(pairs, lambda pair: scan.count_at(self._codes, *pair, faiss=faiss), faiss=faiss)
        return np.array(counts, np.int64)


def nothing(queries: int, k: int) -> tuple[Distances, Ids]:
    """Return what a search finds where there is nothing to find."""
    return np.empty((queries, k), np.int32), np.empty((queries, k), np.int64)


def nearest_rows(levels: Distances, starts: Ids, ends: Ids, rows: NDArray[np.integer], k: int) -> tuple[Distances, Ids]:
    """Return the distances and ids, (k,), of the first rows by (distance, id), of codes at the rising `levels`, (n,).

    The rows of each, rising, are `rows[start:end]`; together they are k at least.
    """
    sizes = np.minimum(ends - starts, k)
    # Whole levels of distance until there are k: of the last one, the smallest ids.
    needed = np.searchsorted(levels, levels[np.searchsorted(np.cumsum(sizes), k)], side="right")
    taken = [rows[a : a + n] for a, n in zip(starts[:needed], sizes[:needed], strict=True)]
    ids, distances = np.concatenate(taken).astype(np.int64), np.repeat(levels[:needed], sizes[:needed])
    order = np.lexsort((ids, distances))[:k]
    return distances[order], ids[order]


def padded(codes: Codes, bits: int) -> Codes:
    """Return codes at the width in bytes that search is fast at; zeros change no distance."""
    narrow, wide = (bits + 7) // 8, width(bits)
    if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] not in (narrow, wide):
        raise ValueError(f"codes of {bits} bits must be bytes (N, {wide}), not {codes.dtype} {codes.shape}")
    if codes.shape[1] == narrow < wide:
        codes = np.pad(codes, ((0, 0), (0, wide - narrow)))
    return np.ascontiguousarray(codes)
