"""What a plugin must look like. A plugin imports nothing from here and inherits nothing.

A factory is a class or function. What the core decides is passed by position, what the user may decide are
the keyword-only arguments, plain types with defaults:

    backbone factory:   Factory(*, pretrained: bool = True, width: int = 32)
    generator factory:  Factory(image_size: tuple[int, int, int], num_classes: int | None, *, base: int = 48)
    index factory:      Factory(url: str, name: str, *, method: str = "exact")

Of a network the plugin owns the architecture. The core owns noise, seeds, normalisation, the hash head, the sign rule,
loops, moving averages, augmentation, checkpoints and files. Backbones and generators are torch modules.
An index owns how another program keeps codes and searches them; the core owns what is pushed there, and when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

CONTRACT_VERSION = 1

Neighbour = tuple[int, int, bytes, tuple[str, ...]]
"""What an index finds: Hamming distance, id, path and labels."""

Image: TypeAlias = "tuple[NDArray[np.uint8], bytes, tuple[str, ...]]"
"""What an index keeps of an image: code, (ceil(bits / 8),), path and labels."""


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


@runtime_checkable
class Index(Protocol):
    """A named collection of codes in another program, which `url` leads to.

    `schemes` are the beginnings of the URLs it takes. `ordered` says whether, where it searches exactly, equal
    distances come in the byte order of the path, also at the cut; `exact`, whether `search` as it is set up misses
    nothing. Codes are (N, ceil(bits / 8)) packed bytes, most significant bit first, the rest of the last byte zero.

    What it raises tells whose fault it is: `ImportError` a client library's that is missing, `OSError` the program's
    or the network's, `ValueError` an option's or the collection's; each with a message and, if it has one, a hint.
    """

    schemes: tuple[str, ...]
    ordered: bool

    @property
    def exact(self) -> bool:
        """Whether `search`, as it is set up, misses nothing; may be asked before there is a collection."""
        ...

    def facts(self) -> dict[str, str] | None:
        """Return what the collection was created with; None where there is none, `ValueError` where it is not ours."""
        ...

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        """Create the collection, empty, with these facts; `ValueError` where it is there."""
        ...

    def add(
        self,
        ids: Sequence[int],
        codes: NDArray[np.uint8],
        paths: Sequence[bytes],
        labels: Sequence[tuple[str, ...]],
        digests: Sequence[str],
    ) -> None:
        """Insert N images, or replace those whose id (at least 0, below 2 ** 63) is there: all of them, or none."""
        ...

    def finish(self) -> None:
        """Do what is left to do once images were added, such as building what approximate search needs."""
        ...

    def digests(self, ids: Sequence[int]) -> list[str | None]:
        """Return the digest that each id was added with, None where it is not there."""
        ...

    def ids(self, first: int, most: int) -> list[int]:
        """Return the smallest ids of at least `first`, rising, at most so many."""
        ...

    def images(self, ids: Sequence[int]) -> list[Image | None]:
        """Return what each id was added with, None where it is not there."""
        ...

    def search(self, code: NDArray[np.uint8], k: int, *, exact: bool = False) -> list[Neighbour]:
        """Return the k nearest of a code, (ceil(bits / 8),), nearest first; with `exact` without missing any."""
        ...

    def within(self, code: NDArray[np.uint8], most: int, k: int) -> list[Neighbour]:
        """Return the k nearest of those no farther than `most`, nearest first, without missing any."""
        ...

    def count(self) -> int:
        """Return how many images there are."""
        ...

    def drop(self) -> None:
        """Remove the collection and nothing else; `ValueError` where it is not ours."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
