"""DiffAugment moves, cuts and tints as its paper says, and lets gradients through."""

import pytest
import torch
from torch import Tensor

from ganhash_cli.engine import diffaugment
from ganhash_cli.errors import UsageError


def images(count: int = 16, channels: int = 3, side: int = 16) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(count, channels, side, side) + 0.5


def test_a_translated_image_is_the_image_moved_by_a_few_pixels_over_grey() -> None:
    original = images(side=16)
    moved = diffaugment.translate(original)
    for before, after in zip(original, moved, strict=True):
        canvas = torch.zeros(3, 20, 20)
        canvas[:, 2:18, 2:18] = before
        windows = [canvas[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
        assert any(torch.equal(window, after) for window in windows)


def test_translations_reach_both_ends() -> None:
    column = torch.arange(1.0, 17.0).repeat(16, 1)[None, None].repeat(300, 1, 1, 1)
    centre = diffaugment.translate(column)[:, 0, 8, 8]
    assert sorted(set(centre.tolist())) == [7.0, 8.0, 9.0, 10.0, 11.0]


def test_a_hole_is_a_rectangle_of_at_most_half_the_side() -> None:
    for picture in diffaugment.cut_out(images(count=64)):
        hole = picture[0] == 0
        rows, columns = hole.any(dim=1), hole.any(dim=0)
        assert torch.equal(hole, rows[:, None] & columns[None, :])
        assert 4 <= int(rows.sum()) <= 8
        assert 4 <= int(columns.sum()) <= 8


def test_colour_keeps_a_grey_image_grey() -> None:
    grey = images(channels=1).repeat(1, 3, 1, 1)
    tinted = diffaugment.colour(grey)
    assert torch.allclose(tinted[:, 0], tinted[:, 2], atol=1e-5)
    assert not torch.allclose(tinted, grey)


def test_colour_moves_the_mean_by_at_most_half() -> None:
    original = images(count=64)
    shift = (diffaugment.colour(original) - original).mean(dim=(1, 2, 3))
    assert shift.abs().max() <= 0.5 + 1e-5
    assert shift.std() > 0.1


@pytest.mark.parametrize("name", sorted(diffaugment.STEPS))
def test_gradients_reach_the_image_through(name: str) -> None:
    original = images(count=4).requires_grad_()
    diffaugment.augment(original, name).square().sum().backward()
    assert original.grad is not None
    assert original.grad.abs().sum() > 0


def test_one_seed_gives_one_augmentation() -> None:
    original = images()
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(diffaugment.augment(original, "translation,cutout,color"))
    assert torch.equal(*results)


def test_the_empty_policy_changes_nothing() -> None:
    assert torch.equal(diffaugment.augment(images(), "none"), images())


def test_an_unknown_step_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'rotate'") as caught:
        diffaugment.steps("translation,rotate")
    assert "cutout" in caught.value.hint
