"""The checks of a generator: what it says about itself, its images, noise and labels, its critic or its own loss."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

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


def works_without_classes(subject: GeneratorSubject) -> None:
    """Require images without labels when built with `num_classes` None, unless it refuses None."""
    _expect_shape_of(GeneratorSubject(subject.factory, subject.options, classes=None), subject)


def makes_any_size(subject: GeneratorSubject) -> None:
    """Require squares of 28, 33 and 64 pixels where they are asked for, unless it refuses a size."""
    for side in SIDES:
        _expect_shape_of(GeneratorSubject(subject.factory, subject.options, side=side), subject)


def can_be_copied(subject: GeneratorSubject) -> None:
    """Require that `copy.deepcopy` works, which the moving average of the weights begins with."""
    network = subject.network()
    copied = copy.deepcopy(network)
    inputs = subject.inputs(network)
    expect(agree(subject.run(copied, inputs), subject.run(network, inputs)), "a copy gives other images")


def objective_is_known(subject: GeneratorSubject) -> None:
    """Require one of the games the core knows, where there is a critic."""
    from ganhash_cli.engine.adversarial import OBJECTIVES

    objective = getattr(_adversarial(subject), "objective", None)
    expect(objective in OBJECTIVES, f"its objective is {objective!r}, not one of {', '.join(OBJECTIVES)}")


def critic_is_new_each_time(subject: GeneratorSubject) -> None:
    """Require of each call of `critic` a module that shares no weight with the last or with the generator."""
    network = _adversarial(subject)
    modules = [network, network.critic(), network.critic()]
    expect(all(isinstance(module, nn.Module) for module in modules), "critic() returned no torch.nn.Module")
    weights = [id(weight) for module in modules for weight in module.parameters()]
    expect(len(weights) == len(set(weights)), "a critic shares weights with another or with its generator")


def critic_gives_one_score_an_image(subject: GeneratorSubject) -> None:
    """Require (N,) finite scores for (N, C, H, W) images and (N,) labels or None."""
    network = _adversarial(subject)
    with torch.no_grad():
        scores = network.critic()(subject.images(4), subject.labels(network, 4))
    expect(isinstance(scores, Tensor), f"the critic returns {type(scores).__name__}, no tensor")
    expect(tuple(scores.shape) == (4,), f"four images gave scores of shape {tuple(scores.shape)}, not (4,)")
    expect(bool(scores.isfinite().all()), "some scores are NaN or infinite")


def critic_leads_the_generator(subject: GeneratorSubject) -> None:
    """Require a gradient from the scores through the critic to the images, by which the generator learns."""
    network = _adversarial(subject)
    images = subject.images(4).requires_grad_()
    with torch.enable_grad():
        scores = network.critic()(images, subject.labels(network, 4))
    expect(scores.requires_grad, "the scores are cut off from the images and the critic's weights")
    scores.sum().backward()
    expect(images.grad is not None and bool(images.grad.any()), "no gradient reaches the images")


def critic_learns(subject: GeneratorSubject) -> None:
    """Require a gradient from the scores to every parameter of the critic that asks for one."""
    network = _adversarial(subject)
    critic = network.critic().train()
    with torch.enable_grad():
        scores = critic(subject.images(4).requires_grad_(), subject.labels(network, 4))
    scores.sum().backward()
    without = [name for name, weight in critic.named_parameters() if weight.requires_grad and weight.grad is None]
    expect(not without, f"no gradient reaches the critic's {', '.join(without)}")


def training_loss_is_a_finite_scalar(subject: GeneratorSubject) -> None:
    """Require one finite number of a loss of its own, for (N, C, H, W) images and (N,) labels or None."""
    network: Any = subject.network().train()
    if not hasattr(network, "training_loss") or hasattr(network, "critic"):
        raise NotApplicable("it is trained against a critic" if hasattr(network, "critic") else "it has no loss")
    with torch.enable_grad():
        loss = network.training_loss(subject.images(4), subject.labels(network, 4))
    expect(isinstance(loss, Tensor) and loss.shape == (), "training_loss returned no tensor of shape ()")
    expect(bool(loss.isfinite()), f"training_loss of ordinary images is {float(loss)}")


def _adversarial(subject: GeneratorSubject) -> Any:
    network = subject.network()
    if not hasattr(network, "critic"):
        raise NotApplicable("it has no critic")
    return network


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
