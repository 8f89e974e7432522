"""Mixtures of two classes, which draw fakes that lie between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.seeds import derive

SHARE = (0.3, 0.7)  # of the first class: a fake that is nearly all of one class lies on no boundary

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Mixtures:
    """For each of N fakes a `first` and a `second` class and the `share` of the first, all (N,)."""

    first: Labels
    second: Labels
    share: NDArray[np.float64]

    def table(self, classes: int) -> NDArray[np.float32]:
        """Return (N, classes) shares that add up to 1."""
        shares = np.zeros((len(self.first), classes), np.float32)
        rows = np.arange(len(self.first))
        shares[rows, self.first] = self.share
        shares[rows, self.second] = 1 - self.share
        return shares


def mix(labels: Labels, present: Labels, seed: int) -> Mixtures:
    """Give each fake of a class, (N,), another one of the (C,) classes `present`: two or more, rising."""
    rng = np.random.default_rng(derive(seed, "boundary"))
    place = np.searchsorted(present, labels)
    other = (place + rng.integers(1, len(present), len(labels))) % len(present)
    return Mixtures(labels, present[other], np.round(rng.uniform(*SHARE, len(labels)), 6))
