"""Codes → a map of two dimensions: the principal components of their bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, unpack


@dataclass(frozen=True)
class CodeMap:
    """Where each code lies, (N, 2), and what share of the variance of all bits the two axes show, (2,)."""

    points: NDArray[np.float64]
    shares: NDArray[np.float64]


def of(codes: Codes, bits: int) -> CodeMap:
    """Lay out (N, W) packed codes, N at least 1, by the two directions in which their bits vary most.

    A Hamming distance is the squared Euclidean distance of the bits, so that this is classical scaling of the
    distances' roots too (Gower 1966). Each axis points to where its largest weight is positive.
    """
    centred = unpack(codes, bits).astype(np.float64)
    centred -= centred.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    first = directions[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(0), np.arange(first.shape[1])])
    points, shares = np.zeros((len(codes), 2)), np.zeros(2)
    points[:, : first.shape[1]] = centred @ first  # a code of one bit has one direction
    total = variances.sum()
    if total > 0:
        shares[: first.shape[1]] = variances[::-1][:2] / total
    return CodeMap(points, np.clip(shares, 0, 1))
