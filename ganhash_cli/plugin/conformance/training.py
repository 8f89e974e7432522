"""The checks of how a generator is trained: against a critic of its own, or by its own loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganhash_cli.plugin.conformance.outcome import NotApplicable, expect
from ganhash_cli.plugin.conformance.subject import GeneratorSubject


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
    """Require (N,) finite scores for (N, C, H, W) images and (N,) labels or None, alone or with class scores."""
    network = _adversarial(subject)
    with torch.no_grad():
        found = network.critic()(subject.images(4), subject.labels(network, 4))
    scores, *classes = found if isinstance(found, tuple) else (found,)
    for each, wanted in ((scores, (4,)), *((item, (4, network.num_classes)) for item in classes)):
        expect(isinstance(each, Tensor), f"the critic returns {type(each).__name__}, no tensor")
        expect(tuple(each.shape) == wanted, f"four images gave scores of shape {tuple(each.shape)}, not {wanted}")
        expect(bool(each.isfinite().all()), "some scores are NaN or infinite")


def critic_leads_the_generator(subject: GeneratorSubject) -> None:
    """Require a gradient from the scores through the critic to the images, by which the generator learns."""
    network = _adversarial(subject)
    images = subject.images(4).requires_grad_()
    with torch.enable_grad():
        scores = _sum(network.critic()(images, subject.labels(network, 4)))
    expect(scores.requires_grad, "the scores are cut off from the images and the critic's weights")
    torch.autograd.backward(scores)
    expect(images.grad is not None and bool(images.grad.any()), "no gradient reaches the images")


def critic_learns(subject: GeneratorSubject) -> None:
    """Require a gradient from the scores to every parameter of the critic that asks for one."""
    network = _adversarial(subject)
    critic = network.critic().train()
    with torch.enable_grad():
        scores = _sum(critic(subject.images(4).requires_grad_(), subject.labels(network, 4)))
    torch.autograd.backward(scores)
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
    expect(bool(loss.isfinite()), f"training_loss of ordinary images is {float(loss.detach())}")


def _sum(found: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Add up all that a critic says."""
    parts = found if isinstance(found, tuple) else (found,)
    return torch.stack([part.sum() for part in parts]).sum()


def _adversarial(subject: GeneratorSubject) -> Any:
    network = subject.network()
    if not hasattr(network, "critic"):
        raise NotApplicable("it has no critic")
    return network
