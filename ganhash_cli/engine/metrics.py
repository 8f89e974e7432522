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
Counts = NDArray[np.int64]


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


def average_precision(counts: Histograms) -> Values:
    """Return the tie-aware average precision over the whole ranking, (Q,); the denominator is all relevant items."""
    before, hits_before = _before(counts.items), _before(counts.hits)
    sums = _precision_sums(counts.items, counts.hits, before, hits_before, _harmonic(counts))
    return _divide(sums.sum(1), counts.hits.sum(1))


def average_precision_at(counts: Histograms, r: int) -> Values:
    """Return the tie-aware average precision of the first `r` ranks, (Q,).

    The denominator is the relevant items among those `r`, as in most published mAP@R; without any, the value is 0.
    How many of a tied group that r cuts are among them is drawn without replacement (hypergeometric), and for each
    such number the closed form holds.
    """
    before, hits_before = _before(counts.items), _before(counts.hits)
    harmonic, log_factorial = _harmonic(counts), _log_factorial(counts)
    whole = before + counts.items <= r
    sums = _precision_sums(counts.items, counts.hits, before, hits_before, harmonic)
    values = np.full(len(counts.items), np.nan)
    for query in np.flatnonzero(counts.hits.any(1)):
        cut = int(whole[query].sum())  # the first group that does not fit; the last of all where all fit
        total, found = sums[query, :cut].sum(), counts.hits[query, :cut].sum()
        if cut == whole.shape[1]:
            values[query] = total / found
            continue
        ranked = r - before[query, cut]
        drawn, chance = _drawn(counts.items[query, cut], counts.hits[query, cut], ranked, log_factorial)
        more = _precision_sums(ranked, drawn, before[query, cut], hits_before[query, cut], harmonic)
        values[query] = (chance * (total + more) / np.maximum(found + drawn, 1)).sum()
    return values


def precision_at(counts: Histograms, k: int) -> Values:
    """Return the expected share of relevant ones among the first `k` items, (Q,); of all, where there are fewer."""
    items, hits = counts.items, counts.hits
    expected = hits / np.maximum(items, 1) * np.clip(k - _before(items), 0, items)
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


def _before(counts: Counts) -> Counts:
    """Return how many lie at smaller distances."""
    earlier: Counts = counts.cumsum(1) - counts
    return earlier


def _precision_sums(items: Counts, hits: Counts, before: Counts, hits_before: Counts, harmonic: Values) -> Values:
    """Return the sum of the precisions at the relevant items of each tied group, its mean over all orders.

    Closed form of He et al. 2018, "Hashing as tie-aware learning to rank": rank t of n tied items, n+ of them
    relevant, holds a relevant one with chance n+/n and then expects precision (a + b (t - 1)) / (N + t), with
    a = P + 1 and b = (n+ - 1)/(n - 1), where N items, P of them relevant, lie before.
    """
    a = hits_before + 1
    b = (hits - 1) / np.maximum(items - 1, 1) * (np.asarray(items) > 1)
    total: Values = b * items + (a - b * (before + 1)) * (harmonic[before + items] - harmonic[before])
    return hits / np.maximum(items, 1) * total


def _drawn(items: int, hits: int, ranked: int, log_factorial: Values) -> tuple[Counts, Values]:
    """Return how many of `hits` among `items` can be among `ranked` of them, and with what chance each."""

    def log_choose(n: int, k: Counts | int) -> Values:
        chosen: Values = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return chosen

    drawn = np.arange(max(0, ranked - (items - hits)), min(hits, ranked) + 1)
    logs = log_choose(hits, drawn) + log_choose(items - hits, ranked - drawn) - log_choose(items, ranked)
    return drawn, np.exp(logs)


def _harmonic(counts: Histograms) -> Values:
    """Return H(0) … H(N); differences of digamma are differences of these."""
    ranks = np.arange(1, int(counts.items.sum(1).max(initial=0)) + 1)
    return np.concatenate([[0.0], np.cumsum(1 / ranks)])


def _log_factorial(counts: Histograms) -> Values:
    """Return log 0! … log N!."""
    ranks = np.arange(1, int(counts.items.sum(1).max(initial=0)) + 1)
    return np.concatenate([[0.0], np.cumsum(np.log(ranks))])


def _divide(values: Values, by: Counts) -> Values:
    quotients: Values = np.divide(values, by, out=np.full(len(values), np.nan), where=by > 0)
    return quotients


def _mean_of_columns(values: NDArray[np.generic]) -> Values:
    if not len(values):
        return np.full(values.shape[1], np.nan)
    means: Values = values.mean(0, dtype=np.float64)
    return means
