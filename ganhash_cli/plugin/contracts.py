"""What a plugin must look like. A plugin imports nothing from here and inherits nothing.

A factory is a class or function. What the core decides is passed by position, what the user may decide are
the keyword-only arguments, plain types with defaults:

    backbone factory:   Factory(*, pretrained: bool = True, width: int = 32)
    generator factory:  Factory(image_size: tuple[int, int, int], num_classes: int | None, *, base: int = 48)

The plugin owns the architecture. The core owns noise, seeds, normalisation, the hash head, the sign rule,
loops, moving averages, augmentation, checkpoints and files. Both are torch modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

CONTRACT_VERSION = 1


@runtime_checkable
class Backbone(Protocol):
    """A network from normalised images to feature vectors.

    `input_size` is (channels, height, width) it was made for; the core may feed smaller squares unless the
    plugin has an attribute `fixed_input_size = True`. `mean` and `std` are per channel, for images in [0, 1].
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    feature_dim: int

    def __call__(self, images: Tensor) -> Tensor:
        """Turn (N, C, H, W) normalised images into (N, feature_dim) features."""
        ...


@runtime_checkable
class Generator(Protocol):
    """A network from noise to images; `num_classes` is None where it takes no labels.

    One with an attribute `mixes_classes = True` also takes (N, classes) shares of classes as labels.
    """

    latent_dim: int
    image_size: tuple[int, int, int]
    num_classes: int | None

    def __call__(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Turn (N, latent_dim) noise, and (N,) class numbers, into (N, C, H, W) images in [-1, 1]."""
        ...


@runtime_checkable
class Adversarial(Generator, Protocol):
    """A generator that is trained against a critic of its own."""

    objective: Literal["hinge", "nonsaturating", "wgan-gp"]

    def critic(self) -> Module:
        """Return a new critic: (N, C, H, W) images, and (N,) labels or None, to (N,) scores.

        One that also tells classes apart returns the pair of scores and (N, classes) class scores. Generator or
        critic may have a method `grow(progress)`, called before each step with the share of training that is done.
        """
        ...


@runtime_checkable
class SelfTrained(Generator, Protocol):
    """A generator that brings its own loss: a diffusion model, an autoencoder, a flow."""

    def training_loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return the scalar loss of (N, C, H, W) images in [-1, 1]."""
        ...
