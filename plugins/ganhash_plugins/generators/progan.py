"""progan: a GAN that grows, after Karras et al. 2018, arXiv:1710.10196: one resolution fades in after the other.

Every level paints its own share of the image (the skips of Karras et al. 2020, arXiv:1912.04958), so that all levels
stay in use. The critic halves as that of sngan, held by spectral norm and the hinge loss, which cost less than a
gradient penalty, and has its full size from the start: what it is shown grows, real images as fakes. Of the paper's own
it has the minibatch's standard deviation, and no equalised learning rates.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_plugins.generators.parts import HalvingCritic, crop, halvings, look_up, pad
from ganhash_plugins.sizes import require_positive

GROWN = 0.6
"""The share of training after which the full resolution is there."""


class Progan(nn.Module):
    """Noise and class to an image of any square size; `num_classes` None leaves the classes out.

    `latent_dim` numbers are the noise; `base` scales the channels of generator and critic.
    """

    objective: Literal["hinge"] = "hinge"
    mixes_classes = True

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        latent_dim: int = 64,
        base: int = 32,
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, base=base)
        self.image_size = image_size
        self.num_classes = num_classes
        self.latent_dim = latent_dim
        self.base = base
        self.progress = 1.0
        count, self.start = halvings(image_size[-1], smallest=4)
        widths = _widths(base, count)[::-1]
        self.classes = nn.Embedding(num_classes, latent_dim) if num_classes else None
        self.seed = nn.Linear(latent_dim * (2 if num_classes else 1), widths[0] * self.start**2)
        self.stages = nn.ModuleList(_Up(before, after) for before, after in pairwise(widths))
        self.paint = nn.ModuleList(nn.Conv2d(width, image_size[0], 1) for width in widths)

    def grow(self, progress: float) -> None:
        """Take the share of training that is done, from 0 to 1; a new network is fully grown."""
        self.progress = progress

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise, and (N,) class numbers, into (N, C, S, S) images in [-1, 1]."""
        if self.classes is not None:
            latents = torch.cat([latents, look_up(self.classes, labels)], 1)
        hidden = _pixel_norm(self.seed(_pixel_norm(latents)).view(len(latents), -1, self.start, self.start))
        image: Tensor = self.paint[0](hidden)
        for stage, paint, share in zip(
            self.stages, self.paint[1:], _shares(len(self.stages), self.progress), strict=True
        ):
            image = F.interpolate(image, scale_factor=2.0)
            if share:
                hidden = stage(hidden)
                image = image + share * paint(hidden)
        return crop(image.tanh(), self.image_size[-1])

    def critic(self) -> nn.Module:
        """Return a new critic."""
        return _Critic(self.image_size, self.num_classes, self.base)


class _Up(nn.Module):
    """Twice the size by repetition, then two convolutions, each with pixel norm."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        larger = F.interpolate(hidden, scale_factor=2.0)
        refined = _pixel_norm(F.leaky_relu(self.first(larger), 0.2))
        return _pixel_norm(F.leaky_relu(self.second(refined), 0.2))


class _Critic(HalvingCritic):
    """Sees as much detail of images, real or fake, as has grown (figure 2 of the paper)."""

    def __init__(self, image_size: tuple[int, int, int], num_classes: int | None, base: int) -> None:
        super().__init__(image_size, num_classes, base, spread=True)
        self.progress = 1.0
        self.levels = halvings(image_size[-1], smallest=4)[0]

    def grow(self, progress: float) -> None:
        """Take the share of training that is done, from 0 to 1."""
        self.progress = progress

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, C, S, S) images, and (N,) class numbers, into (N,) scores."""
        sizes = [pad(images, self.levels)]
        for _ in range(self.levels):
            sizes.append(F.avg_pool2d(sizes[-1], 2))
        shown = sizes.pop()
        for share in _shares(self.levels, self.progress):
            shown = torch.lerp(F.interpolate(shown, scale_factor=2.0), sizes.pop(), share)
        return super().forward(shown, labels)


def _shares(levels: int, progress: float) -> list[float]:
    """Return how far each level above the first has faded in: one after the other, each as long as the others.

    >>> _shares(2, 0.0), _shares(2, 0.15), _shares(2, 0.45), _shares(2, 1.0)
    ([0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [1.0, 1.0])
    """
    position = progress / GROWN * levels
    return [min(1.0, max(0.0, round(position - level, 9))) for level in range(levels)]


def _widths(base: int, count: int) -> list[int]:
    """Return the channels from the full size down: doubled at each halving, to four times the first."""
    return [min(base << level, 4 * base) for level in range(count + 1)]


def _pixel_norm(hidden: Tensor) -> Tensor:
    """Bring the channels of every place to length one a channel (section 4.2 of the paper)."""
    return F.normalize(hidden, dim=1, eps=1e-8) * math.sqrt(hidden.shape[1])
