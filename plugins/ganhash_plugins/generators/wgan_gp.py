"""wgan-gp: a GAN with gradient penalty, after Gulrajani et al. 2017, arXiv:1704.00028.

Only the generator is residual; the critic is a plain stack of convolutions, which costs less. It also tells classes
apart (Odena et al. 2017, arXiv:1610.09585), which is how the generator learns them. Layer norm in it, since a penalty
on single images allows no batch norm (section 4 of the paper).
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_plugins.generators.parts import ConditionalNorm, crop, halvings, pad
from ganhash_plugins.sizes import require_positive


class WganGp(nn.Module):
    """Noise and class to an image of any square size; `num_classes` None leaves the classes out.

    `latent_dim` numbers are the noise; `base` and `critic_base` scale the channels of generator and critic.
    """

    objective: Literal["wgan-gp"] = "wgan-gp"
    mixes_classes = True

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        latent_dim: int = 64,
        base: int = 32,
        critic_base: int = 32,
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, base=base, critic_base=critic_base)
        self.image_size = image_size
        self.num_classes = num_classes
        self.latent_dim = latent_dim
        self.critic_base = critic_base
        count, self.start = halvings(image_size[-1])
        self.seed = nn.Linear(latent_dim, 2 * base * self.start**2)
        widths = [2 * base, *[base] * count]
        self.stages = nn.ModuleList(_Up(widths[level], widths[level + 1], num_classes) for level in range(count))
        self.norm = ConditionalNorm(widths[-1], num_classes)
        self.paint = nn.Conv2d(widths[-1], image_size[0], 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise, and (N,) class numbers, into (N, C, S, S) images in [-1, 1]."""
        hidden = self.seed(latents).view(len(latents), -1, self.start, self.start)
        for stage in self.stages:
            hidden = stage(hidden, labels)
        return crop(self.paint(F.relu(self.norm(hidden, labels))).tanh(), self.image_size[-1])

    def critic(self) -> nn.Module:
        """Return a new critic."""
        return _Critic(self.image_size, self.num_classes, self.critic_base)


class _Up(nn.Module):
    """Twice the size by repetition, a convolution beside a 1x1 one."""

    def __init__(self, before: int, after: int, num_classes: int | None) -> None:
        super().__init__()
        self.norm = ConditionalNorm(before, num_classes)
        self.grow = nn.Conv2d(before, after, 3, padding=1)
        self.beside = nn.Conv2d(before, after, 1)

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        larger = F.interpolate(F.relu(self.norm(hidden, labels)), scale_factor=2.0)
        grown: Tensor = F.interpolate(self.beside(hidden), scale_factor=2.0) + self.grow(larger)
        return grown


class _Critic(nn.Module):
    """Halving convolutions with layer norm, then a score, and a score for every class."""

    def __init__(self, image_size: tuple[int, int, int], num_classes: int | None, base: int) -> None:
        super().__init__()
        self.count = halvings(image_size[-1])[0]
        layers: list[nn.Module] = []
        width = image_size[0]
        for level in range(self.count):
            after = min(base << level, 4 * base)
            layers += [nn.Conv2d(width, after, 4, 2, 1), nn.GroupNorm(1, after), nn.LeakyReLU(0.2)]
            width = after
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.score = nn.Linear(width, 1)
        self.classes = nn.Linear(width, num_classes) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Turn (N, C, S, S) images into (N,) scores and, where there are classes, (N, classes) class scores."""
        hidden = self.body(pad(images, self.count))
        scores: Tensor = self.score(hidden)[:, 0]
        return scores if self.classes is None else (scores, self.classes(hidden))
