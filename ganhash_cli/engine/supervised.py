"""Labelled images and fakes → a trained hashing network: the optimisation loop; resumes to the same weights.

Every step seeds itself from the run's seed and its number, so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganhash_cli.engine import bits, devices, losses, metrics, sampling, training_state
from ganhash_cli.engine.augment import augment
from ganhash_cli.engine.losses import ENTROPIES, LOSSES
from ganhash_cli.engine.losses.entropy import weight_at
from ganhash_cli.engine.model import HashNet, frozen_statistics, logits_of, to_tensor
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.sampling import TrainingData
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.engine.training_state import TrainingState
from ganhash_cli.errors import Interrupted, UsageError

CHECKPOINT_SECONDS = 30.0
VALIDATION_DATABASE = 500  # training images a validation query is compared with


def fit(
    network: HashNet, data: TrainingData, settings: TrainSettings, device: torch.device, folder: Path, run: str
) -> Work[float | None]:
    """Train `network`, saving to `folder` as it goes, and leave it with the weights of its best epoch.

    `run` names everything that decides the outcome; only a checkpoint of the same run is continued. Returns the
    validation mAP@all of the best epoch, None where nothing was held out.
    """
    per_epoch = math.ceil(len(data.training) / settings.batch)
    steps = settings.epochs * per_epoch
    state = training_state.start(network, data.labels.shape[1], settings, steps, device)
    training_state.resume(state, folder, run)
    saved = time.monotonic()
    try:
        while state.step < steps:
            figures = _step(state, data, settings, steps, device)
            state.step += 1
            if state.step % per_epoch == 0:
                _judge(state, data, figures, state.step // per_epoch, device)
                training_state.log(state, folder)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                training_state.save(state, folder, run)
                saved = time.monotonic()
            if state.history and (score := state.history[-1]["validation_map"]) is not None:
                figures["mAP"] = score
            yield Progress(f"training {settings.backbone.name}", state.step, steps, figures, "steps")
    except (Interrupted, UsageError):
        training_state.save(state, folder, run)
        raise
    training_state.save(state, folder, run)
    network.load_state_dict(state.best)
    return None if math.isinf(state.best_score) else state.best_score


def _step(
    state: TrainingState, data: TrainingData, settings: TrainSettings, steps: int, device: torch.device
) -> dict[str, float]:
    """Take one optimiser step and return its losses."""
    torch.manual_seed(derive(settings.seed, "train", state.step))
    chosen = sampling.draw(data.labels, settings.batch, settings.seed, state.step)
    labels = torch.from_numpy(data.labels[chosen]).to(device)
    with devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(data.training[chosen], device)))
    known = {"progress": state.step / steps, "classifier": state.classifier}
    facts = [known[name] for name in losses.asks(settings.loss)]
    loss = LOSSES[settings.loss](logits.float(), labels, *facts, **settings.loss_options)
    figures = {settings.loss: float(loss.detach())}
    if data.fakes is not None and settings.entropy_weight > 0:
        entropy = _entropy(state, data.fakes, settings, device)
        weight = weight_at(
            state.step, steps, settings.entropy_weight, settings.entropy_warm_up, settings.entropy_anneal
        )
        loss = loss + weight * entropy
        figures["entropy"] = float(entropy.detach())
    _require_finite(figures, state.step)
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    state.optimiser.step()
    state.schedule.step()
    return figures


def _require_finite(figures: dict[str, float], step: int) -> None:
    """Stop before numbers that are none reach the weights."""
    if not all(math.isfinite(value) for value in figures.values()):
        raise UsageError(
            f"training diverged at step {step}: {', '.join(f'{name} {value}' for name, value in figures.items())}",
            hint="start anew with --overwrite and a lower --learning-rate",
        )


def _entropy(state: TrainingState, fakes: NDArray[np.uint8], settings: TrainSettings, device: torch.device) -> Tensor:
    """Return the maximum-entropy loss of a batch of fakes, in a forward pass that moves no statistics."""
    count = max(2, round(settings.batch * settings.fakes_per_real))
    rng = np.random.default_rng(derive(settings.seed, "fakes", state.step))
    chosen = rng.integers(0, len(fakes), count)
    with frozen_statistics(state.network), devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(fakes[chosen], device)))
    return ENTROPIES[settings.entropy](logits.float())


def _judge(
    state: TrainingState, data: TrainingData, figures: dict[str, float], epoch: int, device: torch.device
) -> None:
    """Note the validation mAP of an epoch and keep the weights of the best one; without validation, the last."""
    score = validation_map(state.network, data, device)
    state.history.append({"epoch": epoch, **figures, "validation_map": None if math.isnan(score) else score})
    if math.isnan(score) or score >= state.best_score:
        state.best_score = score if not math.isnan(score) else state.best_score
        state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}


def validation_map(network: HashNet, data: TrainingData, device: torch.device) -> float:
    """Return tie-aware mAP@all of the validation images against an even share of the training images."""
    if not len(data.validation):
        return math.nan
    every = max(1, len(data.training) // VALIDATION_DATABASE)
    queries = bits.pack(logits_of(network, data.validation, device))
    database = bits.pack(logits_of(network, np.ascontiguousarray(data.training[::every]), device))
    relevant = metrics.relevance(data.validation_labels, data.labels[::every])
    return metrics.mean_average_precision(queries, database, relevant)
