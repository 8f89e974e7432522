"""What stands in the place of fakes in a control: each is what its name says, by the seed."""

import numpy as np
import pytest

from ganhash_cli.engine.ambiguous import CONTROLS, MIXED, pairs
from ganhash_cli.errors import UsageError

RNG = np.random.default_rng


def flat(*values: int, side: int = 8) -> np.ndarray:
    """Return one image of each grey value."""
    return np.stack([np.full((side, side, 3), value, np.uint8) for value in values])


LABELS = np.array([[1, 0], [1, 0], [0, 1]], dtype=bool)
IMAGES = flat(0, 0, 200)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_gives_images_like_the_real_ones_by_its_seed(name: str):
    first, again = (CONTROLS[name](IMAGES, LABELS, 5, RNG(3)) for _ in range(2))
    assert (first.shape, first.dtype) == ((5, 8, 8, 3), np.uint8)
    assert np.array_equal(first, again)


def test_pairs_share_no_label():
    labels = RNG(0).random((40, 6)) < 0.3
    for a, b in zip(*pairs(labels, 200, RNG(1)), strict=True):
        assert not (labels[a] & labels[b]).any()


def test_pairs_without_labels_are_of_two_images():
    first, second = pairs(np.zeros((3, 0), bool), 50, RNG(0))
    assert (first != second).all()
    assert {*first, *second} == {0, 1, 2}


def test_an_image_that_is_similar_to_all_is_in_no_pair():
    first, second = pairs(np.array([[1, 1], [1, 0], [0, 1]], bool), 50, RNG(0))
    assert {*first, *second} == {1, 2}


def test_real_images_are_unchanged():
    assert set(CONTROLS["real"](IMAGES, LABELS, 50, RNG(0)).ravel().tolist()) == {0, 200}


def test_noise_knows_nothing_of_the_images():
    assert CONTROLS["noise"](flat(7, side=64), LABELS[:1], 1, RNG(0)).std() == pytest.approx(256 / 12**0.5, rel=0.02)


def test_a_mixture_is_a_mean_in_which_neither_image_is_alone():
    values = CONTROLS["mixup"](IMAGES, LABELS, 200, RNG(0))[:, 0, 0, 0]
    assert values.min() >= 200 * MIXED[0] - 1
    assert values.max() <= 200 * MIXED[1] + 1
    assert values.max() - values.min() > 80


def is_rectangle(mask: np.ndarray) -> bool:
    rows, columns = np.nonzero(mask)
    return len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_a_cut_holds_a_box_of_the_other_image():
    for image in CONTROLS["cutmix"](flat(0, 0, 200, side=32), LABELS, 50, RNG(0)):
        assert set(np.unique(image)) == {0, 200}
        assert any(is_rectangle(image[..., 0] == value) for value in (0, 200))
        assert MIXED[0] - 0.05 <= (image[..., 0] == 200).mean() <= MIXED[1] + 0.05


def test_images_that_all_share_a_label_are_refused_and_not_drawn_for_ever():
    with pytest.raises(UsageError, match="no two dissimilar ones"):
        pairs(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool), 5, RNG(0))
