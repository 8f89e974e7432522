"""sngan: a class-conditional GAN with a spectrally normalised projection critic and the hinge loss.

After Miyato et al. 2018, arXiv:1802.05957 (spectral norm), and Miyato and Koyama 2018, arXiv:1802.05637
(projection critic, conditional batch norm), in the proportions that pay on a processor: most channels live at
low resolution, and the critic halves the image before it does anything else.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_plugins.generators.parts import ConditionalNorm, HalvingCritic, crop, halvings
from ganhash_plugins.sizes import require_positive


class Sngan(nn.Module):
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
        widths = [max(1, min(base << level, 8 * base) // 2) for level in reversed(range(count + 1))]
        self.seed = nn.Linear(latent_dim, widths[0] * self.start**2)
        self.stages = nn.ModuleList(_Doubling(before, after, num_classes) for before, after in pairwise(widths))
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
        return HalvingCritic(self.image_size, self.num_classes, self.critic_base)


class _Doubling(nn.Module):
    """A residual 3x3 convolution, then twice the size by repetition and another 3x3 convolution."""

    def __init__(self, before: int, after: int, num_classes: int | None) -> None:
        super().__init__()
        self.first_norm = ConditionalNorm(before, num_classes)
        self.refine = nn.Conv2d(before, before, 3, padding=1)
        self.second_norm = ConditionalNorm(before, num_classes)
        self.grow = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        hidden = hidden + self.refine(F.relu(self.first_norm(hidden, labels)))
        larger = F.interpolate(F.relu(self.second_norm(hidden, labels)), scale_factor=2.0)
        grown: Tensor = self.grow(larger)
        return grown
