"""Which images a training step sees, and which are held out: balanced batches and the validation split, by seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.seeds import derive

PER_CLASS = 4  # at least so many images of a class in a batch, so that every anchor has positives

Labels = NDArray[np.bool_]


def label_table(labels: list[tuple[int, ...]], classes: int) -> Labels:
    """Turn label numbers into an (N, classes) table of booleans.

    >>> label_table([(0,), (0, 1)], 2).astype(int).tolist()
    [[1, 0], [1, 1]]
    """
    table = np.zeros((len(labels), classes), np.bool_)
    for row, numbers in enumerate(labels):
        table[row, list(numbers)] = True
    return table


def hold_out(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Mark `share` of the images of each class for validation, (N,); a class keeps at least two for training."""
    held = np.zeros(len(labels), np.bool_)
    rng = np.random.default_rng(derive(seed, "validation"))
    for column in labels.T:
        members = np.flatnonzero(column & ~held)
        count = min(round(share * len(members)), max(0, len(members) - 2))
        held[rng.permutation(members)[:count]] = True
    return held


def draw(labels: Labels, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw the images of one step: equally many of several classes, each class without repetition where it can."""
    rng = np.random.default_rng(derive(seed, "batch", step))
    present = np.flatnonzero(labels.any(0))
    classes = rng.permutation(present)[: max(2, batch // PER_CLASS)]
    each = max(2, batch // len(classes))
    picked = []
    for number in classes:
        members = np.flatnonzero(labels[:, number])
        picked.append(rng.choice(members, each, replace=len(members) < each))
    return np.concatenate(picked)
