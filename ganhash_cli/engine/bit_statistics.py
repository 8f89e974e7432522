"""Codes → how well they use their bits: balance and correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, unpack

_BLOCK = 1 << 16  # codes; sums of a block are exact in float32


@dataclass(frozen=True)
class BitStatistics:
    """`ones` is the share of ones of each bit, (bits,); `correlation` is Pearson's r of all bits, (bits, bits).

    A bit that is the same in all codes is correlated with none: its row and column, like the diagonal, are nan.
    """

    ones: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def worst_balance(self) -> float:
        """The share of ones of the bit farthest from one half."""
        return float(self.ones[np.argmax(np.abs(self.ones - 0.5))])

    @property
    def constant(self) -> int:
        """How many bits are the same in all codes."""
        return int(np.count_nonzero((self.ones == 0) | (self.ones == 1)))

    @property
    def mean_correlation(self) -> float:
        """The mean of |r| over all pairs of bits that vary; nan where there is no pair."""
        known = self._known
        return float(known.mean()) if len(known) else float("nan")

    @property
    def most_correlation(self) -> float:
        """The largest |r| of two bits that vary; nan where there is no pair."""
        return float(self._known.max(initial=-np.inf)) if len(self._known) else float("nan")

    @property
    def _known(self) -> NDArray[np.float64]:
        known: NDArray[np.float64] = np.abs(self.correlation[~np.isnan(self.correlation)])
        return known


def of(codes: Codes, bits: int) -> BitStatistics:
    """Return the statistics of (N, W) packed codes, N at least 1."""
    both = np.zeros((bits, bits))  # how many codes have a one in both bits
    for start in range(0, len(codes), _BLOCK):
        block = unpack(codes[start : start + _BLOCK], bits).astype(np.float32)
        both += block.T @ block
    ones = np.diag(both) / len(codes)
    deviation = np.sqrt(ones * (1 - ones))
    scale = np.outer(deviation, deviation)
    correlation = np.full((bits, bits), np.nan)
    np.divide(both / len(codes) - np.outer(ones, ones), scale, out=correlation, where=scale > 0)
    np.fill_diagonal(correlation, np.nan)
    return BitStatistics(ones, np.clip(correlation, -1, 1))
