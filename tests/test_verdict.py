"""What precision and recall of fakes mean, on clouds of which it is known."""

from typing import Any

import numpy as np
import pytest

from ganhash_cli.engine import quality, verdict
from ganhash_cli.engine.quality import Features

COUNT, DIMENSIONS = 200, 10


def cloud(seed: int, stretch: float = 1.0, shift: float = 0.0) -> Features:
    drawn = np.random.default_rng(seed).normal(shift, stretch, (COUNT, DIMENSIONS))
    return drawn.astype(np.float32)


def judged(fake: Features) -> dict[str, Any]:
    precision, recall = quality.precision_and_recall(cloud(0), fake)
    return {"precision": precision, "recall": recall, "frechet_images": [COUNT, COUNT]}


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (np.tile(cloud(0)[:4], (COUNT // 4, 1)) + cloud(1, stretch=0.05), "mode collapse: "),
        (cloud(1, stretch=4), "mostly noise: "),
        (cloud(1, shift=6), "far from the real images: "),
    ],
    ids=["few of the real images", "noise", "elsewhere"],
)
def test_fakes_that_are_plainly_wrong_are_told_of_in_one_sentence(fake: Features, said: str) -> None:
    sentence = verdict.of(judged(fake))
    assert sentence.startswith(said)
    assert "--overwrite" in sentence


def test_nothing_is_said_of_fakes_of_the_same_distribution() -> None:
    found = judged(cloud(1))
    assert min(found["precision"], found["recall"]) > 0.7
    assert verdict.of(found) == ""


@pytest.mark.parametrize(("precision", "recall"), [(0.85, 0.17), (0.3, 0.05), (0.05, 0.3)])
def test_nothing_is_said_of_what_lies_between(precision: float, recall: float) -> None:
    assert verdict.of({"precision": precision, "recall": recall, "frechet_images": [COUNT, COUNT]}) == ""


@pytest.mark.parametrize("figures", [{}, {"frechet_images": [99, 5000]}, {"precision": None}])
def test_nothing_is_said_of_too_few_images_or_without_figures(figures: dict[str, Any]) -> None:
    bad = {"precision": 0.9, "recall": 0.0, **figures}
    assert verdict.of(bad) == ""
