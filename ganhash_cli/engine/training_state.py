"""What changes while a network trains, and how it is saved and found again."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganhash_cli.engine import checkpoint, losses
from ganhash_cli.engine.bundle import CHECKPOINTS
from ganhash_cli.engine.model import INITIAL_SCALE, HashNet
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import TrainSettings

_LOG = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """What changes while training; everything a checkpoint must hold.

    `classifier` learns beside the network where the loss asks for one, `centres` are the moving averages of the logits
    of each class, (classes, bits), `seen` the logits and labels of the images that were seen last, where the loss asks
    for them; no model keeps any of these. `losses` are those of each step of the epoch under way.
    """

    network: HashNet
    classifier: nn.Linear | None
    centres: Tensor
    seen: tuple[Tensor, Tensor] | None
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int
    best: dict[str, Tensor]
    best_score: float
    history: list[dict[str, float | None]]
    losses: list[dict[str, float]]


def start(network: HashNet, classes: int, settings: TrainSettings, steps: int, device: torch.device) -> TrainingState:
    """Begin a run of `steps` steps: AdamW, one cycle, the head by the run's seed."""
    torch.manual_seed(derive(settings.seed, "head"))
    network.head.reset_parameters()
    torch.nn.init.constant_(network.norm.weight, losses.SCALES.get(settings.loss, INITIAL_SCALE))
    network.to(device).to(memory_format=torch.channels_last).train()
    asked = "classifier" in losses.asks(settings.loss)
    classifier = nn.Linear(settings.bits, classes, bias=False).to(device) if asked else None
    parameters = [*network.parameters(), *(classifier.parameters() if classifier else ())]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rise = max(0.2, 1.5 / (steps + 1))  # a rise of just one step divides by zero
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps + 1, pct_start=rise
    )
    centres = torch.zeros(classes, settings.bits, device=device)
    empty = (torch.empty(0, settings.bits, device=device), torch.empty(0, classes, dtype=torch.bool, device=device))
    seen = empty if "seen" in losses.asks(settings.loss) else None
    return TrainingState(network, classifier, centres, seen, optimiser, schedule, 0, {}, -math.inf, [], [])


def save(state: TrainingState, folder: Path) -> None:
    """Write a checkpoint to the model's folder."""
    record = {
        "network": state.network.state_dict(),
        "classifier": state.classifier.state_dict() if state.classifier else None,
        "centres": state.centres,
        "seen": state.seen,
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "best": state.best,
        "best_score": state.best_score,
        "history": state.history,
        "losses": state.losses,
    }
    checkpoint.save(folder / CHECKPOINTS, state.step, record)


def resume(state: TrainingState, folder: Path) -> None:
    """Continue from the newest checkpoint, if there is one."""
    found = checkpoint.load_latest(folder / CHECKPOINTS)
    if found is None:
        return
    step, record = found
    state.network.load_state_dict(record["network"])
    if state.classifier:
        state.classifier.load_state_dict(record["classifier"])
    state.centres.copy_(record["centres"])
    if state.seen:
        logits, labels = record.get("seen") or state.seen
        state.seen = logits.to(state.centres.device), labels.to(state.centres.device)
    state.optimiser.load_state_dict(record["optimiser"])
    state.schedule.load_state_dict(record["schedule"])
    _LOG.info("going on from step %s", f"{step:,}")
    state.step, state.best = step, record["best"]
    state.best_score, state.history = record["best_score"], record["history"]
    state.losses = record.get("losses", [])  # a checkpoint of an older version has none
