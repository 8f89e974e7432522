"""Judges fakes against real images by the features of a backbone: figures for all, and a teacher's class for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ganhash_cli.engine import backbones, quality
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.quality import Quality
from ganhash_cli.engine.seeds import derive

MOST_JUDGED = 10_000
"""Real images whose features are compared; more would only cost time."""
JUDGED_AT_ONCE = 256

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Features = Callable[[Pixels], NDArray[np.float32]]


@dataclass(frozen=True)
class Pictures:
    """Images as (N, S, S, C) bytes, C 1 or 3, and their (N,) class numbers, or None without classes."""

    pixels: Pixels
    labels: Labels | None

    def some(self, most: int, seed: int) -> Pictures:
        """Return at most `most` of them, drawn by the seed, in their order."""
        order = np.random.default_rng(derive(seed, "judged")).permutation(len(self.pixels))
        chosen = np.sort(order[:most])
        return Pictures(self.pixels[chosen], None if self.labels is None else self.labels[chosen])


def features(name: str, size: int, seed: int, device: torch.device) -> Features:
    """Return the features of a backbone for images of `size` pixels, scaled to what it can read."""
    identity = backbones.identify(name, {})
    torch.manual_seed(derive(seed, "features"))  # for a backbone that comes without weights
    backbone = backbones.build(identity)
    side = backbones.side_for(np.array([size]), backbone)
    extract = backbones.feature_extractor(backbone, device)

    def scaled(pixels: Pixels) -> NDArray[np.float32]:
        colour = torch.from_numpy(np.broadcast_to(pixels, (*pixels.shape[:3], 3)).copy()).permute(0, 3, 1, 2)
        larger = F.interpolate(colour.float(), size=(side, side), mode="bilinear", antialias=True)
        return extract(larger.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())

    return scaled


def judge(real: Pictures, fake: Pictures, extract: Features, seed: int) -> Work[tuple[Quality, list[Judgement | None]]]:
    """Return the figures of the fakes, and what a teacher says of each.

    The teacher is a classifier trained on the real images. None for each where either have no classes.
    """
    real = real.some(MOST_JUDGED, seed)
    total = len(real.pixels) + len(fake.pixels)
    first = yield from _described(real.pixels, extract, 0, total)
    second = yield from _described(fake.pixels, extract, len(real.pixels), total)
    figures = quality.measure(first, real.labels, second, fake.labels, seed)
    if real.labels is None or fake.labels is None:
        return figures, [None] * len(fake.pixels)
    classes, chances = (found.tolist() for found in quality.taught(first, real.labels, second))
    return figures, [Judgement(label, round(chance, 6)) for label, chance in zip(classes, chances, strict=True)]


def _described(pixels: Pixels, extract: Features, done: int, total: int) -> Work[NDArray[np.float32]]:
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(pixels), JUDGED_AT_ONCE):
        parts.append(extract(pixels[start : start + JUDGED_AT_ONCE]))
        yield Progress("judging fakes", done + sum(map(len, parts)), total, unit="images")
    return np.concatenate(parts)
