"""Builds a generator plugin, holds it to its contract, and draws fakes from it.

Noise is drawn on the processor, so that a seed means the same on any device.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import cast

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganhash_cli.engine import devices, diffaugment
from ganhash_cli.engine.adversarial import OBJECTIVES, verdict
from ganhash_cli.engine.limits import GENERATE, require_within
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.contracts import Adversarial, Generator, SelfTrained
from ganhash_cli.plugin.registry import Identity

DEFAULT_STEPS = 2000
DRAWN_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """Everything that decides a pool of fakes besides the images; None is decided by the images."""

    generator: Identity
    count: int | None = None
    steps: int | None = None
    minutes: float | None = None
    size: int | None = None
    batch: int = 64
    learning_rate: float = 4e-4
    augment: str | None = None
    flips: bool = False
    consistency: float = 0.0
    boundary: bool = False
    ema_decay: float = 0.995
    features: str = "efficientnet_lite0"
    seed: int = 0
    precision: devices.Precision = "auto"

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise UsageError("--steps and --minutes exclude each other", hint="give one of them")
        require_within(vars(self), GENERATE)
        diffaugment.steps(self.augment or "")


def build(identity: Identity, image_size: tuple[int, int, int], num_classes: int | None) -> nn.Module:
    """Build the generator `identity` names; `PluginError` where it does not keep the contract."""
    network = registry.build(identity, image_size, num_classes)
    wanted = ("latent_dim", "image_size", "num_classes")
    missing = [name for name in wanted if not hasattr(network, name)]
    if missing or not isinstance(network, nn.Module):
        raise _broken(identity, f"it lacks {', '.join(missing) or 'torch.nn.Module'}")
    if not isinstance(width := network.latent_dim, int) or width < 1:
        raise _broken(identity, f"its latent_dim is {width!r}, no whole number above 0")
    if contract(network).num_classes not in (None, num_classes):
        raise _broken(identity, f"it takes {network.num_classes} classes, not {num_classes}")
    if hasattr(network, "critic"):
        if getattr(network, "objective", None) not in OBJECTIVES:
            known = ", ".join(OBJECTIVES)
            raise _broken(identity, f"its objective is {getattr(network, 'objective', None)!r}, not one of {known}")
    elif not hasattr(network, "training_loss"):
        raise _broken(identity, "it has neither critic nor training_loss")
    _try_out(network, identity, image_size)
    return network


def contract(network: nn.Module) -> Generator:
    """View a built generator through its contract."""
    return cast(Generator, network)


def draw(network: nn.Module, labels: Tensor | None, count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield `count` fakes in fixed batches of (n, S, S, C) bytes.

    `labels` are their (count,) classes or, for a generator that mixes them, (count, classes) shares.
    """
    device = next(network.parameters()).device
    for start in range(0, count, DRAWN_AT_ONCE):
        size = min(DRAWN_AT_ONCE, count - start)
        noise = torch.Generator().manual_seed(derive(seed, "fakes", start))
        latents = torch.randn(size, contract(network).latent_dim, generator=noise).to(device)
        classes = None if labels is None else labels[start : start + size].to(device)
        with torch.inference_mode():
            images = network(latents, classes).float()
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        yield pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _try_out(network: nn.Module, identity: Identity, image_size: tuple[int, int, int]) -> None:
    """Draw two images, learn from them, store the weights: a plugin that breaks its word is found before it trains."""
    rules = contract(network)
    labels = None if rules.num_classes is None else torch.zeros(2, dtype=torch.int64)
    latents = torch.zeros(2, rules.latent_dim)
    try:
        tried = copy.deepcopy(network)
        with redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
            with torch.no_grad():
                images = tried.eval()(latents, labels)
            _require_shape("two images have", images, (2, *image_size))
            if hasattr(network, "critic"):
                critic = cast(Adversarial, tried).critic().train()
                scores, classes = verdict(critic, tried.train()(latents, labels), labels)
                _require_shape("the scores of two images have", scores, (2,))
                if classes is not None:
                    _require_shape("their class scores have", classes, (2, rules.num_classes or 0))
                loss = scores.sum()
            else:
                loss = cast(SelfTrained, tried.train()).training_loss(images, labels)
                _require_shape("training_loss has", loss, ())
            torch.autograd.backward(loss)
            safetensors.torch.save({name: value.contiguous() for name, value in tried.state_dict().items()})
    except Exception as error:  # a stranger's code fails in any way
        raise _broken(identity, f"it fails: {type(error).__name__}: {error}") from error


def _require_shape(what: str, found: Tensor, wanted: tuple[int, ...]) -> None:
    if (shape := tuple(found.shape)) != wanted:
        raise ValueError(f"{what} the shape {shape}, not {wanted}")


def _broken(identity: Identity, reason: str) -> PluginError:
    return PluginError(
        f"generator {identity.name!r} of package {identity.package} is no generator: {reason}",
        hint="docs/plugins.md says what a generator must have",
    )
