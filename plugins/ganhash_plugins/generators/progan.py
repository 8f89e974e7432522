"""progan: a GAN that grows, after Karras et al. 2018, arXiv:1710.10196: one resolution fades in after the other.

Every level paints its own share of the image and looks at the image at its own size (the skips of Karras et al. 2020,
arXiv:1912.04958), so that all levels stay in use. Spectral norm and the hinge loss hold the critic, which costs less
than a gradient penalty. Of the paper's own it has neither equalised learning rates nor the minibatch's standard
deviation.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ganhash_plugins.generators.parts import ProjectionScore, crop, halvings, look_up, pad
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


class _Critic(nn.Module):
    """From the full size down, level by level; each level also sees the image at its own size."""

    def __init__(self, image_size: tuple[int, int, int], num_classes: int | None, base: int) -> None:
        super().__init__()
        self.progress = 1.0
        self.count = halvings(image_size[-1], smallest=4)[0]
        widths = _widths(base, self.count)
        self.look = nn.ModuleList(spectral_norm(nn.Conv2d(image_size[0], width, 1)) for width in widths)
        self.stages = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, 2, 1)) for before, after in pairwise(widths)
        )
        self.last = spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
        self.score = ProjectionScore(widths[-1], num_classes)

    def grow(self, progress: float) -> None:
        """Take the share of training that is done, from 0 to 1."""
        self.progress = progress

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, C, S, S) images, and (N,) class numbers, into (N,) scores."""
        shares = [*_shares(self.count, self.progress)[::-1], 1.0]
        image, hidden = pad(images, self.count), None
        for level, share in enumerate(shares):
            if share:
                seen = F.leaky_relu(self.look[level](image), 0.2)
                hidden = seen if hidden is None else hidden + seen
            if level < self.count:
                image = F.avg_pool2d(image, 2)
                # All that a level says fades in: scaled before its convolution, the bias would come in at once.
                hidden = None if hidden is None else share * F.leaky_relu(self.stages[level](hidden), 0.2)
        pooled = F.leaky_relu(self.last(hidden), 0.2).sum(dim=(2, 3))
        scores: Tensor = self.score(pooled, labels)
        return scores


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
