"""What precision and recall of fakes mean, on clouds of which it is known."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganhash_cli.engine import images, judge, pool, quality, sample, verdict
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.quality import Features
from ganhash_cli.plugin import registry

COUNT, DIMENSIONS = 200, 10


def cloud(seed: int, stretch: float = 1.0, shift: float = 0.0) -> Features:
    drawn = np.random.default_rng(seed).normal(shift, stretch, (COUNT, DIMENSIONS))
    return drawn.astype(np.float32)


def judged(fake: Features) -> dict[str, Any]:
    precision, recall = quality.precision_and_recall(cloud(0), fake)
    spread = quality.diversity(cloud(0), fake)
    return {"precision": precision, "recall": recall, "frechet_images": [COUNT, COUNT], "diversity": spread}


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (np.tile(cloud(0)[:4], (COUNT // 4, 1)) + cloud(1, stretch=0.05), "mode collapse: "),
        (cloud(0)[:1] + cloud(1, stretch=0.2), "trained too briefly: "),
        (cloud(1, stretch=4), "mostly noise: "),
        (cloud(1, shift=6), "far from the real images: "),
    ],
    ids=["few of the real images", "a place of their own", "noise", "elsewhere"],
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
    found = {"precision": precision, "recall": recall, "frechet_images": [COUNT, COUNT], "diversity": 1.0}
    assert verdict.of(found) == ""


@pytest.mark.parametrize("figures", [{}, {"frechet_images": [99, 5000]}, {"precision": None}])
def test_nothing_is_said_of_too_few_images_or_without_figures(figures: dict[str, Any]) -> None:
    bad = {"precision": 0.9, "recall": 0.0, "diversity": 1.0, **figures}
    assert verdict.of(bad) == ""


def test_few_fakes_already_tell_that_they_were_trained_too_briefly() -> None:
    alike = {"precision": 1.0, "recall": 0.0, "diversity": 0.1}
    said = [verdict.of({**alike, "frechet_images": [500, count]}) for count in (19, 20)]
    assert said[0] == ""
    assert said[1].startswith("trained too briefly: ")


def test_collapse_is_not_claimed_where_the_diversity_is_not_known() -> None:
    assert verdict.of({"precision": 0.9, "recall": 0.0, "frechet_images": [500, 500]}) == ""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 60])
def test_fakes_after_a_few_steps_are_not_called_collapsed(steps: int, tmp_path: Path) -> None:
    made = GenerateSettings(generator=registry.identify("generator", "sngan", {}), steps=steps)
    with sample.training_folder() as folder:
        work = pool.make(images.collect(folder), "here", made, tmp_path / "fakes", device=torch.device("cpu"))
        found = finish(work).fakes
    assert verdict.of(found.record["quality"]).startswith(("trained too briefly: ", "far from the real images: "))


@pytest.mark.slow
def test_three_to_ten_real_images_repeated_are_called_collapsed_and_all_of_them_are_not() -> None:
    with sample.training_folder() as folder:
        files = sorted(folder.rglob("*.png"))[::2]
        squares = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    features = judge.features("efficientnet_lite0", 28, 0, torch.device("cpu"))(squares)
    real, fake = features[::2], features[1::2]
    for few in (3, 5, 10):
        found = quality.measure(real, None, np.resize(fake[:: len(fake) // few][:few], fake.shape), None, 0)
        assert verdict.of(asdict(found)).startswith("mode collapse: ")
    assert verdict.of(asdict(quality.measure(real, None, fake, None, 0))) == ""
