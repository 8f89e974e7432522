"""The quality figures agree with slow, obvious computations."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganhash_cli.engine import quality


def cloud(count: int, seed: int, shift: float = 0.0, stretch: float = 1.0, width: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    mixing = np.eye(width) + 0.2 * np.random.default_rng(99).normal(size=(width, width))
    return (stretch * rng.normal(size=(count, width)) @ mixing + shift).astype(np.float32)


def root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T


def slow_frechet(real: NDArray[np.float32], fake: NDArray[np.float32]) -> float:
    """Take the root of C1 C2 by way of the symmetric C1^1/2 C2 C1^1/2, which has the same trace."""
    first, second = np.cov(real.astype(np.float64).T), np.cov(fake.astype(np.float64).T)
    half = root(first)
    between = root(half @ second @ half)
    gap = real.astype(np.float64).mean(0) - fake.astype(np.float64).mean(0)
    return float(gap @ gap + np.trace(first + second - 2 * between))


def classes(count: int, seed: int, shift: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three clouds on a line, four deviations apart."""
    labels = np.arange(count, dtype=np.int64) % 3
    return cloud(count, seed) + 4 * labels[:, None].astype(np.float32) + np.float32(shift), labels


def slow_share(these: NDArray[np.float32], among: NDArray[np.float32]) -> float:
    """Return the share of `these` that lie within the third nearest neighbour's distance of one `among` them."""
    inside = 0
    for one in these:
        for other in among:
            reach = sorted(np.linalg.norm(among - other, axis=1))[quality.NEIGHBOURS]  # the first is itself
            if np.linalg.norm(one - other) <= reach:
                inside += 1
                break
    return inside / len(these)


@pytest.mark.parametrize(("shift", "stretch"), [(0, 1), (1.5, 1), (0, 0.2), (9, 1)])
def test_precision_and_recall_count_who_is_among_the_others(shift: float, stretch: float) -> None:
    real, fake = cloud(40, 0), cloud(30, 1, shift, stretch)
    assert quality.precision_and_recall(real, fake) == pytest.approx((slow_share(fake, real), slow_share(real, fake)))


def test_fakes_equal_to_images_that_stand_in_a_list_many_times_are_among_them() -> None:
    real = np.repeat(cloud(60, 0, width=1280), 5, axis=0)  # the third neighbour of each is a copy, at distance 0
    assert quality.precision_and_recall(real, real[:100]) == (1.0, pytest.approx(1 / 3))


def test_fakes_that_are_all_alike_have_precision_but_no_recall() -> None:
    real = cloud(60, 0)
    precision, recall = quality.precision_and_recall(real, np.repeat(real[:1], 20, axis=0))
    assert (precision, recall) == (1.0, pytest.approx(1 / 60))


@pytest.mark.parametrize(("shift", "stretch", "count"), [(0, 1, 40), (2, 1, 40), (0, 3, 25), (1, 0.5, 300)])
def test_the_frechet_distance_is_that_of_the_covariances(shift: float, stretch: float, count: int) -> None:
    real, fake = cloud(40, 0), cloud(count, 1, shift, stretch)
    assert quality.frechet_distance(real, fake) == pytest.approx(slow_frechet(real, fake), rel=1e-6)


def test_the_frechet_distance_is_right_with_fewer_images_than_features() -> None:
    real, fake = cloud(6, 0, width=20), cloud(8, 1, 1.0, width=20)
    assert quality.frechet_distance(real, fake) == pytest.approx(slow_frechet(real, fake), rel=1e-5)


def test_the_frechet_distance_of_images_to_themselves_is_nothing() -> None:
    assert quality.frechet_distance(cloud(40, 0), cloud(40, 0)) == pytest.approx(0, abs=1e-5)


def test_a_classifier_learns_from_good_fakes_what_holds_for_real_images() -> None:
    found = quality.measure(*classes(90, 0), *classes(60, 1), seed=0)
    assert found.accuracy is not None
    assert found.accuracy > 0.9


def test_fakes_with_the_classes_turned_round_teach_the_wrong_thing() -> None:
    real, labels = classes(90, 0)
    fake, fake_labels = classes(60, 1)
    found = quality.measure(real, labels, fake, (fake_labels + 1) % 3, seed=0)
    assert found.accuracy is not None
    assert found.accuracy < 0.2


def test_the_ceiling_comes_from_real_images_alone() -> None:
    found = quality.measure(*classes(90, 0), *classes(60, 1, shift=50), seed=0)
    assert found.accuracy_ceiling is not None
    assert found.accuracy_ceiling > 0.9


def test_without_classes_there_is_no_accuracy() -> None:
    found = quality.measure(cloud(20, 0), None, cloud(30, 1), None, seed=0)
    assert (found.accuracy, found.accuracy_ceiling, found.frechet_images) == (None, None, (20, 30))


def test_one_class_gives_no_accuracy() -> None:
    one = np.zeros(20, dtype=np.int64)
    assert quality.measure(cloud(20, 0), one, cloud(20, 1), one, seed=0).accuracy is None


def test_one_fake_gives_no_distance() -> None:
    assert quality.measure(cloud(20, 0), None, cloud(1, 1), None, seed=0).frechet_distance is None


def test_no_more_images_are_compared_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST_COMPARED", 10)
    assert quality.measure(cloud(20, 0), None, cloud(30, 1), None, seed=0).frechet_images == (10, 10)


def test_a_teacher_is_sure_of_a_fake_in_the_place_of_a_class_and_not_of_one_between_two() -> None:
    real, labels = classes(90, 0)
    fake, fake_labels = classes(6, 1)
    named, sure = quality.taught(real, labels, fake)
    assert named.tolist() == fake_labels.tolist()
    halfway = np.stack([real[labels == i].mean(0) for i in (0, 1)]).mean(0, keepdims=True)
    _, unsure = quality.taught(real, labels, halfway)
    assert sure.min() > 0.8 > unsure.max()
