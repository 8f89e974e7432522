"""dcgan: the unconditional GAN of strided convolutions, after Radford et al. 2016, arXiv:1511.06434."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from ganhash_plugins.generators.parts import crop, pad
from ganhash_plugins.sizes import require_positive


class Dcgan(nn.Module):
    """Noise to an image of any square size; classes are not looked at.

    `latent_dim` numbers are the noise; `base` scales the channels of generator and critic.
    """

    objective: Literal["nonsaturating"] = "nonsaturating"
    num_classes = None

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        latent_dim: int = 100,
        base: int = 32,
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, base=base)
        self.image_size = image_size
        self.latent_dim = latent_dim
        self.widths, start = _widths(image_size, base)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, self.widths[-1] * start**2),
            nn.Unflatten(1, (self.widths[-1], start, start)),
        ]
        for before, after in pairwise(reversed(self.widths)):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.body = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise into (N, C, S, S) images in [-1, 1]."""
        return crop(self.body(latents), self.image_size[-1])

    def critic(self) -> nn.Module:
        """Return a new critic."""
        return _Critic(self.image_size, self.widths)


class _Critic(nn.Module):
    def __init__(self, image_size: tuple[int, int, int], widths: list[int]) -> None:
        super().__init__()
        self.count = len(widths) - 1
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(before, after, 4, 2, 1)]
            layers += [nn.BatchNorm2d(after)] if level else []
            layers += [nn.LeakyReLU(0.2)]
        side = -(-image_size[-1] >> self.count)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, 1))
        self.apply(_initialise)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, C, S, S) images into (N,) scores."""
        scores: Tensor = self.body(pad(images, self.count))[:, 0]
        return scores


def _widths(image_size: tuple[int, int, int], base: int) -> tuple[list[int], int]:
    """Return the channels from the full size down, each level half the one before, and the last side.

    >>> _widths((3, 64, 64), 32)
    ([3, 32, 64, 128], 8)
    """
    channels, _, side = image_size
    halvings = max(1, (side // 10).bit_length())
    return [channels, *(min(base << level, 4 * base) for level in range(halvings))], -(-side >> halvings)


def _initialise(module: nn.Module) -> None:
    """Draw weights as section 3 of the paper does: normal, with a deviation of 0.02."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
