"""Codes → the nearest of them, exactly; ties go to the smaller id.

A chunked scan in numpy is the definition and the default. Where many queries meet many codes, faiss gives the
same ids sooner, and sooner still among the distinct codes, of which trained networks make few.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import distinct
from ganhash_cli.engine.bits import Codes, width, words
from ganhash_cli.engine.distinct import Distinct

Distances = NDArray[np.int32]
Ids = NDArray[np.int64]

_CHUNK = 32_768  # rows; xor, count and sum then stay in the cache
_FAISS_PAYS = 4 << 30  # bytes compared, about half a second in numpy; importing faiss takes 0.1 s
_DISTINCT_PAYS = 256  # queries; grouping costs as much as about 100 of them
_DISTINCT_SHARE = 0.8  # of the codes, at most; with more, nothing is saved
_FAISS_MOST = 1024  # neighbours; faiss keeps a bucket of this size for each distance


class ExactIndex:
    """Searches (N, W) packed codes by Hamming distance; they are used where they lie, also in a memory map."""

    def __init__(self, codes: Codes, bits: int) -> None:
        self.bits = bits
        self._codes = _padded(codes, bits)

    def __len__(self) -> int:
        return len(self._codes)

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the distances and ids, both (Q, min(k, N)), of the nearest codes, by (distance, id)."""
        queries, k = _padded(queries, self.bits), min(k, len(self))
        if not k or not len(queries):
            return np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        if self._codes.nbytes * len(queries) >= _FAISS_PAYS and queries.shape[1] >= 8 and k <= _FAISS_MOST:
            if len(queries) >= _DISTINCT_PAYS and len(self._distinct) <= _DISTINCT_SHARE * len(self):
                return self._search_distinct(queries, k)
            return _search_faiss(queries, self._codes, k)
        found = [self._nearest(query, k) for query in queries]
        return np.stack([distances for distances, _ in found]), np.stack([ids for _, ids in found])

    @cached_property
    def _distinct(self) -> Distinct:
        return distinct.group(self._codes)

    def _search_distinct(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Search the distinct codes, then take their rows.

        The k nearest rows are held by the k nearest distinct codes, these too by (distance, smallest id): before a
        row stands at least one of each distinct code that stands before its own.
        """
        known = self._distinct
        near, which = _search_faiss(queries, known.codes, min(k, len(known)))
        distances, ids = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.int64)
        for row, (levels, groups) in enumerate(zip(near, which, strict=True)):
            starts = known.starts[groups]
            sizes = np.minimum(known.ends[groups] - starts, k)
            # Whole levels of distance until there are k: of the last one, the smallest ids.
            needed = np.searchsorted(levels, levels[np.searchsorted(np.cumsum(sizes), k)], side="right")
            taken = [known.rows[a : a + n] for a, n in zip(starts[:needed], sizes[:needed], strict=True)]
            rows, at = np.concatenate(taken), np.repeat(levels[:needed], sizes[:needed])
            order = np.lexsort((rows, at))[:k]
            distances[row], ids[row] = at[order], rows[order]
        return distances, ids

    def radius(self, queries: Codes, most: int) -> list[tuple[Distances, Ids]]:
        """Return for each query the distances and ids of all codes no farther than `most`, by (distance, id)."""
        return [self._within(query, most) for query in _padded(queries, self.bits)]

    def distances(self, query: Codes) -> NDArray[np.uint16]:
        """Return the distances of all codes, (N,), from one query, (W,)."""
        [padded] = _padded(query[None], self.bits)
        return np.concatenate([np.empty(0, np.uint16), *(block for _, block in self._scan(padded))])

    def ties(self, queries: Codes, distances: NDArray[np.integer]) -> Ids:
        """Return how many codes lie at exactly the given distance, (Q,), of each query, (Q,)."""
        counts = [
            sum(int(np.count_nonzero(block == distance)) for _, block in self._scan(query))
            for query, distance in zip(_padded(queries, self.bits), distances, strict=True)
        ]
        return np.array(counts, np.int64)

    def _nearest(self, query: Codes, k: int) -> tuple[Distances, Ids]:
        best, ids = np.empty(0, np.uint16), np.empty(0, np.int64)
        limit = self.bits + 1
        for start, distances in self._scan(query):
            # Later ids lose ties, so once k are found only what is strictly nearer can enter.
            hits = np.flatnonzero(distances < limit)
            if not len(hits):
                continue
            best, ids = np.concatenate([best, distances[hits]]), np.concatenate([ids, hits + start])
            order = np.argsort(best, kind="stable")[:k]
            best, ids = best[order], ids[order]
            if len(best) == k:
                limit = int(best[-1])
        return best.astype(np.int32), ids

    def _within(self, query: Codes, most: int) -> tuple[Distances, Ids]:
        hits = [(start, block, np.flatnonzero(block <= most)) for start, block in self._scan(query)]
        best = np.concatenate([np.empty(0, np.uint16), *(block[rows] for _, block, rows in hits)])
        ids = np.concatenate([np.empty(0, np.int64), *(rows + start for start, _, rows in hits)])
        order = np.argsort(best, kind="stable")
        return best[order].astype(np.int32), ids[order]

    def _scan(self, query: Codes) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Yield the first id and the distances of one chunk after the other."""
        rows = words(self._codes)
        tile = np.tile(words(query[None]), (min(_CHUNK, len(rows)), 1))  # of the chunk's shape: xor is 3 x quicker
        for start in range(0, len(rows), _CHUNK):
            block = rows[start : start + _CHUNK]
            yield start, _sum_rows(np.bitwise_count(block ^ tile[: len(block)]))


def _search_faiss(queries: Codes, codes: Codes, k: int) -> tuple[Distances, Ids]:
    import faiss

    threads = faiss.omp_get_max_threads()
    # One query is not shared out over the codes; a second thread would only be waited for.
    faiss.omp_set_num_threads(1 if len(queries) == 1 else threads)
    try:
        distances, ids = faiss.knn_hamming(queries, codes, k, variant="mc")
    finally:
        faiss.omp_set_num_threads(threads)
    return distances, ids


def _padded(codes: Codes, bits: int) -> Codes:
    """Return codes at the width in bytes that search is fast at; zeros change no distance."""
    narrow, wide = (bits + 7) // 8, width(bits)
    if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] not in (narrow, wide):
        raise ValueError(f"codes of {bits} bits must be bytes (N, {wide}), not {codes.dtype} {codes.shape}")
    if codes.shape[1] == narrow < wide:
        codes = np.pad(codes, ((0, 0), (0, wide - narrow)))
    return np.ascontiguousarray(codes)


def _sum_rows(counts: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Sum (N, words) bit counts by row, two and two; 7 x as quick as `sum(1)` at two words."""
    if counts.shape[1] == 1:
        return counts[:, 0].astype(np.uint16)
    pairs = counts.view(np.uint16)
    sums: NDArray[np.uint16] = (pairs & 0xFF) + (pairs >> 8)
    while sums.shape[1] > 1:
        sums = sums[:, ::2] + sums[:, 1::2]
    return sums[:, 0]
