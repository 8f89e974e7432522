"""Images and fakes → a trained hashing network in model/; resumes to the same weights after a kill.

Every step seeds itself from the run's seed and its number, so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
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
    devices,
    exporter,
    files,
    images,
    metrics,
    sampling,
    training_state,
)
from ganhash_cli.engine.augment import augment
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.losses import ENTROPIES, LOSSES
from ganhash_cli.engine.losses.entropy import weight_at
from ganhash_cli.engine.model import HashNet, frozen_statistics, logits_of, to_tensor
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.sampling import TrainingData
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.engine.training_state import CHECKPOINTS, METRICS, TrainingState
from ganhash_cli.errors import Interrupted, MismatchError, UsageError

CHECKPOINT_SECONDS = 30.0
VALIDATION_DATABASE = 500  # training images a validation query is compared with


@dataclass(frozen=True)
class FakePool:
    """The fakes of one `ganhash generate`, and what the generator was trained on."""

    collection: Collection
    training_digest: str
    summary: dict[str, Any]


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
    sampling.require_two_classes(collection, collection.entries)
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
        sampling.require_two_classes(collection, pixels.entries)
        pool = (yield from images.load(fakes.collection, side, strict=True)).array if fakes else None
        data = sampling.split(pixels, len(collection.class_names), pool, share=settings.validation, seed=settings.seed)
        state = yield from _optimise(run, HashNet(backbone, settings.bits), data, device)
        result = yield from _write(run, state, data)
        return result, pixels.skipped


def _optimise(run: _Run, network: HashNet, data: TrainingData, device: torch.device) -> Work[TrainingState]:
    """Run the training loop, saving as it goes, and return the state with the best weights."""
    per_epoch = math.ceil(len(data.training) / run.settings.batch)
    steps = run.settings.epochs * per_epoch
    state = training_state.start(network, run.settings, steps, device)
    training_state.resume(state, run.folder, run.digest)
    saved = time.monotonic()
    try:
        while state.step < steps:
            figures = _step(state, data, run.settings, steps, device)
            state.step += 1
            if state.step % per_epoch == 0:
                _judge(state, data, figures, state.step // per_epoch, device)
                training_state.log(state, run.folder)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                training_state.save(state, run.folder, run.digest)
                saved = time.monotonic()
            if state.history and (score := state.history[-1]["validation_map"]) is not None:
                figures["mAP"] = score
            yield Progress(f"training {run.settings.backbone.name}", state.step, steps, figures, "steps")
    except Interrupted:
        training_state.save(state, run.folder, run.digest)
        raise
    training_state.save(state, run.folder, run.digest)
    return state


def _step(
    state: TrainingState, data: TrainingData, settings: TrainSettings, steps: int, device: torch.device
) -> dict[str, float]:
    """Take one optimiser step and return its losses."""
    torch.manual_seed(derive(settings.seed, "train", state.step))
    chosen = sampling.draw(data.labels, settings.batch, settings.seed, state.step)
    labels = torch.from_numpy(data.labels[chosen]).to(device)
    with devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(data.training[chosen], device)))
    loss = LOSSES[settings.loss](logits.float(), labels, **settings.loss_options)
    figures = {settings.loss: float(loss.detach())}
    if data.fakes is not None and settings.entropy_weight > 0:
        entropy = _entropy(state, data.fakes, settings, device)
        weight = weight_at(
            state.step, steps, settings.entropy_weight, settings.entropy_warm_up, settings.entropy_anneal
        )
        loss = loss + weight * entropy
        figures["entropy"] = float(entropy.detach())
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    state.optimiser.step()
    state.schedule.step()
    return figures


def _entropy(state: TrainingState, fakes: NDArray[np.uint8], settings: TrainSettings, device: torch.device) -> Tensor:
    """Return the maximum-entropy loss of a batch of fakes, in a forward pass that moves no statistics."""
    count = max(1, round(settings.batch * settings.fakes_per_real))
    rng = np.random.default_rng(derive(settings.seed, "fakes", state.step))
    chosen = rng.integers(0, len(fakes), count)
    with frozen_statistics(state.network), devices.autocast(device, settings.precision):
        logits = state.network(augment(to_tensor(fakes[chosen], device)))
    return ENTROPIES[settings.entropy](logits.float())


def _judge(
    state: TrainingState, data: TrainingData, figures: dict[str, float], epoch: int, device: torch.device
) -> None:
    """Note the validation mAP of an epoch and keep the weights of the best one; without validation, the last."""
    score = _validation_map(state.network, data, device)
    state.history.append({"epoch": epoch, **figures, "validation_map": None if math.isnan(score) else score})
    if math.isnan(score) or score >= state.best_score:
        state.best_score = score if not math.isnan(score) else state.best_score
        state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}


def _validation_map(network: HashNet, data: TrainingData, device: torch.device) -> float:
    """Return tie-aware mAP@all of the validation images against an even share of the training images."""
    if not len(data.validation):
        return math.nan
    every = max(1, len(data.training) // VALIDATION_DATABASE)
    queries = bits.pack(logits_of(network, data.validation, device))
    database = bits.pack(logits_of(network, np.ascontiguousarray(data.training[::every]), device))
    relevant = metrics.relevance(data.validation_labels, data.labels[::every])
    return metrics.mean_average_precision(queries, database, relevant)


def _write(run: _Run, state: TrainingState, data: TrainingData) -> Work[Bundle]:
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


def _clear(folder: Path) -> None:
    """Remove an earlier run, its description first, so that what is left never looks finished."""
    for name in (bundle.DESCRIPTION, bundle.WEIGHTS, bundle.ONNX, METRICS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
