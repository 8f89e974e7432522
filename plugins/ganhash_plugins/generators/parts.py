"""What generators share: what a class does to norm and score, a critic, and how any square side is halved and back."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift depend on the class, or on nothing where there are no classes."""

    def __init__(self, width: int, num_classes: int | None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=num_classes is None)
        self.scale = _constant_table(num_classes, width, 1.0)
        self.shift = _constant_table(num_classes, width, 0.0)

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        """Normalise (N, width, H, W) maps for (N,) class numbers or (N, classes) shares of classes."""
        normed: Tensor = self.norm(hidden)
        if self.scale is None or self.shift is None:
            return normed
        scale, shift = (look_up(table, labels)[:, :, None, None] for table in (self.scale, self.shift))
        return normed * scale + shift


class ProjectionScore(nn.Module):
    """A linear score and, where there are classes, the agreement with the class's own direction (arXiv:1802.05637)."""

    def __init__(self, width: int, num_classes: int | None) -> None:
        super().__init__()
        self.score = spectral_norm(nn.Linear(width, 1))
        self.direction = spectral_norm(nn.Embedding(num_classes, width)) if num_classes else None

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        """Turn (N, width) features, and (N,) class numbers, into (N,) scores."""
        scores: Tensor = self.score(hidden)[:, 0]
        if self.direction is None:
            return scores
        return scores + torch.sum(self.direction(labels) * hidden, dim=1)


class HalvingCritic(nn.Module):
    """Halving convolutions, summed over places, scored by a linear layer and by the class's own direction.

    With `spread` it sees, before its last convolution, how unlike the images of the batch are, and so tells fakes that
    are all alike (the minibatch standard deviation of Karras et al. 2018, arXiv:1710.10196, section 3).
    """

    def __init__(
        self, image_size: tuple[int, int, int], num_classes: int | None, base: int, *, spread: bool = False
    ) -> None:
        super().__init__()
        self.spread = spread
        self.count = halvings(image_size[-1])[0]
        widths = [image_size[0], *(min(base << level, 4 * base) for level in range(self.count))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers)
        self.last = spectral_norm(nn.Conv2d(widths[-1] + spread, widths[-1], 3, padding=1))
        self.score = ProjectionScore(widths[-1], num_classes)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, C, S, S) images, and (N,) class numbers, into (N,) scores."""
        hidden = self.body(pad(images, self.count))
        if self.spread:
            unlike = hidden.std(0, correction=0).mean().expand_as(hidden[:, :1])
            hidden = torch.cat([hidden, unlike], 1)
        scores: Tensor = self.score(F.leaky_relu(self.last(hidden), 0.1).sum(dim=(2, 3)), labels)
        return scores


def look_up(table: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Return the (N, width) rows of (N,) class numbers, or mixtures of rows by (N, classes) shares."""
    if labels is not None and labels.is_floating_point():
        return torch.mm(labels.to(table.weight.dtype), table.weight)
    rows: Tensor = table(labels)
    return rows


def halvings(side: int, smallest: int = 5) -> tuple[int, int]:
    """Return how often a side is halved, and the side that is left: below twice the `smallest`, rounded up.

    >>> [halvings(side) for side in (28, 32, 33, 64, 96, 128)]
    [(2, 7), (2, 8), (2, 9), (3, 8), (4, 6), (4, 8)]
    """
    count = 0
    while side >= 2 * smallest << count:
        count += 1
    return count, -(-side >> count)


def crop(images: Tensor, side: int) -> Tensor:
    """Cut (N, C, S, S) images down to their middle (N, C, side, side)."""
    margin = (images.shape[-1] - side) // 2
    return images[:, :, margin : margin + side, margin : margin + side]


def pad(images: Tensor, count: int) -> Tensor:
    """Surround (N, C, S, S) images with zeros, so that their side can be halved `count` times."""
    missing = -images.shape[-1] % (1 << count)
    before, after = missing // 2, missing - missing // 2
    return F.pad(images, (before, after, before, after))


def _constant_table(num_classes: int | None, width: int, value: float) -> nn.Embedding | None:
    if num_classes is None:
        return None
    table = nn.Embedding(num_classes, width)
    nn.init.constant_(table.weight, value)
    return table
