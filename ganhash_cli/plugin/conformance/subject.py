"""What a check looks at: a factory with options, the networks it builds, and what goes into and comes out of them.

What one check is there to find, the others step around: where a network cannot be built or run at all, they are
skipped, so that a fault fails its own check and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_cli.plugin.conformance.outcome import NotApplicable

Inputs = tuple[Tensor | None, ...]
ROWS = 3
TOLERANCE = 1e-4


class Subject:
    """A factory of one kind of plugin and the options to build it with."""

    def __init__(self, factory: Callable[..., Any], options: dict[str, Any]) -> None:
        self.factory = factory
        self.options = options

    @property
    def facts(self) -> tuple[Any, ...]:
        """Return what the core passes to the factory by position."""
        return ()

    def build(self, seed: int = 0) -> Any:
        """Build a new network after seeding torch; whatever the factory raises comes through."""
        torch.manual_seed(seed)
        return self.factory(*self.facts, **self.options)

    def network(self, seed: int = 0) -> nn.Module:
        """Return a new network in evaluation mode, or skip where none can be built."""
        try:
            network = self.build(seed)
        except (Exception, SystemExit) as error:
            raise NotApplicable(f"it cannot be built: {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            raise NotApplicable("it is no torch.nn.Module")
        return network.eval()

    def moved_network(self) -> nn.Module:
        """Return a network whose weights have moved: a fresh one may start with all classes alike, or at zero."""
        network, noise = self.network(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.1 * (weight.abs().mean() + 0.1) * torch.randn(weight.shape, generator=noise))
        return network

    def inputs(self, network: nn.Module, seed: int = 0, rows: int = ROWS) -> Inputs:
        """Return `rows` rows of what the network is called with."""
        raise NotImplementedError

    def run(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """Return the network's output without gradients, from one random state, or skip where there is none."""
        torch.manual_seed(0)
        return self.run_on(network, inputs)

    def run_on(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """Do the same, but go on from the random state that is there."""
        try:
            with torch.no_grad():
                output = network(*inputs)
        except Exception as error:
            raise NotApplicable(f"it fails when called: {type(error).__name__}: {error}") from error
        if not isinstance(output, Tensor):
            raise NotApplicable(f"it returns {type(output).__name__}, no tensor")
        return output

    def loss(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """Return a scalar that depends on everything the network learns, as training would."""
        output: Tensor = network(*inputs)
        return output.square().sum()

    def train(self, network: nn.Module) -> None:
        """Call in training mode what training calls, or skip where that fails."""
        try:
            with torch.enable_grad():
                self.learn(network)
        except NotApplicable:
            raise
        except Exception as error:
            raise NotApplicable(f"it fails in training: {type(error).__name__}: {error}") from error

    def learn(self, network: nn.Module) -> None:
        """Call in training mode what training calls."""
        self.loss(network.train(), self.inputs(network, rows=4))


class BackboneSubject(Subject):
    """A backbone; it is called with images, which vary slowly from place to place as real ones do."""

    def inputs(self, network: nn.Module, seed: int = 0, rows: int = ROWS) -> Inputs:
        """Return a tuple of (rows, C, S, S) images, S pixels being the backbone's own side."""
        return (self.images(network, input_size(network)[1], rows, seed),)

    def images(self, network: nn.Module, side: int, rows: int = ROWS, seed: int = 0) -> Tensor:
        """Return (rows, C, side, side) float32 normalised images."""
        noise = torch.Generator().manual_seed(seed)
        coarse = torch.randn(rows, input_size(network)[0], 4, 4, generator=noise, dtype=torch.float32)
        return F.interpolate(coarse, (side, side), mode="bilinear")


class GeneratorSubject(Subject):
    """A generator for images of `side` pixels; it is called with noise, and with labels or None."""

    def __init__(
        self, factory: Callable[..., Any], options: dict[str, Any], side: int = 32, classes: int | None = 4
    ) -> None:
        super().__init__(factory, options)
        self.image_size = (3, side, side)
        self.classes = classes

    @property
    def facts(self) -> tuple[Any, ...]:
        """Return the image size and the number of classes."""
        return self.image_size, self.classes

    def inputs(self, network: nn.Module, seed: int = 0, rows: int = ROWS) -> Inputs:
        """Return (rows, latent_dim) float32 noise, and (rows,) class numbers or None where it has no classes."""
        width = getattr(network, "latent_dim", None)
        if not isinstance(width, int):
            raise NotApplicable("its latent_dim is no whole number")
        latents = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        return latents, self.labels(network, rows)

    def labels(self, network: nn.Module, rows: int = ROWS) -> Tensor | None:
        """Return (rows,) class numbers, None where the network has no classes."""
        classes = getattr(network, "num_classes", None)
        return None if classes is None else torch.arange(rows) % cast(int, classes)

    def images(self, rows: int) -> Tensor:
        """Return (rows, C, S, S) float32 images in [-1, 1], as real ones would come."""
        noise = torch.Generator().manual_seed(0)
        return torch.rand(rows, *self.image_size, generator=noise, dtype=torch.float32) * 2 - 1

    def loss(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """Return the network's own loss where it brings one, else a scalar of its images."""
        if not hasattr(network, "training_loss"):
            return super().loss(network, inputs)
        loss: Tensor = cast(Any, network).training_loss(self.images(4), self.labels(network, 4))
        return loss.sum()

    def learn(self, network: nn.Module) -> None:
        """Grow the network half, as training would, and have its critic look at images, too."""
        super().learn(network)
        parts = [network]
        if hasattr(network, "critic"):
            parts.append(cast(Any, network).critic().train())
            parts[1](self.images(4), self.labels(network, 4))
        for part in parts:
            if hasattr(part, "grow"):
                cast(Any, part).grow(0.5)


def input_size(network: nn.Module) -> tuple[int, int]:
    """Return a backbone's channels and side in pixels, or skip where it does not tell."""
    match getattr(network, "input_size", None):
        case (int(channels), int(), int(side)):
            return channels, side
    raise NotApplicable("its input_size is not (channels, height, width)")


def agree(one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Tell whether two tensors are alike but for rounding; what is not a number is like itself."""
    scale = float(other.double().nan_to_num(0, 0, 0).abs().max()) if other.numel() else 0.0
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=0, atol=tolerance * scale, equal_nan=True
    )
