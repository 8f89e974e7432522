"""Trains a generator on images, against its critic or by its own loss; resumes to the same weights.

Every step seeds itself from the run's seed and its number, so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import copy
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganhash_cli.engine import checkpoint, devices, diffaugment, ranks, stability
from ganhash_cli.engine.adversarial import CLASS_WEIGHTS, OBJECTIVES, Objective, gradient_penalty, verdict
from ganhash_cli.engine.generator import GenerateSettings, contract
from ganhash_cli.engine.progress import Progress, Rate, Work
from ganhash_cli.engine.samples import Samples
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import Interrupted
from ganhash_cli.plugin.contracts import Adversarial, SelfTrained

_LOG = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 30.0
CRITIC_RATE = 2.0
"""How much faster the critic learns than the generator (Heusel et al. 2017, arXiv:1706.08500)."""


@dataclass(frozen=True)
class Data:
    """Training images as (N, C, S, S) bytes, and their (N,) class numbers, or None without classes."""

    images: Tensor
    labels: Tensor | None

    def batch(self, count: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Draw `count` images with replacement, this process's part, as numbers in [-1, 1], with their classes."""
        chosen = torch.randint(0, len(self.images), (count,))[ranks.part(count)]
        images = self.images[chosen].to(device, torch.float32) / 127.5 - 1
        labels = None if self.labels is None else self.labels[chosen].to(device)
        return images.contiguous(memory_format=torch.channels_last), labels


@dataclass(frozen=True)
class Trained:
    """The moving average of a generator's weights, in eval mode, and after how many steps it is that."""

    network: nn.Module
    steps: int


def train(
    network: nn.Module,
    data: Data,
    settings: GenerateSettings,
    checkpoints: Path,
    device: torch.device,
    samples: Samples | None = None,
) -> Work[Trained]:
    """Train for `settings.steps` or `.minutes`.

    State is saved in `checkpoints` every half minute and at the end, and taken up from there; `samples` are drawn on
    the way.
    """
    ranks.require_shares(settings.batch, "images", even=True)
    state = _start(network, settings, device)
    _resume(state, checkpoints)
    if samples:
        samples.forget(after=state.step)
    rate = Rate()
    total = float(settings.steps or 60 * (settings.minutes or 0))
    saved = last = time.monotonic()
    try:
        while (done := state.step if settings.steps else state.seconds) < total:
            torch.manual_seed(derive(settings.seed, "gan", state.step))
            _grow(state, done / total)
            _slow_down(state, settings, done / total)
            figures = _step(state, data, settings, device)
            state.step += 1
            if samples:
                samples.note(state.step, state.average)
            now = time.monotonic()
            state.seconds, last = state.seconds + now - last, now
            if settings.minutes:
                state.seconds = ranks.from_first(lambda: state.seconds)  # all must end after the same step
            if now - saved > CHECKPOINT_SECONDS:
                _save(state, checkpoints)
                saved = time.monotonic()
            done = state.step if settings.steps else min(state.seconds, total)
            unit = "steps" if settings.steps else "s"
            figures["images/s"] = rate.after(settings.batch)
            name = f"training {settings.generator.name}"
            yield from ranks.together(Progress(name, done, total, figures, unit))
    except Interrupted:  # not where it diverged: the critic may have moved in that step already
        _save(state, checkpoints)
        raise
    _save(state, checkpoints)
    _grow(state, 1.0)
    if samples:
        samples.note(state.step, state.average, last=True)
    return Trained(state.average, state.step)


@dataclass
class _State:
    """What changes while training; everything a checkpoint must hold."""

    network: nn.Module
    average: nn.Module
    critic: nn.Module | None
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    saved: bool = False

    def modules(self) -> dict[str, nn.Module]:
        found = {"network": self.network, "average": self.average}
        return found if self.critic is None else {**found, "critic": self.critic}


def _start(network: nn.Module, settings: GenerateSettings, device: torch.device) -> _State:
    torch.manual_seed(derive(settings.seed, "critic"))
    critic = cast(Adversarial, network).critic() if hasattr(network, "critic") else None
    state = _State(network, copy.deepcopy(network), critic)
    rates = _rates(settings)
    for name, module in state.modules().items():
        module.to(device).to(memory_format=torch.channels_last)
        if name in rates:
            betas = (0.0, 0.9) if critic is not None else (0.9, 0.999)
            state.optimisers[name] = torch.optim.Adam(module.parameters(), rates[name], betas)
    state.network.train()
    state.average.eval().requires_grad_(False)
    return state


def _rates(settings: GenerateSettings) -> dict[str, float]:
    return {"network": settings.learning_rate, "critic": CRITIC_RATE * settings.learning_rate}


def _slow_down(state: _State, settings: GenerateSettings, progress: float) -> None:
    """Lower both rates to 0 over the second half (Zhu et al. 2017, arXiv:1703.10593, section 4)."""
    for name, optimiser in state.optimisers.items():
        optimiser.param_groups[0]["lr"] = _rates(settings)[name] * min(1.0, 2 * (1 - progress))


def _grow(state: _State, progress: float) -> None:
    """Tell the networks that grow how far training has come."""
    for module in state.modules().values():
        if hasattr(module, "grow"):
            cast(Any, module).grow(progress)


def _step(state: _State, data: Data, settings: GenerateSettings, device: torch.device) -> dict[str, float]:
    """Move critic and generator once, or a self-trained generator alone, and then the average."""
    if state.critic is None:
        figures = {"loss": _self_trained(state, data, settings, device)}
    else:
        objective = OBJECTIVES[str(state.network.objective)]
        for _ in range(objective.critic_steps):
            critic_loss = _move_critic(state, state.critic, objective, data, settings, device)
        generator_loss = _move_generator(state, state.critic, objective, data, settings, device)
        figures = {"critic": critic_loss, "generator": generator_loss}
    ranks.average_statistics(state.network, *([state.critic] if state.critic else []))
    _follow(state, settings.ema_decay)
    return figures


def _move_critic(
    state: _State,
    critic: nn.Module,
    objective: Objective,
    data: Data,
    settings: GenerateSettings,
    device: torch.device,
) -> float:
    real, labels = _real(state, data, settings, device)
    noise = _noise(state, settings, device)
    with ranks.apart(), devices.autocast(device, settings.precision):
        with torch.no_grad():
            fake = state.network(noise, labels)
        policy = settings.augment or ""
        seen, fake = diffaugment.augment(real, policy), diffaugment.augment(fake.float(), policy)
        scores, classes = verdict(critic, seen, labels)
        loss = objective.critic_loss(scores, verdict(critic, fake, labels)[0])
        if classes is not None and labels is not None:
            loss = loss + CLASS_WEIGHTS["critic"] * F.cross_entropy(classes, labels)
        if objective.penalty:
            loss = loss + objective.penalty * gradient_penalty(critic, seen, fake, labels)
        if settings.consistency:
            again, _ = verdict(critic, diffaugment.augment(real, policy), labels)
            loss = loss + settings.consistency * F.mse_loss(again, scores)
    return _descend(loss, state, "critic", settings)


def _move_generator(
    state: _State,
    critic: nn.Module,
    objective: Objective,
    data: Data,
    settings: GenerateSettings,
    device: torch.device,
) -> float:
    _, labels = _real(state, data, settings, device)
    noise = _noise(state, settings, device)
    learning = [weight for weight in critic.parameters() if weight.requires_grad]  # some may be frozen for good
    for weight in learning:
        weight.requires_grad_(False)
    with ranks.apart(), devices.autocast(device, settings.precision):
        fake = state.network(noise, labels)
        scores, classes = verdict(critic, diffaugment.augment(fake.float(), settings.augment or ""), labels)
        loss = objective.generator_loss(scores)
        if classes is not None and labels is not None:
            loss = loss + CLASS_WEIGHTS["generator"] * F.cross_entropy(classes, labels)
    moved = _descend(loss, state, "network", settings)
    for weight in learning:
        weight.requires_grad_(True)
    return moved


def _self_trained(state: _State, data: Data, settings: GenerateSettings, device: torch.device) -> float:
    real, labels = _real(state, data, settings, device)
    with ranks.apart(), devices.autocast(device, settings.precision):
        loss = cast(SelfTrained, state.network).training_loss(real, labels)
    return _descend(loss.float(), state, "network", settings)


def _descend(loss: Tensor, state: _State, which: str, settings: GenerateSettings) -> float:
    """Move what the optimiser called `which` moves, against the gradient, and return the loss."""
    optimiser = state.optimisers[which]
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    ranks.average_gradients(optimiser)
    value = ranks.mean(float(loss.detach()))
    run = f"training of {settings.generator.name}"
    saved = "what was saved before is kept" if state.saved else "nothing had been saved"
    stability.require_finite(optimiser, {which: value}, run, state.step, saved)
    optimiser.step()
    return value


def _real(state: _State, data: Data, settings: GenerateSettings, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Draw a batch, with flips where they were asked for; classes only for a generator that takes them."""
    images, labels = data.batch(settings.batch, device)
    if settings.flips:
        flipped = (torch.rand(settings.batch, 1, 1, 1)[ranks.part(settings.batch)] < 0.5).to(device)
        images = torch.where(flipped, images.flip(-1), images)
    return images, labels if contract(state.network).num_classes is not None else None


def _noise(state: _State, settings: GenerateSettings, device: torch.device) -> Tensor:
    noise = torch.randn(settings.batch, contract(state.network).latent_dim)
    return noise[ranks.part(settings.batch)].to(device)


def _follow(state: _State, decay: float) -> None:
    """Move the average towards the weights, and its running statistics too; faster in the first steps."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.average.state_dict().values(), state.network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _save(state: _State, checkpoints: Path) -> None:
    record: dict[str, Any] = {name: module.state_dict() for name, module in state.modules().items()}
    record |= {f"{name} optimiser": optimiser.state_dict() for name, optimiser in state.optimisers.items()}
    checkpoint.save(checkpoints, state.step, {**record, "seconds": state.seconds})
    state.saved = True


def _resume(state: _State, checkpoints: Path) -> None:
    found = checkpoint.load_latest(checkpoints)
    if found is None:
        return
    (state.step, record), state.saved = found, True
    _LOG.info("going on from step %s", f"{state.step:,}")
    state.seconds = record["seconds"]
    for name, module in state.modules().items():
        module.load_state_dict(record[name])
    for name, optimiser in state.optimisers.items():
        optimiser.load_state_dict(record[f"{name} optimiser"])
