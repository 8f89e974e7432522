"""Distances within and between classes, compared with a look at every pair."""

import math
from itertools import combinations

import numpy as np
import pytest

from ganhash_cli.engine import bits, code_map, separation

BITS = 12


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 2, (600, BITS))


def test_every_pair_is_counted_once_and_an_image_without_a_class_in_none(codes: np.ndarray) -> None:
    classes = np.random.default_rng(4).random((len(codes), 3)) < 0.3
    found = separation.of(bits.pack(codes - 0.5), classes, BITS)
    same, different = [0] * (BITS + 1), [0] * (BITS + 1)
    for a, b in combinations(range(len(codes)), 2):
        if classes[a].any() and classes[b].any():
            counts = same if (classes[a] & classes[b]).any() else different
            counts[int((codes[a] != codes[b]).sum())] += 1
    assert (found.same.tolist(), found.different.tolist()) == (same, different)


def test_nearer_is_the_share_of_pairs_of_pairs_in_the_right_order() -> None:
    same, different = [0, 1, 1, 4], [1, 3, 4]
    found = separation.Separation(np.bincount(same, minlength=5), np.bincount(different, minlength=5))
    right = [1.0 if s < d else 0.5 if s == d else 0.0 for s in same for d in different]
    assert found.nearer == pytest.approx(sum(right) / len(right))


def test_without_pairs_of_a_kind_nothing_is_nearer() -> None:
    assert math.isnan(separation.Separation(np.zeros(3, np.int64), np.ones(3, np.int64)).nearer)


def test_the_map_keeps_as_much_of_the_distances_as_two_directions_can(codes: np.ndarray) -> None:
    found = code_map.of(bits.pack(codes - 0.5), BITS)
    centred = codes - codes.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    wanted = centred @ directions[:2].T
    for axis in range(2):
        assert np.abs(found.points[:, axis]) == pytest.approx(np.abs(wanted[:, axis]))
    assert found.shares == pytest.approx((singular**2 / (singular**2).sum())[:2])


@pytest.mark.parametrize("width", [1, 2, 12])
def test_codes_that_are_all_alike_lie_on_one_point(width: int) -> None:
    found = code_map.of(bits.pack(np.ones((5, width))), width)
    assert (found.points.tolist(), found.shares.tolist()) == ([[0, 0]] * 5, [0, 0])
