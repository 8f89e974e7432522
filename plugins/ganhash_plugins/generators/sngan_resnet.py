"""sngan-resnet: the residual GAN of spectral normalisation, after Miyato et al. 2018, arXiv:1802.05957, table 4.

Conditional as in Miyato and Koyama 2018, arXiv:1802.05637. Wider and slower than `sngan`: all its channels live at
every resolution, and each stage has two convolutions. Its critic moves once a step, the paper's five times.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ganhash_plugins.generators.parts import ConditionalNorm, ProjectionScore, crop, halvings, pad
from ganhash_plugins.sizes import require_positive


class SnganResnet(nn.Module):
    """Noise and class to an image of any square size; `num_classes` None leaves the classes out.

    `latent_dim` numbers are the noise; `base` and `critic_base` scale the channels of generator and critic.
    """

    objective: Literal["hinge"] = "hinge"
    mixes_classes = True

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        latent_dim: int = 128,
        base: int = 48,
        critic_base: int = 48,
    ) -> None:
        super().__init__()
        require_positive(latent_dim=latent_dim, base=base, critic_base=critic_base)
        self.image_size = image_size
        self.num_classes = num_classes
        self.latent_dim = latent_dim
        self.critic_base = critic_base
        count, self.start = halvings(image_size[-1], smallest=4)
        self.seed = nn.Linear(latent_dim, base * self.start**2)
        self.stages = nn.ModuleList(_Up(base, num_classes) for _ in range(count))
        self.norm = ConditionalNorm(base, num_classes)
        self.paint = nn.Conv2d(base, image_size[0], 3, padding=1)

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
    """Twice the size: two convolutions beside a 1x1 one."""

    def __init__(self, width: int, num_classes: int | None) -> None:
        super().__init__()
        self.first_norm = ConditionalNorm(width, num_classes)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second_norm = ConditionalNorm(width, num_classes)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.beside = nn.Conv2d(width, width, 1)

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        larger = F.interpolate(F.relu(self.first_norm(hidden, labels)), scale_factor=2.0)
        found = self.second(F.relu(self.second_norm(self.first(larger), labels)))
        grown: Tensor = F.interpolate(self.beside(hidden), scale_factor=2.0) + found
        return grown


class _Down(nn.Module):
    """Two convolutions beside a 1x1 one, then half the size, but for the last two of a critic's."""

    def __init__(self, before: int, width: int, *, first: bool = False, halve: bool = True) -> None:
        super().__init__()
        self.opens, self.halves = not first, halve
        self.first = spectral_norm(nn.Conv2d(before, width, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(width, width, 3, padding=1))
        self.beside = spectral_norm(nn.Conv2d(before, width, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        found = self.second(F.relu(self.first(F.relu(hidden) if self.opens else hidden)))
        both: Tensor = self.beside(hidden) + found
        return F.avg_pool2d(both, 2) if self.halves else both


class _Critic(nn.Module):
    def __init__(self, image_size: tuple[int, int, int], num_classes: int | None, width: int) -> None:
        super().__init__()
        self.count = halvings(image_size[-1])[0]
        stages = [_Down(image_size[0], width, first=True)]
        stages += [_Down(width, width) for _ in range(self.count - 1)]
        self.body = nn.Sequential(*stages, *(_Down(width, width, halve=False) for _ in range(2)))
        self.score = ProjectionScore(width, num_classes)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, C, S, S) images, and (N,) class numbers, into (N,) scores."""
        hidden = F.relu(self.body(pad(images, self.count))).sum(dim=(2, 3))
        scores: Tensor = self.score(hidden, labels)
        return scores
