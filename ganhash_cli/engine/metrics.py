"""Retrieval metrics, each defined once, with its denominator and its rule for ties.

Each is the mean over all orders of tied items, computed from counts by distance, and has one value a query. A query
without a relevant item has no value (nan) where the definition divides by the relevant items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import histograms
from ganhash_cli.engine.bits import Codes, hamming
from ganhash_cli.engine.histograms import Histograms

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Precision and recall of all items within each radius 0 … bits, means over queries; `empty` balls' share."""

    precision: Values
    recall: Values
    empty: Values


def relevance(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the (len(a), len(b)) table of pairs that share a label, from (N, classes) label tables.

    >>> relevance(np.eye(2, dtype=bool), np.eye(2, dtype=bool)).tolist()
    [[True, False], [False, True]]
    """
    return (a.astype(np.float32) @ b.astype(np.float32).T) > 0


def average_precision(counts: Histograms, most: int | None = None) -> Values:
    """Return the tie-aware average precision of each query, (Q,): over the whole ranking, or its first `most` ranks.

    The denominator is the number of relevant items, or `most` if that is less. Closed form of He et al. 2018, "Hashing
    as tie-aware learning to rank": rank t of n tied items, n+ of them relevant, holds a relevant one with chance n+/n
    and then expects precision (a + b (t - 1)) / (N + t), with a = P + 1, b = (n+ - 1)/(n - 1).
    """
    items, hits = counts.items, counts.hits
    before, hits_before = _before(items), _before(hits)  # N and P
    ranked = _within(items, before, most)
    a = hits_before + 1
    b = (hits - 1) / np.maximum(items - 1, 1) * (items > 1)
    harmonic = _harmonic(int(items.sum(1).max(initial=0)))
    total = b * ranked + (a - b * (before + 1)) * (harmonic[before + ranked] - harmonic[before])
    relevant = hits.sum(1)
    return _divide(
        (hits / np.maximum(items, 1) * total).sum(1), relevant if most is None else np.minimum(relevant, most)
    )


def precision_at(counts: Histograms, k: int) -> Values:
    """Return the expected share of relevant ones among the first `k` items, (Q,); of all, where there are fewer."""
    items, hits = counts.items, counts.hits
    expected = hits / np.maximum(items, 1) * _within(items, _before(items), k)
    return _divide(expected.sum(1), np.minimum(items.sum(1), k))


def curve(counts: Histograms) -> Curve:
    """Return precision and recall within each radius, means over queries (macro); an empty ball has precision 0.

    Its precision at radius 2 is P@H<=2. No ball cuts through ties. Queries without a relevant item are left out.
    """
    counts = counts.with_relevant()
    items, hits = counts.items.cumsum(1), counts.hits.cumsum(1)
    precision, recall = hits / np.maximum(items, 1), hits / np.maximum(hits[:, -1:], 1)
    return Curve(*(_mean_of_columns(values) for values in (precision, recall, items == 0)))


def mean(values: Values) -> float:
    """Return the mean over the queries that have a value; nan if none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_average_precision(queries: Codes, database: Codes, relevant: NDArray[np.bool_]) -> float:
    """Return tie-aware mAP@all of packed codes; queries without a relevant item are left out, nan if all are."""
    return mean(average_precision(histograms.of_tables(hamming(queries, database), relevant)))


def _before(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many lie at smaller distances."""
    earlier: NDArray[np.int64] = counts.cumsum(1) - counts
    return earlier


def _within(items: NDArray[np.int64], before: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
    """Return how many of the tied items have a place among the first `most` ranks."""
    ranked: NDArray[np.int64] = items if most is None else np.clip(most - before, 0, items)
    return ranked


def _harmonic(length: int) -> Values:
    """Return H(0) … H(length); differences of digamma are differences of these."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, length + 1))])


def _divide(values: Values, by: NDArray[np.int64]) -> Values:
    quotients: Values = np.divide(values, by, out=np.full(len(values), np.nan), where=by > 0)
    return quotients


def _mean_of_columns(values: NDArray[np.generic]) -> Values:
    if not len(values):
        return np.full(values.shape[1], np.nan)
    means: Values = values.mean(0, dtype=np.float64)
    return means
