"""One code against codes as they lie: all distances, the rows nearer than a limit, how many lie at a distance.

numpy is the definition. faiss gives the same rows sooner, but importing it takes 0.1 s: it pays where it is loaded
anyway or where numpy would take longer than that. It works on the same memory, also on a memory map.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import parallel
from ganhash_cli.engine.bits import Codes, words

Q = TypeVar("Q")
T = TypeVar("T")
Near = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The distances and the rows of some codes, rows rising."""

_CHUNK = 32_768  # rows; in numpy xor, count and sum then stay in the cache
_FIRST, _GROWTH = 4_096, 64  # rows that give a first limit; what follows at most so many times what was searched
_BLOCK = 1 << 20  # rows; faiss remembers all that are near enough, in the worst case all of these
_FAISS_PAYS = 4 << 30  # bytes compared, about half a second in numpy
_FAISS_LOADED_PAYS = 1 << 20
_GROUP = 64  # distances, of which the smallest bounds their level
_NARROW, _HEAP_MOST = 8, 1024  # bytes a code, neighbours
_TILE = 1 << 16  # rows; of 16 bytes, they fit the cache of a processor
_WIDE_BY_TILES = 1 << 21  # rows; among fewer, most tiles hold something nearer
_SPLIT = 32 << 20  # bytes of codes; below, starting threads takes as long as they save
_FAISS_COUNTS = (8, 16)  # bytes a code; counting at other widths is slower than numpy


def faiss_pays(codes: Codes, queries: int) -> bool:
    """Tell whether to compare that many queries with codes by faiss."""
    return codes.nbytes * queries >= (_FAISS_LOADED_PAYS if "faiss" in sys.modules else _FAISS_PAYS)


def nearest(codes: Codes, queries: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the distances and rows, (Q, min(k, N)), of the nearest of (N, W) codes, by (distance, row)."""
    faiss = faiss_pays(codes, len(queries))
    if faiss and len(queries) > 1 and _by_tiles(codes, k):
        shares = np.array_split(queries, min(len(queries), parallel.threads()))
        found = [
            one for share in parallel.each(lambda share: _nearest_by_tiles(codes, share, k), shares) for one in share
        ]
    elif faiss and len(queries) > 1 and _by_heap(codes, k):
        return _faiss_knn(codes, queries, min(k, len(codes)))
    elif faiss and len(queries) == 1 and codes.nbytes >= _SPLIT:
        found = [_nearest_in_pieces(codes, queries[0], k)]
    else:
        found = each(list(queries), lambda query: _nearest(codes, query, k, faiss=faiss), faiss=faiss)
    return np.stack([distances for distances, _ in found]), np.stack([rows for _, rows in found])


def _nearest(codes: Codes, query: Codes, k: int, *, faiss: bool) -> Near:
    if faiss and _by_heap(codes, k):
        return _by_heap_alone(codes, query, k)
    best, rows, done = np.empty(0, np.int32), np.empty(0, np.int64), 0
    if faiss and k <= _HEAP_MOST:
        done = min(_FIRST, len(codes))
        best, rows = _by_heap_alone(codes[:done], query, k)
    limit = int(best[-1]) if len(best) == k else 8 * codes.shape[1] + 1
    for start, end, below in _parts(codes, query, (0 if done else k) if faiss else len(codes), done):
        # Later rows lose ties, so once k are found only what is strictly nearer can enter.
        distances, hits = below(codes[start:end], limit)
        if not len(hits):
            continue
        best, rows = first(np.concatenate([best, distances]), np.concatenate([rows, hits + start]), k)
        if len(best) == k:
            limit = int(best[-1])
    return best, rows


def _by_heap_alone(codes: Codes, query: Codes, k: int) -> Near:
    with _one_thread():
        [distances], [rows] = _faiss_knn(codes, query[None], min(k, len(codes)))
    return distances, rows


def _nearest_by_tiles(codes: Codes, queries: Codes, k: int) -> list[Near]:
    """Search for all queries in one tile of codes after the other, so that it is read from the cache.

    Counting what is nearer than the limit takes a fifth of the time of collecting it; in most tiles that is nothing.
    """
    import faiss

    with _one_thread():
        distances, rows = _faiss_knn(codes[:_TILE], queries, min(k, len(codes)))
        found = list(zip(distances, rows, strict=True))
        asked, count = [faiss.swig_ptr(query) for query in queries], np.zeros(1, np.uint64)
        for start in range(_TILE, len(codes), _TILE):
            tile = codes[start : start + _TILE]
            sizes, places = (1, len(tile)), (faiss.swig_ptr(tile), faiss.swig_ptr(count))
            for number, query in enumerate(asked):
                best, rows = found[number]
                limit = int(best[-1])
                # From C++, where mypy does not see it.
                faiss.hamming_count_thres(query, places[0], *sizes, limit - 1, codes.shape[1], places[1])  # type: ignore[attr-defined]
                if count[0]:
                    nearer, hits = _faiss_below(tile, queries[number], limit)
                    found[number] = first(np.concatenate([best, nearer]), np.concatenate([rows, hits + start]), k)
    return found


def _nearest_in_pieces(codes: Codes, query: Codes, k: int) -> Near:
    """Share the codes out among the threads, since faiss would share out queries only."""
    places = np.linspace(0, len(codes), parallel.threads() + 1).astype(int).tolist()
    found = each(list(pairwise(places)), lambda at: _nearest(codes[slice(*at)], query, k, faiss=True), faiss=True)
    rows = [rows + start for (_, rows), start in zip(found, places, strict=False)]
    return first(np.concatenate([distances for distances, _ in found]), np.concatenate(rows), k)


def first(distances: NDArray[np.int32], rows: NDArray[np.int64], k: int) -> Near:
    """Return the first k by distance; those at equal distances stay in their order."""
    if len(distances) > k:
        near = distances <= level(distances, k)  # so that few are sorted
        distances, rows = distances[near], rows[near]
    order = np.argsort(distances, kind="stable")[:k]
    return distances[order], rows[order]


def level(distances: NDArray[np.integer], k: int) -> int:
    """Return the k-th smallest of distances, or the largest where there are fewer.

    >>> level(np.array([5, 3, 9, 3]), 3)
    5
    """
    width = len(distances) // _GROUP
    if width >= k:
        # Each of k groups holds one that is as small as the k-th of their minima: only such are looked at.
        minima = distances[: width * _GROUP].reshape(_GROUP, width).min(axis=0)
        distances = distances[distances <= np.partition(minima, k - 1)[k - 1]]
    k = min(k, len(distances))
    return int(np.partition(distances, k - 1)[k - 1])


def within(codes: Codes, query: Codes, most: int, *, faiss: bool) -> Near:
    """Return all codes no farther than `most`, by (distance, row)."""
    parts = _parts(codes, query, 0 if faiss else len(codes))
    found = [(start, *below(codes[start:end], most + 1)) for start, end, below in parts]
    best = np.concatenate([np.empty(0, np.int32), *(distances for _, distances, _ in found)])
    rows = np.concatenate([np.empty(0, np.int64), *(hits + start for start, _, hits in found)])
    order = np.argsort(best, kind="stable")
    return best[order], rows[order]


def distances(codes: Codes, query: Codes) -> NDArray[np.uint16]:
    """Return the distances of all codes, (N,)."""
    return np.concatenate([np.empty(0, np.uint16), *_in_parts(codes, query)])


def count_at(codes: Codes, query: Codes, distance: int, *, faiss: bool) -> int:
    """Return how many codes lie at exactly this distance."""
    if faiss and codes.shape[1] in _FAISS_COUNTS:
        return _faiss_count(codes, query, distance) - _faiss_count(codes, query, distance - 1)
    return sum(int(np.count_nonzero(part == distance)) for part in _in_parts(codes, query))


def each(queries: Sequence[Q], answer: Callable[[Q], T], *, faiss: bool) -> list[T]:
    """Return the answer to each query; with faiss, which lets go of the lock of Python, on all processors."""
    if not faiss or len(queries) == 1:
        return [answer(query) for query in queries]
    return list(parallel.each(answer, queries))


def _parts(
    codes: Codes, query: Codes, by_numpy: int, done: int = 0
) -> Iterator[tuple[int, int, Callable[[Codes, int], Near]]]:
    """Yield from where to where to search, and how: after `done` the first `by_numpy` rows in small parts by numpy.

    The parts for faiss grow, since the limit is loose at first and much would be found below it.
    """
    by_numpy = min(by_numpy, len(codes))
    tile = _tile(query, by_numpy)
    for start in range(0, by_numpy, _CHUNK):
        yield start, min(start + _CHUNK, by_numpy), lambda block, limit: _below(block, tile, limit)
    start = max(by_numpy, done)
    while start < len(codes):
        end = min(start + min(_GROWTH * max(start, _FIRST), _BLOCK), len(codes))
        yield start, end, lambda block, limit: _faiss_below(block, query, limit)
        start = end


def _by_tiles(codes: Codes, k: int) -> bool:
    """Tell whether many queries are answered sooner tile by tile."""
    pays = codes.shape[1] <= _NARROW or len(codes) >= _WIDE_BY_TILES
    return pays and codes.shape[1] in _FAISS_COUNTS and k <= _HEAP_MOST


def _by_heap(codes: Codes, k: int) -> bool:
    """Tell whether a heap is the quicker search in faiss: narrow codes are filtered by a limit in less time."""
    return codes.shape[1] > _NARROW and k <= _HEAP_MOST


def _faiss_knn(codes: Codes, queries: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    import faiss

    distances, rows = faiss.knn_hamming(queries, codes, k)
    return distances, rows


def _below(block: Codes, tile: NDArray[np.unsignedinteger], limit: int) -> Near:
    found = _distances(words(block), tile)
    hits = np.flatnonzero(found < limit)
    return found[hits].astype(np.int32), hits


def _faiss_below(block: Codes, query: Codes, limit: int) -> Near:
    import faiss

    found = faiss.RangeSearchResult(1)
    with _one_thread():
        places = faiss.swig_ptr(query), faiss.swig_ptr(block)
        # Both functions come from C++, where mypy does not see them.
        faiss.hamming_range_search(  # type: ignore[attr-defined]
            *places, 1, len(block), int(limit), block.shape[1], found
        )
    count = int(faiss.rev_swig_ptr(found.lims, 2)[1])
    if not count:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    near, hits = (faiss.rev_swig_ptr(part, count) for part in (found.distances, found.labels))
    return near.astype(np.int32), hits.astype(np.int64)  # copies: the memory goes with `found`


def _faiss_count(codes: Codes, query: Codes, most: int) -> int:
    import faiss

    if most < 0:
        return 0
    count = np.zeros(1, np.uint64)
    with _one_thread():
        places = faiss.swig_ptr(query), faiss.swig_ptr(codes)
        faiss.hamming_count_thres(  # type: ignore[attr-defined]
            *places, 1, len(codes), int(most), codes.shape[1], faiss.swig_ptr(count)
        )
    return int(count[0])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let faiss use the calling thread only: it does not share out one query, and other threads would spin."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _in_parts(codes: Codes, query: Codes) -> Iterator[NDArray[np.uint16]]:
    rows, tile = words(codes), _tile(query, len(codes))
    return (_distances(rows[start : start + _CHUNK], tile) for start in range(0, len(rows), _CHUNK))


def _tile(query: Codes, rows: int) -> NDArray[np.unsignedinteger]:
    return np.tile(words(query[None]), (min(_CHUNK, rows), 1))  # of the chunk's shape: xor is 3 x quicker


def _distances(rows: NDArray[np.unsignedinteger], tile: NDArray[np.unsignedinteger]) -> NDArray[np.uint16]:
    """Count the different bits by row; summing two and two is 7 x as quick as `sum(1)` at two words."""
    counts = np.bitwise_count(rows ^ tile[: len(rows)])
    if counts.shape[1] == 1:
        return counts[:, 0].astype(np.uint16)
    pairs = counts.view(np.uint16)
    sums: NDArray[np.uint16] = (pairs & 0xFF) + (pairs >> 8)
    while sums.shape[1] > 1:
        sums = sums[:, ::2] + sums[:, 1::2]
    return sums[:, 0]
