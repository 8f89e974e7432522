"""Balance and correlation of bits against numpy's corrcoef and plain counting; constant bits without warnings."""

import math

import numpy as np
import pytest

from ganhash_cli.engine import bit_statistics
from ganhash_cli.engine.bits import pack


def signs(rows: int = 300, bits: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    mixed: np.ndarray = rng.normal(0.2, 1, (rows, bits)) @ rng.normal(0, 1, (bits, bits))
    return mixed


def test_balance_is_the_share_of_ones_of_each_bit() -> None:
    found = bit_statistics.of(pack(signs()), 12)
    shares = [sum(value >= 0 for value in column) / 300 for column in signs().T]
    assert found.ones.tolist() == pytest.approx(shares)
    assert found.worst_balance == pytest.approx(max(shares, key=lambda share: abs(share - 0.5)))


def test_correlation_is_pearsons_of_all_pairs_of_bits() -> None:
    found = bit_statistics.of(pack(signs()), 12)
    table = np.corrcoef((signs() >= 0).T)
    pairs = [abs(table[i, j]) for i in range(12) for j in range(12) if i < j]
    assert found.mean_correlation == pytest.approx(np.mean(pairs))
    assert found.most_correlation == pytest.approx(max(pairs))


def test_codes_are_summed_in_blocks_like_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bit_statistics.of(pack(signs()), 12)
    monkeypatch.setattr(bit_statistics, "_BLOCK", 7)
    assert np.allclose(bit_statistics.of(pack(signs()), 12).correlation, whole.correlation, equal_nan=True)


def test_a_constant_bit_is_correlated_with_none() -> None:
    values = signs()
    values[:, 3], values[:, 5] = 1, -1
    found = bit_statistics.of(pack(values), 12)
    varying = np.delete(values, [3, 5], axis=1)
    assert found.constant == 2
    assert found.worst_balance in (0, 1)
    assert found.mean_correlation == pytest.approx(bit_statistics.of(pack(varying), 10).mean_correlation)


def test_a_bit_and_its_opposite_are_fully_correlated() -> None:
    values = signs(bits=2)
    values[:, 1] = -values[:, 0]
    assert bit_statistics.of(pack(values), 2).most_correlation == pytest.approx(1)


@pytest.mark.parametrize("values", [np.ones((1, 4)), np.ones((9, 1)), np.ones((9, 4))])
def test_where_no_two_bits_vary_there_is_no_correlation(values: np.ndarray) -> None:
    found = bit_statistics.of(pack(values), values.shape[1])
    assert math.isnan(found.mean_correlation)
    assert math.isnan(found.most_correlation)
