"""Retrieval metrics against brute force over the orders of tied items."""

import itertools

import numpy as np
import pytest

from ganhash_cli.engine.bits import pack
from ganhash_cli.engine.histograms import of_tables
from ganhash_cli.engine.metrics import average_precision, mean_average_precision, relevance


def plain_ap(relevant: list[bool]) -> float:
    hits, total = 0, 0.0
    for rank, hit in enumerate(relevant, start=1):
        hits += hit
        total += hits / rank if hit else 0.0
    return total / hits


def brute_force(distances: np.ndarray, relevant: np.ndarray) -> float:
    order = np.argsort(distances, kind="stable")
    groups = [list(g) for _, g in itertools.groupby(order, key=lambda index: distances[index])]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return float(np.mean([plain_ap([bool(relevant[i]) for group in order for i in group]) for order in orders]))


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_the_mean_over_all_orders_of_tied_items(seed: int):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 3, 7)
    relevant = rng.random(7) < 0.5
    relevant[0] = True
    (value,) = average_precision(of_tables(distances[None], relevant[None]))
    assert value == pytest.approx(brute_force(distances, relevant))


def test_a_query_without_relevant_items_has_no_average_precision():
    assert np.isnan(average_precision(of_tables(np.array([[0, 1]]), np.array([[False, False]])))[0])


def test_one_code_for_all_gives_the_share_of_relevant_items_whatever_their_order():
    codes = pack(np.ones((100, 8)))
    relevant = np.zeros((1, 100), bool)
    relevant[0, :10] = True
    first = mean_average_precision(codes[:1], codes, relevant)
    assert first == mean_average_precision(codes[:1], codes, relevant[:, ::-1])
    assert first < 0.16


def test_perfect_codes_score_one():
    labels = np.eye(3, dtype=bool)[[0, 0, 1, 1, 2, 2]]
    codes = pack(np.where(labels, 1.0, -1.0))
    assert mean_average_precision(codes, codes, relevance(labels, labels)) == pytest.approx(1.0)
