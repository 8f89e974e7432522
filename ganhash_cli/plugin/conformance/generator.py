"""The checks of a generator: what it says about itself, its images, and what decides them."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor

from ganhash_cli.plugin.conformance.outcome import NotApplicable, expect
from ganhash_cli.plugin.conformance.subject import ROWS, GeneratorSubject, agree

SIDES = (28, 33, 64)


def has_the_contract_attributes(subject: GeneratorSubject) -> None:
    """Require `latent_dim`, the `image_size` and `num_classes` it was built with, and a way to be trained."""
    network = subject.network()
    width, size = getattr(network, "latent_dim", None), getattr(network, "image_size", None)
    expect(isinstance(width, int) and width > 0, f"latent_dim is {width!r}, not a positive whole number")
    expect(size == subject.image_size, f"image_size is {size!r}, not the {subject.image_size} it was given")
    classes = getattr(network, "num_classes", "missing")
    expect(classes in (None, subject.classes), f"num_classes is {classes!r}, neither None nor {subject.classes}")
    trained = hasattr(network, "critic") or hasattr(network, "training_loss")
    expect(trained, "it has neither critic nor training_loss")


def images_have_the_promised_shape(subject: GeneratorSubject) -> None:
    """Require (N, C, H, W) images for (N, latent_dim) noise and (N,) labels or None."""
    network = subject.network()
    latents, labels = subject.inputs(network)
    with torch.no_grad():
        images = network(latents, labels)
    expect(isinstance(images, Tensor), f"it returns {type(images).__name__}, no tensor")
    wanted = (ROWS, *subject.image_size)
    expect(tuple(images.shape) == wanted, f"three images have the shape {tuple(images.shape)}, not {wanted}")


def images_are_float32(subject: GeneratorSubject) -> None:
    """Require float32 images outside autocast."""
    network = subject.network()
    dtype = subject.run(network, subject.inputs(network)).dtype
    expect(dtype == torch.float32, f"images are {dtype}, not torch.float32")


def images_lie_in_range(subject: GeneratorSubject) -> None:
    """Require pixels in [-1, 1], none of them NaN, also when weights have moved and the noise is strong."""
    network = subject.moved_network()
    latents, labels = subject.inputs(network)
    images = subject.run(network, (10 * cast(Tensor, latents), labels))
    low, high = float(images.min()), float(images.max())
    expect(bool(images.isfinite().all()), "some pixels are NaN or infinite")
    expect(low >= -1 and high <= 1, f"pixels reach from {low:.3g} to {high:.3g}, not within [-1, 1]")


def the_noise_decides_the_image(subject: GeneratorSubject) -> None:
    """Require different images for different noise."""
    network = subject.moved_network()
    one, other = (subject.run(network, subject.inputs(network, seed)) for seed in (0, 1))
    expect(not agree(one, other), "different noise gave the same images")


def the_label_decides_the_image(subject: GeneratorSubject) -> None:
    """Require another image for the same noise under another label, where it has classes."""
    network = subject.moved_network()
    latents, labels = subject.inputs(network)
    if labels is None:
        raise NotApplicable("it takes no labels")
    one, other = (subject.run(network, (latents, torch.full_like(labels, label))) for label in (0, 1))
    expect(not agree(one, other), "different labels gave the same images")


def mixtures_of_classes_are_taken(subject: GeneratorSubject) -> None:
    """Require of one that says `mixes_classes` images by (N, classes) shares, whole ones as by class numbers."""
    network = subject.moved_network()
    classes = getattr(network, "num_classes", None)
    if not getattr(network, "mixes_classes", False) or not isinstance(classes, int) or classes < 2:
        raise NotApplicable("it does not say that it mixes classes")
    latents = subject.inputs(network)[0]
    first = torch.zeros(ROWS, dtype=torch.int64)
    ones, shares = torch.eye(classes)[first], torch.full((ROWS, classes), 1 / classes)
    whole, again, other = (subject.run_on(network, (latents, numbers)) for numbers in (first, first, first + 1))
    if not agree(again, whole) or agree(other, whole):
        raise NotApplicable("its images do not steadily depend on the class")
    with torch.no_grad():
        by_shares, mixed = network(latents, ones), network(latents, shares)
    expect(agree(by_shares, whole), "a share of 1 gave another image than the number of the class")
    expect(not agree(mixed, whole), "equal shares of all classes gave the image of the first")


def works_without_classes(subject: GeneratorSubject) -> None:
    """Require images without labels when built with `num_classes` None, unless it refuses None."""
    _expect_shape_of(GeneratorSubject(subject.factory, subject.options, classes=None), subject)


def makes_any_size(subject: GeneratorSubject) -> None:
    """Require squares of 28, 33 and 64 pixels where they are asked for, unless it refuses a size."""
    for side in SIDES:
        _expect_shape_of(GeneratorSubject(subject.factory, subject.options, side=side), subject)


def grows_to_what_it_begins_as(subject: GeneratorSubject) -> None:
    """Require of one with a method `grow` whole images on the way, and that a new network is fully grown."""
    network: Any = subject.network()
    if not hasattr(network, "grow"):
        raise NotApplicable("it does not grow")
    inputs = subject.inputs(network)
    new = subject.run(network, inputs)
    for progress in (0.0, 0.5, 1.0):
        network.grow(progress)
        with torch.no_grad():
            found = tuple(network(*inputs).shape)
        expect(
            found == tuple(new.shape), f"after grow({progress}) images have the shape {found}, not {tuple(new.shape)}"
        )
    expect(agree(subject.run(network, inputs), new), "after grow(1.0) it gives other images than a new one")


def can_be_copied(subject: GeneratorSubject) -> None:
    """Require that `copy.deepcopy` works, which the moving average of the weights begins with."""
    network = subject.network()
    copied = copy.deepcopy(network)
    inputs = subject.inputs(network)
    expect(agree(subject.run(copied, inputs), subject.run(network, inputs)), "a copy gives other images")


def _expect_shape_of(other: GeneratorSubject, usual: GeneratorSubject) -> None:
    """Hold `other` to its promised shape, or skip where it is refused or the usual one already breaks its own."""
    network = usual.network()
    if tuple(usual.run(network, usual.inputs(network)).shape[1:]) != usual.image_size:
        raise NotApplicable("already its usual images have another shape than promised")
    try:
        other.build()
    except ValueError as refusal:
        raise NotApplicable(f"it refuses: {refusal}") from refusal
    images_have_the_promised_shape(other)
