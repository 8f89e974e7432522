"""Retrieval metrics, each defined once, with its denominator and its rule for ties."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, hamming


def relevance(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the (len(a), len(b)) table of pairs that share a label, from (N, classes) label tables.

    >>> relevance(np.eye(2, dtype=bool), np.eye(2, dtype=bool)).tolist()
    [[True, False], [False, True]]
    """
    return (a.astype(np.float32) @ b.astype(np.float32).T) > 0


def average_precision(distances: NDArray[np.integer], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the tie-aware average precision of each query over the whole database, (Q,).

    `distances` and `relevant` are (Q, N). The value is the mean over all orders of tied items, in closed form (He
    et al. 2018, "Hashing as tie-aware learning to rank"), with the number of relevant items as denominator; a
    query without any gives nan.
    """
    return np.array([_average_precision(row, hits) for row, hits in zip(distances, relevant, strict=True)])


def mean_average_precision(queries: Codes, database: Codes, relevant: NDArray[np.bool_], block: int = 256) -> float:
    """Return tie-aware mAP@all of packed codes; queries without a relevant item are left out, nan if all are."""
    parts = [
        average_precision(hamming(queries[start : start + block], database), relevant[start : start + block])
        for start in range(0, len(queries), block)
    ]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _average_precision(distances: NDArray[np.integer], relevant: NDArray[np.bool_]) -> float:
    found = int(relevant.sum())
    if not found:
        return float("nan")
    items = np.bincount(distances)  # n_d: items at each distance
    hits = np.bincount(distances, weights=relevant, minlength=len(items))  # n+_d
    before = np.cumsum(items) - items  # N
    hits_before = np.cumsum(hits) - hits  # P
    used = hits > 0
    n, p, before, hits_before = items[used], hits[used], before[used], hits_before[used]
    # Rank i among the n_d tied ones expects precision (a + b (i - 1)) / (N + i), a = P + 1, b = (n+ - 1)/(n - 1).
    a = hits_before + 1
    b = np.where(n > 1, (p - 1) / np.maximum(n - 1, 1), 0.0)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(distances) + 1))])
    total = b * n + (a - b * (before + 1)) * (harmonic[before + n] - harmonic[before])
    return float((p / n * total).sum() / found)
