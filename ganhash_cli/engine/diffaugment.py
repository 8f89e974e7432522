"""DiffAugment: the same random shifts, holes and tints for real and fake images, differentiable.

After Zhao et al. 2020, arXiv:2006.10738: the critic never sees an image that was not augmented, so it cannot learn
a small training set by heart, and the generator learns through the augmentation, so fakes do not show it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ganhash_cli.errors import UsageError

SHIFT = 1 / 8
"""Largest shift, as a share of the side (section 4 of the paper)."""
HOLE = 1 / 2
"""Side of the square hole, as a share of the image's."""


def augment(images: Tensor, policy: str) -> Tensor:
    """Augment (N, C, H, W) images in [-1, 1] by each step of a policy such as "translation,cutout".

    Random numbers come from torch's global generator on the processor, so a seed means the same on any device.
    """
    for step in steps(policy):
        images = step(images)
    return images


def steps(policy: str) -> list[Callable[[Tensor], Tensor]]:
    """Return the functions that a policy names; `UsageError` where it names another."""
    names = [name.strip() for name in policy.split(",") if name.strip() not in ("", "none")]
    for name in names:
        if name not in STEPS:
            raise UsageError(f"no augmentation named {name!r}", hint=f"there are: {', '.join(STEPS)}, none")
    return [STEPS[name] for name in names]


def translate(images: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its side; what moves in is 0, mid-grey."""
    count, _, height, width = images.shape
    most_y, most_x = round(height * SHIFT), round(width * SHIFT)
    padded = F.pad(images, (most_x, most_x, most_y, most_y))
    top = torch.randint(0, 2 * most_y + 1, (count,)).to(images.device)
    left = torch.randint(0, 2 * most_x + 1, (count,)).to(images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    shifted: Tensor = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def cut_out(images: Tensor) -> Tensor:
    """Set a square of half the side, centred anywhere in the image, to 0."""
    height, width = images.shape[-2:]
    inside_rows = _inside(height, len(images), images.device)
    inside_columns = _inside(width, len(images), images.device)
    return images.masked_fill((inside_rows[:, :, None] & inside_columns[:, None, :])[:, None], 0)


def colour(images: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of each image; saturation means nothing to a grey one."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1).to(images.device, images.dtype)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    tinted: Tensor = (images - mean) * (contrast + 0.5) + mean
    return tinted


STEPS: dict[str, Callable[[Tensor], Tensor]] = {"translation": translate, "cutout": cut_out, "color": colour}


def _inside(side: int, count: int, device: torch.device) -> Tensor:
    """Return (count, side) booleans, true within a stretch of half the side with a random centre."""
    length = int(side * HOLE + 0.5)
    start = torch.randint(0, side + 1, (count, 1)) - length // 2
    place = torch.arange(side)
    return ((place >= start) & (place < start + length)).to(device)
