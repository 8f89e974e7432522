"""The asymmetric distance, bit by bit, and as the likelihood it stands for."""

import numpy as np
import pytest

from ganhash_cli.engine import asymmetric, histograms, metrics
from ganhash_cli.engine.bits import hamming, pack


@pytest.mark.parametrize("bits", [1, 12, 48, 64, 100])
def test_it_is_the_sum_of_the_logits_of_differing_bits(bits: int) -> None:
    rng = np.random.default_rng(bits)
    logits, others = rng.normal(size=bits), rng.normal(size=(50, bits))
    wanted = [sum(abs(z) for z, other in zip(logits, row, strict=True) if (z >= 0) != (other >= 0)) for row in others]
    assert asymmetric.distances(logits, pack(others)) == pytest.approx(wanted)


def test_it_is_how_much_less_likely_a_code_is_than_the_own() -> None:
    logits = np.array([0.3, -1.2, 2.0])
    p = 1 / (1 + np.exp(-logits))
    codes = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    likelihood = np.where(codes == 1, p, 1 - p).prod(1)
    assert asymmetric.distances(logits, pack(codes - 0.5)) == pytest.approx(np.log(likelihood.max() / likelihood))


@pytest.mark.parametrize("size", [1.0, -1.0])
def test_logits_of_one_size_give_the_hamming_distance(size: float) -> None:
    rng = np.random.default_rng(1)
    signs, others = np.sign(rng.normal(size=48)), rng.normal(size=(30, 48))
    found = asymmetric.distances(size * signs, pack(others))
    assert np.array_equal(found, hamming(pack(size * signs[None]), pack(others))[0])


def test_counts_by_asymmetric_distance_give_the_average_precision_of_a_sort() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6, 12))
    kinds = rng.normal(size=(9, 12))
    database = pack(kinds[rng.integers(0, 9, 80)])
    relevant = [np.flatnonzero(rng.random(80) < 0.3) for _ in logits]
    found = [metrics.average_precision(each)[0] for each in histograms.of_logits(logits, database, relevant)]
    for row, rows, value in zip(logits, relevant, found, strict=True):
        distances = asymmetric.distances(row, database)
        orders = [np.lexsort((rng.random(80), distances)) for _ in range(4000)]
        hits = np.isin(orders, rows)
        precisions = hits.cumsum(1) / np.arange(1, 81)
        sampled = (precisions * hits).sum(1) / hits.sum(1)
        assert value == pytest.approx(sampled.mean(), abs=5 * sampled.std() / np.sqrt(4000) + 1e-9)
