"""Codes and relevance → how many items, and how many relevant ones, lie at each distance of each query.

All that a tie-aware metric needs to know of a ranking: no sort, and memory for q + 1 counts a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import asymmetric, distinct, parallel
from ganhash_cli.engine.bits import Codes, hamming

_BLOCK_PAIRS = 1 << 21  # of queries and items; their distances take 8 MB, which stay in a processor's caches

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Histograms:
    """Counts by distance, both (Q, bits + 1): `items` of the database, and `hits`, the relevant ones among them."""

    items: NDArray[np.int64]
    hits: NDArray[np.int64]

    def with_relevant(self) -> Histograms:
        """Return the queries that have a relevant item."""
        some = self.hits.any(1)
        return Histograms(self.items[some], self.hits[some])


def of_codes(queries: Codes, database: Codes, bits: int, relevant: Iterable[Rows]) -> Histograms:
    """Count the distances between (Q, W) and (N, W) packed codes; `relevant` gives the rows relevant to each query.

    By blocks on all processors: memory grows with the processors, not with the queries.
    """
    block = max(1, _BLOCK_PAIRS // max(1, len(database)))
    relevant = iter(relevant)
    blocks = (
        (queries[start : start + block], list(islice(relevant, block))) for start in range(0, len(queries), block)
    )

    def count(part: tuple[Codes, list[Rows]]) -> Histograms:
        some, wanted = part
        items, hits = np.zeros((2, len(some), bits + 1), np.int64)
        for query, (distances, rows) in enumerate(zip(hamming(some, database), wanted, strict=True)):
            items[query] = np.bincount(distances, minlength=bits + 1)
            hits[query] = np.bincount(distances[rows], minlength=bits + 1)
        return Histograms(items, hits)

    none = np.zeros((0, bits + 1), np.int64)
    counts = [Histograms(none, none), *parallel.each(count, blocks)]
    return Histograms(*(np.concatenate([getattr(each, name) for each in counts]) for name in ("items", "hits")))


def of_logits(logits: NDArray[np.floating], database: Codes, relevant: Iterable[Rows]) -> Iterator[Histograms]:
    """Count the asymmetric distances of (Q, bits) logits to (N, W) packed codes; one query, (1, L), at a time.

    Each query has distances of its own, L of them, so that counts are not by distance but by its rank.
    """
    known = distinct.group(database)
    code_of = known.of_rows()
    for row, rows in zip(logits, relevant, strict=True):
        levels, level_of = np.unique(asymmetric.distances(row, known.codes), return_inverse=True)
        items = np.zeros(len(levels), np.int64)
        np.add.at(items, level_of, known.sizes)
        hits = np.bincount(level_of[code_of[rows]], minlength=len(levels))
        yield Histograms(items[None], hits[None])


def of_tables(distances: NDArray[np.integer], relevant: NDArray[np.bool_]) -> Histograms:
    """Count (Q, N) distances and the relevant ones among them.

    >>> of_tables(np.array([[0, 2, 2]]), np.array([[True, True, False]])).hits.tolist()
    [[1, 0, 1]]
    """
    length = int(distances.max(initial=0)) + 1
    items = [np.bincount(row, minlength=length) for row in distances]
    hits = [np.bincount(row[found], minlength=length) for row, found in zip(distances, relevant, strict=True)]
    return Histograms(np.array(items).reshape(-1, length), np.array(hits).reshape(-1, length))
