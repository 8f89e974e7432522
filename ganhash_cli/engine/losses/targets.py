"""What the labels of a batch ask of it: which pairs are similar, each image's share of a class, its hash centre."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganhash_cli.engine.seeds import derive

CANDIDATES = 1000  # random centres each Bernoulli centre is the best of


def similar(labels: Tensor, others: Tensor | None = None) -> Tensor:
    """Return the table of pairs that share a label, from (N, classes) booleans: (N, N), or (N, M) with those of others.

    >>> similar(torch.tensor([[True, True], [True, False], [False, True]])).int().tolist()
    [[1, 1, 1], [1, 1, 0], [1, 0, 1]]
    """
    numbers = labels.float()
    return numbers @ (numbers if others is None else others.float()).T > 0


def class_shares(labels: Tensor) -> Tensor:
    """Return (N, classes) shares that add up to 1: an image of two classes belongs half to each."""
    numbers = labels.float()
    return numbers / numbers.sum(1, keepdim=True)


def target_bits(labels: Tensor, bits: int, *, bernoulli: bool = False) -> Tensor:
    """Return the (N, bits) bits, as booleans, of each image's centre.

    An image of several classes has the majority of their centres' bits, ties by bits drawn once for all (Yuan et al.
    2020), so that it lies between the centres and not on one of them.
    """
    centre = torch.from_numpy(2 * centres(labels.shape[1], bits, bernoulli=bernoulli).astype(np.float32) - 1)
    votes = labels.float() @ centre.to(labels.device)  # small whole numbers, exact; Apple's GPUs have no float64
    drawn = torch.from_numpy(np.random.default_rng(derive(0, "ties", bits)).integers(0, 2, bits)).to(labels.device)
    return torch.where(votes == 0, drawn, votes) > 0


@lru_cache(maxsize=8)
def centres(classes: int, bits: int, *, bernoulli: bool = False) -> NDArray[np.bool_]:
    """Return (classes, bits) hash centres, the same for the same numbers.

    Where `bits` is a power of two that has room, they are rows of a Hadamard matrix and of its negative, which
    differ in half of the bits or in all (Yuan et al. 2020, algorithm 1), in an order in which bits repeat each other
    least. Otherwise, and with `bernoulli`, rows of as many ones as zeros are drawn, and each is, of 1,000 such rows,
    the one whose nearest centre is farthest.

    Raises `ValueError` where there are more classes than such rows.

    >>> centres(4, 4).astype(int).tolist()
    [[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]]
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits and not bernoulli:
        rows = _varied(hadamard(bits))
        return np.concatenate([rows, ~rows])[:classes]
    room = math.comb(bits, bits // 2)
    if classes > room:
        most = room if bernoulli or bits & (bits - 1) else max(room, 2 * bits)
        raise ValueError(f"{bits} bits have room for {most} hash centres, not for {classes}")
    rng = np.random.default_rng(derive(0, "hash centres", classes, bits))
    balanced = np.arange(bits) % 2 == 0
    chosen = np.empty((classes, bits), np.float32)  # of -1 and 1, whose products are exact, and quick
    chosen[0] = 2.0 * rng.permuted(balanced[None], axis=1)[0] - 1
    known = 1
    while known < classes:
        candidates = 2 * rng.permuted(np.tile(balanced, (CANDIDATES, 1)), axis=1).astype(np.float32) - 1
        alike = (candidates @ chosen[:known].T).max(1)
        if alike.min() < bits:  # among few bits a draw may bring known ones only
            chosen[known] = candidates[alike.argmin()]
            known += 1
    found: NDArray[np.bool_] = chosen > 0
    return found


def _varied(rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows of Sylvester's matrix in an order in which few already tell all bits apart.

    Each row is a product of those whose numbers are powers of two, which come first: the first sixteen as they stand
    repeat sixteen bits over and over. The row of ones comes last. All rows begin with a one, so that every second
    product is turned round; to turn a factor would but put bits in another order.
    """
    number = np.arange(len(rows))
    product = np.bitwise_count(number) > 1
    turned = product & (np.cumsum(product) % 2 == 1)
    varied: NDArray[np.bool_] = (rows ^ turned[:, None])[np.lexsort((number, product, number == 0))]
    return varied


def hadamard(order: int) -> NDArray[np.bool_]:
    """Return Sylvester's Hadamard matrix of a power of two as (order, order) booleans, True for 1."""
    number = np.arange(order)
    even: NDArray[np.bool_] = np.bitwise_count(number[:, None] & number[None]) % 2 == 0
    return even
