"""ddpm: a small diffusion model, after Ho et al. 2020, arXiv:2006.11239, which needs no critic.

Its latents are the noise that drawing starts from. Drawing is deterministic (DDIM, Song et al. 2021, arXiv:2010.02502):
the same latents give the same image. It learns the velocity (Salimans and Ho 2022, arXiv:2202.00512), which
few steps of drawing need.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_plugins.generators.parts import crop, halvings, look_up, pad
from ganhash_plugins.sizes import require_positive

STEPS = 1000  # of the diffusion while training
OFFSET = 0.008  # of the cosine schedule (Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17)


class Ddpm(nn.Module):
    """Noise and class to an image of any square size; `num_classes` None leaves the classes out.

    `base` scales the channels, and is a multiple of 8; an image is drawn in `drawing_steps` steps of DDIM.
    """

    mixes_classes = True

    def __init__(
        self,
        image_size: tuple[int, int, int],
        num_classes: int | None,
        *,
        base: int = 32,
        drawing_steps: int = 20,
    ) -> None:
        super().__init__()
        if not 1 <= drawing_steps <= STEPS:
            raise ValueError(f"drawing_steps={drawing_steps} is not from 1 to {STEPS}")
        require_positive(base=base)
        if base % 8:
            raise ValueError(f"base={base} is no multiple of 8")
        self.image_size = image_size
        self.num_classes = num_classes
        self.latent_dim = math.prod(image_size)
        self.drawing_steps = drawing_steps
        self.denoiser = _Denoiser(image_size, num_classes, base)

    def training_loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return the mean squared error of the velocity found in noised (N, C, S, S) images.

        Noise and image follow from it at every moment; from the noise alone, not where it is nearly all there is.
        """
        moment = torch.randint(0, STEPS, (len(images),)).to(images.device)
        noise = torch.randn(images.shape).to(images.device)
        kept = _kept(moment)[:, None, None, None]
        found = self.denoiser(kept.sqrt() * images + (1 - kept).sqrt() * noise, moment, labels)
        return F.mse_loss(found, kept.sqrt() * noise - (1 - kept).sqrt() * images)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise, and (N,) class numbers, into (N, C, S, S) images in [-1, 1]."""
        noisy = latents.view(len(latents), *self.image_size)
        image = noisy
        moments = torch.linspace(STEPS - 1, 0, self.drawing_steps).round().long().tolist()
        for moment, following in zip(moments, [*moments[1:], -1], strict=True):
            kept, next_kept = (_kept(torch.tensor(each, device=latents.device)) for each in (moment, following))
            found = self.denoiser(noisy, torch.full((len(latents),), moment, device=latents.device), labels)
            image = (kept.sqrt() * noisy - (1 - kept).sqrt() * found).clamp(-1, 1)
            # The noise that fits the clamped image, so that the next step starts from something consistent.
            noise = (noisy - kept.sqrt() * image) / (1 - kept).sqrt()
            noisy = next_kept.sqrt() * image + (1 - next_kept).sqrt() * noise
        return image


class _Denoiser(nn.Module):
    """A U-Net of residual blocks that know the moment and the class."""

    def __init__(self, image_size: tuple[int, int, int], num_classes: int | None, base: int) -> None:
        super().__init__()
        self.base = base
        self.side = image_size[-1]
        self.count = halvings(image_size[-1])[0]
        widths = [base << min(level, 1) for level in range(self.count + 1)]
        about = 4 * base
        self.moment = nn.Sequential(nn.Linear(base, about), nn.SiLU(), nn.Linear(about, about))
        self.classes = nn.Embedding(num_classes, about) if num_classes else None
        self.enter = nn.Conv2d(image_size[0], base, 3, padding=1)
        self.down = nn.ModuleList(_Block(widths[max(0, level - 1)], width, about) for level, width in enumerate(widths))
        self.middle = _Block(widths[-1], widths[-1], about)
        self.up = nn.ModuleList(
            _Block(widths[min(self.count, level + 1)] + width, width, about)
            for level, width in reversed(list(enumerate(widths)))
        )
        self.norm = nn.GroupNorm(8, base)
        self.leave = nn.Conv2d(base, image_size[0], 3, padding=1)

    def forward(self, images: Tensor, moment: Tensor, labels: Tensor | None) -> Tensor:
        """Return the velocity in noisy (N, C, S, S) images at (N,) moments."""
        about = self.moment(_waves(moment, self.base))
        if self.classes is not None:
            about = about + look_up(self.classes, labels)
        hidden = self.enter(pad(images, self.count))
        passed = []
        for level, block in enumerate(self.down):
            hidden = block(F.avg_pool2d(hidden, 2) if level else hidden, about)
            passed.append(hidden)
        hidden = self.middle(hidden, about)
        for level, block in enumerate(self.up):
            hidden = F.interpolate(hidden, scale_factor=2.0) if level else hidden
            hidden = block(torch.cat([hidden, passed.pop()], 1), about)
        return crop(self.leave(F.silu(self.norm(hidden))), self.side)


class _Block(nn.Module):
    """Two convolutions beside a 1x1 one; what is known about the image is added in between."""

    def __init__(self, before: int, after: int, about: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, after, 3, padding=1))
        self.about = nn.Linear(about, after)
        self.second = nn.Sequential(nn.GroupNorm(8, after), nn.SiLU(), nn.Conv2d(after, after, 3, padding=1))
        self.beside = nn.Conv2d(before, after, 1)

    def forward(self, hidden: Tensor, about: Tensor) -> Tensor:
        found = self.second(self.first(hidden) + self.about(F.silu(about))[:, :, None, None])
        passed: Tensor = self.beside(hidden) + found
        return passed


def _kept(moment: Tensor) -> Tensor:
    """Return the share of the image's variance that is left at a moment from -1, all of it, to 999, nearly none."""
    # On the processor, since Apple's GPUs have no float64.
    angle = ((moment.cpu().double() + 1) / STEPS + OFFSET) / (1 + OFFSET) * math.pi / 2
    start = math.cos(OFFSET / (1 + OFFSET) * math.pi / 2) ** 2
    return (angle.cos().square() / start).clamp(1e-5, 1).float().to(moment.device)


def _waves(moment: Tensor, width: int) -> Tensor:
    """Return (N, width) sines and cosines of (N,) moments, of wavelengths up to 10,000 steps."""
    rates = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=moment.device) / (width // 2))
    angles = moment.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
