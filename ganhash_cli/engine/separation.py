"""Codes and their classes → how far apart images of the same class lie, and images of different ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import metrics
from ganhash_cli.engine.bits import Codes, hamming

_BLOCK = 256  # codes; their distances to 2,000 others take 2 MB


@dataclass(frozen=True)
class Separation:
    """How many pairs lie at each distance, (bits + 1,): of images that share a class, and of others."""

    same: NDArray[np.int64]
    different: NDArray[np.int64]

    @property
    def nearer(self) -> float:
        """The chance that a pair of one class is nearer than one of two, ties half; nan without pairs of a kind.

        This is the area under the ROC curve of the distance (Mann and Whitney 1947).
        """
        farther = self.different.sum() - np.cumsum(self.different) + self.different / 2
        pairs = float(self.same.sum()) * float(self.different.sum())
        return float(self.same @ farther) / pairs if pairs else float("nan")


def of(codes: Codes, classes: NDArray[np.bool_], bits: int) -> Separation:
    """Count the distances of all pairs of (N, W) codes by whether their rows of (N, classes) share a class.

    An image without a class is in no pair.
    """
    labelled = classes.any(1)
    codes, classes = codes[labelled], classes[labelled]
    counts = np.zeros((2, bits + 1), np.int64)
    for start in range(0, len(codes), _BLOCK):
        distances = hamming(codes[start : start + _BLOCK], codes[start:])
        once = np.arange(len(codes) - start) > np.arange(len(distances))[:, None]  # each pair, and none of an image
        same = metrics.relevance(classes[start : start + _BLOCK], classes[start:])
        for kind, chosen in enumerate((once & same, once & ~same)):
            counts[kind] += np.bincount(distances[chosen], minlength=bits + 1)
    return Separation(*counts)
