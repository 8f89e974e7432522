"""The three games a generator may play against its critic: pure losses of scores, chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASS_WEIGHTS = {"critic": 1.0, "generator": 0.1}
"""Of the auxiliary classifier's cross-entropy, for a critic that tells classes (arXiv:1704.00028, section 5)."""


@dataclass(frozen=True)
class Objective:
    """What critic and generator minimise, how often the critic moves for one move of the generator."""

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    critic_steps: int = 1
    penalty: float = 0.0


def verdict(critic: nn.Module, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the (N,) float32 scores of images and, from a critic that tells classes, (N, classes) ones."""
    found = critic(images, labels)
    scores, classes = found if isinstance(found, tuple) else (found, None)
    return scores.float(), None if classes is None else classes.float()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean max(0, 1 - D(x)) + max(0, 1 + D(G(z))) of (N,) scores (Lim and Ye 2017, arXiv:1705.02894)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def nonsaturating(real: Tensor, fake: Tensor) -> Tensor:
    """Return the binary cross-entropy of (N,) scores (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean D(G(z)) - mean D(x) (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 without its penalty)."""
    return fake.mean() - real.mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
    """Return mean (|∇D(x̂)| - 1)² at random points x̂ between real and fake images (arXiv:1704.00028, eq. 3)."""
    share = torch.rand(len(real), 1, 1, 1).to(real.device)
    between = torch.lerp(real, fake, share).requires_grad_()
    (slope,) = torch.autograd.grad(verdict(critic, between, labels)[0].sum(), between, create_graph=True)
    excess: Tensor = slope.flatten(1).norm(dim=1) - 1
    return excess.square().mean()


def _raise_score(fake: Tensor) -> Tensor:
    return -fake.mean()


def _believed(fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


OBJECTIVES = {
    "hinge": Objective(hinge, _raise_score),
    "nonsaturating": Objective(nonsaturating, _believed),
    "wgan-gp": Objective(wasserstein, _raise_score, critic_steps=5, penalty=10.0),
}
