"""What a control puts in the place of fakes: other images that the network shall be undecided about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.rows import Images
from ganhash_cli.errors import UsageError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.bool_]

MIXED = (0.25, 0.75)  # the share of the first image in a mixture: neither is alone
MISSES = 1000  # draws without a dissimilar image, one after the other, that show that there are next to none


def real(images: Images, labels: Labels, count: int, rng: np.random.Generator) -> Pixels:
    """Return training images as they are: maximum entropy on real codes, as in JMLH (Shen et al. 2019)."""
    return images[rng.integers(0, len(images), count)]


def noise(images: Images, labels: Labels, count: int, rng: np.random.Generator) -> Pixels:
    """Return images of independent random bytes."""
    return rng.integers(0, 256, (count, *images.shape[1:]), dtype=np.uint8)


def mixup(images: Images, labels: Labels, count: int, rng: np.random.Generator) -> Pixels:
    """Return weighted means of two images of different classes (Zhang et al. 2018, arXiv:1710.09412)."""
    first, second = (images[rows].astype(np.float32) for rows in pairs(labels, count, rng))
    share = rng.uniform(*MIXED, (count, 1, 1, 1)).astype(np.float32)
    mixed: Pixels = np.rint(share * first + (1 - share) * second).astype(np.uint8)
    return mixed


def cutmix(images: Images, labels: Labels, count: int, rng: np.random.Generator) -> Pixels:
    """Return images with a box of an image of another class in them (Yun et al. 2019, arXiv:1905.04899)."""
    first, second = pairs(labels, count, rng)
    mixed, others, side = images[first], images[second], images.shape[1]
    for number, share in enumerate(rng.uniform(*MIXED, count)):
        box = round(side * np.sqrt(share))
        top, left = rng.integers(0, side - box + 1, 2)
        mixed[number, top : top + box, left : left + box] = others[number, top : top + box, left : left + box]
    return mixed


def pairs(labels: Labels, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows of `count` pairs that share no label; without labels, of two different images.

    `labels` is (N, classes). An image that is similar to all is not drawn; `UsageError` where hardly any is left.
    """
    first, second = np.empty((2, count), np.int64)
    drawn = missed = 0
    while drawn < count:
        row = int(rng.integers(0, len(labels)))
        alike = labels[:, labels[row]].any(1) if labels.shape[1] else np.arange(len(labels)) == row
        others = np.flatnonzero(~alike)
        if len(others):
            first[drawn], second[drawn] = row, rng.choice(others)
            drawn, missed = drawn + 1, 0
        elif (missed := missed + 1) == MISSES:
            raise UsageError(
                "the images share labels with all others, so that no two dissimilar ones can be mixed",
                hint="--entropy-on noise and --entropy-on real need no such pairs",
            )
    return first, second


CONTROLS: dict[str, Callable[[Images, Labels, int, np.random.Generator], Pixels]] = {
    "real": real,
    "noise": noise,
    "mixup": mixup,
    "cutmix": cutmix,
}
