"""Retrieval metrics against all orders of tied items, random ones, plain loops, and torchmetrics where nothing ties."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision
from torchmetrics.retrieval import RetrievalMAP

from ganhash_cli.engine.bits import pack
from ganhash_cli.engine.histograms import Histograms, of_tables
from ganhash_cli.engine.metrics import (
    average_precision,
    average_precision_at,
    curve,
    mean,
    mean_average_precision,
    precision_at,
    relevance,
)

RANKS = (1, 2, 3, 5, 7, 12)


def plain_ap(ranking: list[bool], most: int) -> float:
    """Return the mean of the precisions at the relevant items of the first `most`; 0 without any."""
    precisions = [sum(ranking[:rank]) / rank for rank in range(1, min(most, len(ranking)) + 1) if ranking[rank - 1]]
    return sum(precisions) / len(precisions) if precisions else 0.0


def plain_precision(ranking: list[bool], k: int) -> float:
    return sum(ranking[:k]) / min(k, len(ranking))


def orders(distances: np.ndarray, relevant: np.ndarray) -> Iterator[list[bool]]:
    """Give the ranking in every order of the tied items."""
    order = np.argsort(distances, kind="stable")
    groups = [list(group) for _, group in itertools.groupby(order, key=lambda index: distances[index])]
    for chosen in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [bool(relevant[index]) for group in chosen for index in group]


def brute_force(metric: Callable[[list[bool], int], float], case: tuple[np.ndarray, np.ndarray], most: int) -> float:
    return float(np.mean([metric(ranking, most) for ranking in orders(*case)]))


def small_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    distances, relevant = rng.integers(0, 3, 7), rng.random(7) < 0.5
    relevant[0] = True
    return distances, relevant


def counts(distances: np.ndarray, relevant: np.ndarray) -> Histograms:
    return of_tables(distances[None], relevant[None])


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_the_mean_over_all_orders_of_tied_items(seed: int):
    case = small_case(seed)
    assert average_precision(counts(*case))[0] == pytest.approx(brute_force(plain_ap, case, len(case[0])))


@pytest.mark.parametrize("most", RANKS)
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_of_the_first_ranks_is_the_mean_over_all_orders(seed: int, most: int):
    case = small_case(seed)
    assert average_precision_at(counts(*case), most)[0] == pytest.approx(brute_force(plain_ap, case, most))


@pytest.mark.parametrize("k", RANKS)
@pytest.mark.parametrize("seed", range(5))
def test_precision_at_k_is_the_mean_over_all_orders(seed: int, k: int):
    case = small_case(seed)
    assert precision_at(counts(*case), k)[0] == pytest.approx(brute_force(plain_precision, case, k))


def random_orders(distances: np.ndarray, relevant: np.ndarray, times: int) -> np.ndarray:
    """Return (times, N) rankings in which chance decides between tied items."""
    chance = np.random.default_rng(1).random((times, len(distances)))
    ranked: np.ndarray = relevant[np.argsort(distances + chance / 2, axis=1)]
    return ranked


def agrees(seen: np.ndarray, value: float) -> bool:
    return bool(abs(seen.mean() - value) < 3 * seen.std() / math.sqrt(len(seen)))


def larger_case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    relevant = rng.permutation(np.arange(400) < 100)
    return rng.binomial(12, 0.5 - 0.1 * relevant), relevant


@pytest.mark.parametrize("most", [10, 40, 150, 400])
def test_average_precision_agrees_with_twenty_thousand_random_orders_within_three_standard_errors(most: int):
    ranked = random_orders(*larger_case(), 20_000)[:, :most]
    precisions = ranked.cumsum(1) / np.arange(1, most + 1)
    seen = (precisions * ranked).sum(1) / np.maximum(ranked.sum(1), 1)
    assert agrees(seen, average_precision_at(counts(*larger_case()), most)[0])


@pytest.mark.parametrize("k", [10, 40, 150])
def test_precision_agrees_with_twenty_thousand_random_orders_within_three_standard_errors(k: int):
    ranked = random_orders(*larger_case(), 20_000)[:, :k]
    assert agrees(ranked.mean(1), precision_at(counts(*larger_case()), k)[0])


def test_of_all_ranks_average_precision_is_that_of_the_whole_ranking():
    case = of_tables(*tables(2))
    assert average_precision_at(case, 25) == pytest.approx(average_precision(case))


def untied(seed: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor, torch.Tensor]:
    """Return distances without ties and what is relevant, for us and for torchmetrics."""
    rng = np.random.default_rng(seed)
    distances, relevant = rng.permutation(60), rng.random(60) < 0.3
    return distances, relevant, torch.from_numpy(1 / (1 + distances)), torch.from_numpy(relevant)


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_torchmetrics_finds_the_same_average_precision(seed: int):
    distances, relevant, scores, target = untied(seed)
    assert average_precision(counts(distances, relevant))[0] == pytest.approx(
        float(retrieval_average_precision(scores, target)), rel=1e-5
    )


@pytest.mark.parametrize("most", [1, 5, 20, 60])
@pytest.mark.parametrize("seed", range(3))
def test_without_ties_torchmetrics_finds_the_same_average_precision_at_r(seed: int, most: int):
    distances, relevant, scores, target = untied(seed)
    assert average_precision_at(counts(distances, relevant), most)[0] == pytest.approx(
        float(retrieval_average_precision(scores, target, top_k=most)), rel=1e-5
    )


@pytest.mark.parametrize("k", [1, 5, 20, 60])
def test_without_ties_torchmetrics_finds_the_same_precision_at_k(k: int):
    distances, relevant, scores, target = untied(k)
    assert precision_at(counts(distances, relevant), k)[0] == pytest.approx(
        float(retrieval_precision(scores, target, top_k=k))
    )


def test_without_ties_torchmetrics_finds_the_same_mean_with_the_same_queries_left_out():
    cases = [untied(seed) for seed in range(4)]
    cases[2][1][:] = False
    theirs = RetrievalMAP(empty_target_action="skip")
    indexes = torch.arange(4).repeat_interleave(60)
    theirs.update(torch.cat([case[2] for case in cases]), torch.cat([case[3] for case in cases]), indexes=indexes)
    tables = of_tables(np.array([case[0] for case in cases]), np.array([case[1] for case in cases]))
    assert mean(average_precision(tables)) == pytest.approx(float(theirs.compute()), rel=1e-5)


def test_a_query_without_relevant_items_has_no_average_precision():
    alone = counts(np.array([0, 1]), np.array([False, False]))
    assert np.isnan(average_precision(alone)[0])
    assert np.isnan(average_precision_at(alone, 1)[0])


def test_a_query_that_finds_none_among_the_first_ranks_scores_zero():
    assert average_precision_at(counts(np.array([0, 1]), np.array([False, True])), 1)[0] == 0


def test_nothing_searched_has_no_figure_and_gives_no_warning():
    nothing = Histograms(np.zeros((1, 5), np.int64), np.zeros((1, 5), np.int64))
    assert math.isnan(mean(average_precision(nothing)))
    assert math.isnan(mean(average_precision_at(nothing, 3)))
    assert math.isnan(mean(precision_at(nothing, 3)))
    assert np.isnan(curve(nothing).precision).all()


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


def tables(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (6, 25)), rng.random((6, 25)) < 0.3


def test_the_curve_is_precision_and_recall_within_each_radius_by_plain_loops():
    distances, relevant = tables(0)
    found = curve(of_tables(distances, relevant))
    for radius in range(9):
        precisions, recalls = [], []
        for row, hits in zip(distances.tolist(), relevant.tolist(), strict=True):
            ball = [hit for distance, hit in zip(row, hits, strict=True) if distance <= radius]
            precisions.append(sum(ball) / len(ball) if ball else 0.0)
            recalls.append(sum(ball) / sum(hits))
        assert found.precision[radius] == pytest.approx(np.mean(precisions))
        assert found.recall[radius] == pytest.approx(np.mean(recalls))


def test_an_empty_ball_has_precision_zero_and_is_counted():
    distances = np.array([[0, 1, 3], [3, 3, 4]])
    found = curve(of_tables(distances, np.ones((2, 3), bool)))
    assert (found.precision[2], found.empty[2]) == (0.5, 0.5)


def test_queries_without_relevant_items_do_not_bend_the_curve():
    distances, relevant = tables(1)
    relevant[3] = False
    others = np.arange(6) != 3
    some, alone = curve(of_tables(distances, relevant)), curve(of_tables(distances[others], relevant[others]))
    assert np.array_equal(some.precision, alone.precision)
