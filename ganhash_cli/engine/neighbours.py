"""One code → one page of its neighbours, and how many there are at each distance, without sorting the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.index import Distances, ExactIndex, Ids


@dataclass(frozen=True)
class Page:
    """`counts`, (bits + 1,), has the rows at each distance; `distances` and `ids`, (n,), are those of the page."""

    counts: NDArray[np.int64]
    distances: Distances
    ids: Ids


def page(
    index: ExactIndex, code: Codes, first: int, limit: int, most: int | None = None, rows: Ids | None = None
) -> Page:
    """Return up to `limit` neighbours of `code`, (W,), from the `first` on, by (distance, id).

    With `most`, only those no farther; with `rows`, (M,) and rising, only these count.
    """
    distances = index.distances(code)
    if rows is not None:
        distances = distances[rows]
    counts = np.bincount(distances, minlength=index.bits + 1)
    below = np.concatenate([[0], np.cumsum(counts)])  # below[d]: how many are nearer than d
    end = min(first + limit, int(below[index.bits + 1 if most is None else min(most, index.bits) + 1]))
    if first >= end:
        return Page(counts, np.empty(0, np.int32), np.empty(0, np.int64))
    # Only the levels of distance that the page touches are sorted.
    low, high = (int(np.searchsorted(below, place, side="right")) - 1 for place in (first, end - 1))
    near = np.flatnonzero((distances >= low) & (distances <= high))
    near = near[np.argsort(distances[near], kind="stable")][first - below[low] : end - below[low]]
    return Page(counts, distances[near].astype(np.int32), near if rows is None else rows[near])
