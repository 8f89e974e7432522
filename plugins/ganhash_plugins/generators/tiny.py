"""tiny: the smallest generator that keeps the contract, for tests and for trying things out in seconds."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_plugins.sizes import require_positive


class Tiny(nn.Module):
    """One linear layer to a small picture that is scaled up; its critic looks at a small picture too."""

    mixes_classes = True

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        latent_dim: int = 8,
        width: int = 8,
        objective: str = "hinge",
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, width=width)
        self.image_size = image_size
        self.num_classes = num_classes
        self.latent_dim = latent_dim
        self.width = width
        self.objective = objective
        self.picture = nn.Linear(latent_dim + (num_classes or 0), image_size[0] * width * width)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise, and (N,) class numbers, into (N, C, S, S) images in [-1, 1]."""
        small = self.picture(_with_labels(latents, labels, self.num_classes))
        small = small.view(-1, self.image_size[0], self.width, self.width)
        return F.interpolate(small, self.image_size[1:], mode="bilinear", align_corners=False).tanh()

    def critic(self) -> nn.Module:
        """Return a new critic."""
        return _Critic(self.image_size[0], self.num_classes, self.width)


class _Critic(nn.Module):
    def __init__(self, channels: int, num_classes: int | None, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.pool = nn.AdaptiveAvgPool2d(width)
        self.score = nn.Sequential(
            nn.Linear(channels * width * width + (num_classes or 0), 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        flat = self.pool(images).flatten(1)
        scores: Tensor = self.score(_with_labels(flat, labels, self.num_classes))[:, 0]
        return scores


def _with_labels(values: Tensor, labels: Tensor | None, num_classes: int | None) -> Tensor:
    if num_classes is None or labels is None:
        return values
    shares = labels if labels.is_floating_point() else F.one_hot(labels, num_classes)
    return torch.cat([values, shares.to(values.dtype)], dim=1)
