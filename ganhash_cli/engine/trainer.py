"""Images and fakes → a trained hashing network in model/; resumes to the same weights after a kill.

Every step seeds itself from the run's seed and its number, so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganhash_cli.engine import (
    backbones,
    bits,
    bundle,
    checkpoint,
    devices,
    exporter,
    files,
    images,
    metrics,
    sampling,
)
from ganhash_cli.engine.augment import augment
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.images import Collection, Pixels
from ganhash_cli.engine.losses import ENTROPIES, LOSSES
from ganhash_cli.engine.losses.entropy import weight_at
from ganhash_cli.engine.model import HashNet, frozen_statistics, logits_of, to_tensor
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import InputError, Interrupted, MismatchError, UsageError
from ganhash_cli.plugin.registry import Identity

CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
CHECKPOINT_SECONDS = 30.0
VALIDATION_DATABASE = 500  # training images a validation query is compared with


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything that decides a training run besides the images."""

    backbone: Identity
    bits: int = 48
    epochs: int = 15
    batch: int = 32
    size: int | None = None
    loss: str = "triplet"
    margin: float | None = None
    entropy: str = "uniform"
    entropy_weight: float = 0.1
    entropy_warm_up: float = 0.15
    entropy_anneal: float = 0.1
    fakes_per_real: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    validation: float = 0.1
    seed: int = 0
    precision: devices.Precision = "auto"

    def __post_init__(self) -> None:
        _within("bits", self.bits, 1, bits.MAX_BITS)
        _within("epochs", self.epochs, 1, 100_000)
        _within("batch", self.batch, 4, 65_536)
        _within("learning-rate", self.learning_rate, 1e-9, 10)
        _within("entropy-weight", self.entropy_weight, 0, 1000)
        _within("validation", self.validation, 0, 0.9)
        if self.size is not None:
            _within("size", self.size, 16, 1024)
        for name, table in ((self.loss, LOSSES), (self.entropy, ENTROPIES)):
            if name not in table:
                raise UsageError(f"no loss named {name!r}", hint=f"there are: {', '.join(table)}")

    @property
    def margin_bits(self) -> float:
        """The margin of the triplet loss in bits: a sixteenth of the code where none is asked for."""
        return self.bits / 16 if self.margin is None else self.margin


@dataclass(frozen=True)
class FakePool:
    """The fakes of one `ganhash generate`, and what the generator was trained on."""

    collection: Collection
    training_digest: str
    summary: dict[str, Any]


@dataclass
class _State:
    """What changes while training; everything a checkpoint must hold."""

    network: HashNet
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int
    best: dict[str, Tensor]
    best_score: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class _Data:
    """Decoded images with their label tables; `fakes` is (F, S, S, 3) or None."""

    training: NDArray[np.uint8]
    labels: sampling.Labels
    validation: NDArray[np.uint8]
    validation_labels: sampling.Labels
    fakes: NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Run:
    """One run: what it trains on, with what settings, and where it writes."""

    folder: Path
    collection: Collection
    source: str
    settings: TrainSettings
    fakes: FakePool | None
    training_digest: str
    digest: str
    side: int


def train(
    collection: Collection,
    source: str,
    settings: TrainSettings,
    folder: Path,
    *,
    fakes: FakePool | None,
    device: torch.device,
    overwrite: bool = False,
    strict: bool = False,
) -> Work[tuple[Bundle, tuple[images.Skipped, ...]]]:
    """Train a hashing network and write it to `folder`; return its bundle and the images left out.

    Raises `InputError` where the images cannot teach anything, `MismatchError` where the fakes were made from
    other images, `UsageError` where `folder` holds another run and `overwrite` is not set.
    """
    _check(collection, collection.entries)
    training_digest = images.content_digest(collection)
    if fakes and fakes.training_digest != training_digest:
        raise MismatchError(
            "the fakes were made from other training images",
            hint="make new ones with `ganhash generate --overwrite`, or train with --no-fakes",
        )
    torch.manual_seed(derive(settings.seed, "weights"))
    backbone = backbones.build(settings.backbone)
    side = backbones.side_for(images.short_sides(collection), backbone, settings.size)
    digest = _run_digest(settings, training_digest, fakes)
    run = _Run(folder, collection, source, settings, fakes, training_digest, digest, side)
    with files.lock(folder):
        if overwrite:
            _clear(folder)
        if (folder / bundle.DESCRIPTION).exists():
            return _finished(run), ()
        pixels = yield from images.load(collection, side, strict=strict)
        _check(collection, pixels.entries)
        pool = (yield from images.load(fakes.collection, side, strict=True)).array if fakes else None
        data = _split(pixels, len(collection.class_names), pool, settings)
        state = yield from _optimise(run, HashNet(backbone, settings.bits), data, device)
        result = yield from _write(run, state, data)
        return result, pixels.skipped


def _optimise(run: _Run, network: HashNet, data: _Data, device: torch.device) -> Work[_State]:
    """Run the training loop, saving as it goes, and return the state with the best weights."""
    per_epoch = math.ceil(len(data.training) / run.settings.batch)
    steps = run.settings.epochs * per_epoch
    state = _start(network, run.settings, steps, device)
    _resume(run, state)
    saved = time.monotonic()
    try:
        while state.step < steps:
            figures = _step(state, data, run.settings, steps, device)
            state.step += 1
            if state.step % per_epoch == 0:
                _judge(state, data, figures, state.step // per_epoch, device)
                _log(run, state)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                _save(run, state)
                saved = time.monotonic()
            if state.history:
                figures["mAP"] = state.history[-1]["validation_map"]
            yield Progress(f"training {run.settings.backbone.name}", state.step, steps, figures, "steps")
    except Interrupted:
        _save(run, state)
        raise
    _save(run, state)
    return state


def _start(network: HashNet, settings: TrainSettings, steps: int, device: torch.device) -> _State:
    torch.manual_seed(derive(settings.seed, "head"))
    network.head.reset_parameters()
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps + 1, pct_start=0.2
    )
    return _State(network, optimiser, schedule, 0, {}, -math.inf, [])


def _step(state: _State, data: _Data, settings: TrainSettings, steps: int, device: torch.device) -> dict[str, float]:
    """Take one optimiser step and return its losses."""
    torch.manual_seed(derive(settings.seed, "train", state.step))
    chosen = sampling.draw(data.labels, settings.batch, settings.seed, state.step)
    labels = data.labels[chosen]
    similar = torch.from_numpy(metrics.relevance(labels, labels)).to(device)
    with devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(data.training[chosen], device)))
    loss = LOSSES[settings.loss](logits.float(), similar, margin=settings.margin_bits)
    figures = {settings.loss: float(loss.detach())}
    if data.fakes is not None and settings.entropy_weight > 0:
        entropy = _entropy(state, data.fakes, settings, device)
        weight = weight_at(
            state.step, steps, settings.entropy_weight, settings.entropy_warm_up, settings.entropy_anneal
        )
        loss = loss + weight * entropy
        figures["entropy"] = float(entropy.detach())
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.schedule.step()
    return figures


def _entropy(state: _State, fakes: NDArray[np.uint8], settings: TrainSettings, device: torch.device) -> Tensor:
    """Return the maximum-entropy loss of a batch of fakes, in a forward pass that moves no statistics."""
    count = max(1, round(settings.batch * settings.fakes_per_real))
    rng = np.random.default_rng(derive(settings.seed, "fakes", state.step))
    chosen = rng.integers(0, len(fakes), count)
    with frozen_statistics(state.network), devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(fakes[chosen], device)))
    return ENTROPIES[settings.entropy](logits.float())


def _judge(state: _State, data: _Data, figures: dict[str, float], epoch: int, device: torch.device) -> None:
    """Note the validation mAP of an epoch and keep the weights of the best one; without validation, the last."""
    score = _validation_map(state.network, data, device)
    state.history.append({"epoch": epoch, **figures, "validation_map": score})
    if math.isnan(score) or score >= state.best_score:
        state.best_score = score if not math.isnan(score) else state.best_score
        state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}


def _validation_map(network: HashNet, data: _Data, device: torch.device) -> float:
    """Return tie-aware mAP@all of the validation images against an even share of the training images."""
    if not len(data.validation):
        return math.nan
    every = max(1, len(data.training) // VALIDATION_DATABASE)
    queries = bits.pack(logits_of(network, data.validation, device))
    database = bits.pack(logits_of(network, np.ascontiguousarray(data.training[::every]), device))
    relevant = metrics.relevance(data.validation_labels, data.labels[::every])
    return metrics.mean_average_precision(queries, database, relevant)


def _write(run: _Run, state: _State, data: _Data) -> Work[Bundle]:
    """Write the best weights and their ONNX form, check one against the other, and seal the bundle."""
    state.network.load_state_dict(state.best)
    probe = np.concatenate([data.validation, data.training[: exporter.PROBE]])[: exporter.PROBE]
    check = yield from exporter.export(state.network, run.side, run.folder, probe)
    result = bundle.write(
        run.folder,
        backbone=run.settings.backbone.as_json(),
        bits=run.settings.bits,
        side=run.side,
        class_names=run.collection.class_names,
        source=run.source,
        training_digest=run.training_digest,
        settings={**asdict(run.settings), "run": run.digest},
        metrics={
            "validation_map_at_all": None if math.isinf(state.best_score) else state.best_score,
            "validation_images": len(data.validation),
            "training_images": len(data.training),
            "onnx_check": check,
        },
        fakes=run.fakes.summary if run.fakes else None,
    )
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    return result


def _check(collection: Collection, entries: tuple[images.Entry, ...]) -> None:
    """Refuse images that cannot teach a similarity: unlabelled ones, or only one class."""
    if not collection.entries:
        raise images.nothing_usable(collection, collection.skipped)
    if not collection.labelled:
        raise InputError(
            f"the images in {os.fsdecode(collection.root)} have no labels, which training needs",
            hint="put each class into a folder of its own, or name a CSV with path,label",
        )
    seen = Counter(label for entry in entries for label in entry.labels)
    if len([label for label, count in seen.items() if count > 1]) < 2:
        raise InputError(
            f"training needs two classes of two images or more, but found {len(seen)} classes"
            f" in {len(entries)} readable images",
            hint="add images of another class, each class in its own folder",
        )


def _split(pixels: Pixels, classes: int, fakes: NDArray[np.uint8] | None, settings: TrainSettings) -> _Data:
    """Part the labelled images into training and validation: by the CSV's `val`, else a share of each class."""
    labels = sampling.label_table([entry.labels for entry in pixels.entries], classes)
    labelled = labels.any(1)
    named = np.array([entry.split == images.VALIDATION_SPLIT for entry in pixels.entries], np.bool_)
    held = named if named.any() else sampling.hold_out(labels, settings.validation, settings.seed)
    kept = labelled & ~held
    held = labelled & held
    return _Data(pixels.array[kept], labels[kept], pixels.array[held], labels[held], fakes)


def _run_digest(settings: TrainSettings, training_digest: str, fakes: FakePool | None) -> str:
    """Name a run by everything that decides its outcome, so that only the same run is resumed."""
    record = [asdict(settings), training_digest, fakes.summary if fakes else None]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _finished(run: _Run) -> Bundle:
    """Return the bundle that stands there, if it is this very run; `UsageError` otherwise."""
    done = Bundle.open(run.folder)
    if done.settings.get("run") != run.digest:
        raise UsageError(
            f"{run.folder} holds a model trained on other images or with other settings",
            hint="--overwrite replaces it; --model OTHER keeps both",
        )
    return done


def _save(run: _Run, state: _State) -> None:
    record = {
        "run": run.digest,
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "schedule": state.schedule.state_dict(),
        "best": state.best,
        "best_score": state.best_score,
        "history": state.history,
    }
    checkpoint.save(run.folder / CHECKPOINTS, state.step, record)


def _resume(run: _Run, state: _State) -> None:
    """Continue from the newest checkpoint, if there is one of this run."""
    found = checkpoint.load_latest(run.folder / CHECKPOINTS)
    if found is None:
        return
    step, record = found
    if record["run"] != run.digest:
        raise UsageError(
            f"{run.folder} holds an unfinished run on other images or with other settings",
            hint="--overwrite discards it; the same command as before continues it",
        )
    state.network.load_state_dict(record["network"])
    state.optimiser.load_state_dict(record["optimiser"])
    state.schedule.load_state_dict(record["schedule"])
    state.step, state.best = step, record["best"]
    state.best_score, state.history = record["best_score"], record["history"]


def _log(run: _Run, state: _State) -> None:
    """Write the figures of every epoch so far, one JSON object a line; whole again after a resume."""
    with files.atomic_write(run.folder / METRICS) as stream:
        stream.writelines(json.dumps(row).encode() + b"\n" for row in state.history)


def _clear(folder: Path) -> None:
    """Remove an earlier run, its description first, so that what is left never looks finished."""
    for name in (bundle.DESCRIPTION, bundle.WEIGHTS, bundle.ONNX, METRICS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"--{name} must lie between {low:g} and {high:g}, not {value:g}")
