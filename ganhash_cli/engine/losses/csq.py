"""Central similarity: every class has a hash centre, far from the others, and its images are drawn to it bit by bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.triplet import relaxed
from ganhash_cli.engine.seeds import derive

CANDIDATES = 1000  # random centres each Bernoulli centre is the best of


def csq(logits: Tensor, labels: Tensor, *, quantisation: float = 1e-4) -> Tensor:
    """Return the cross-entropy of every bit to the image's hash centre, and how far codes are from being binary.

    `logits` are (N, bits), `labels` (N, classes) booleans. Central similarity (Yuan et al. 2020, eq. 5) plus
    `quantisation` times the mean of log cosh(|v| - 1) (eq. 6). An image of several classes has the majority of
    their centres' bits, ties by the centre of the first.
    """
    target = target_bits(labels, logits.shape[1]).to(logits)
    far = relaxed(logits).abs() - 1
    return functional.binary_cross_entropy_with_logits(logits, target) + quantisation * far.cosh().log().mean()


def target_bits(labels: Tensor, bits: int) -> Tensor:
    """Return the (N, bits) target bits, 0 or 1, of (N, classes) labels."""
    centre = torch.from_numpy(2.0 * centres(labels.shape[1], bits) - 1).to(labels.device)
    votes = labels.double() @ centre
    first = centre[labels.int().argmax(1)]
    return torch.where(votes == 0, first, votes) > 0


@lru_cache(maxsize=8)
def centres(classes: int, bits: int) -> NDArray[np.bool_]:
    """Return (classes, bits) hash centres, the same for the same numbers.

    Where `bits` is a power of two that has room, they are rows of a Hadamard matrix and of its negative, which
    differ in half of the bits or in all (Yuan et al. 2020, algorithm 1). Otherwise rows of as many ones as zeros
    are drawn, and each is, of 1,000 such rows, the one whose nearest centre is farthest.

    >>> centres(4, 4).astype(int).tolist()
    [[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]]
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits:
        rows = hadamard(bits)
        return np.concatenate([rows, ~rows])[:classes]
    rng = np.random.default_rng(derive(0, "hash centres", classes, bits))
    balanced = np.arange(bits) % 2 == 0
    chosen = rng.permuted(balanced[None], axis=1)
    while len(chosen) < classes:
        candidates = rng.permuted(np.tile(balanced, (CANDIDATES, 1)), axis=1)
        nearest = (candidates[:, None] != chosen[None]).sum(2).min(1)
        chosen = np.concatenate([chosen, candidates[nearest.argmax()][None]])
    return chosen


def hadamard(order: int) -> NDArray[np.bool_]:
    """Return Sylvester's Hadamard matrix of a power of two as (order, order) booleans, True for 1."""
    number = np.arange(order)
    even: NDArray[np.bool_] = np.bitwise_count(number[:, None] & number[None]) % 2 == 0
    return even
