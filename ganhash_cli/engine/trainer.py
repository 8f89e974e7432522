"""Images, and fakes where there are some → model/: what is trained on, how, and what is written in the end."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ganhash_cli.engine import (
    backbones,
    bundle,
    decoding,
    devices,
    differences,
    exporter,
    files,
    fitting,
    images,
    losses,
    model_folder,
    ranks,
    sampling,
    unlabelled,
)
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.images import Collection, Pixels
from ganhash_cli.engine.model import HashNet
from ganhash_cli.engine.progress import Work
from ganhash_cli.engine.sampling import TrainingData
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import UNLABELLED, TrainSettings
from ganhash_cli.errors import InputError, MismatchError, UsageError

_LOG = logging.getLogger(__name__)
_TOLD = 5  # images left out, where the rest cannot teach


@dataclass(frozen=True)
class FakePool:
    """The fakes of one `ganhash generate`, what a teacher takes each for, and what the generator was trained on."""

    collection: Collection
    training_digest: str
    summary: dict[str, Any]
    judgements: tuple[Judgement | None, ...] = ()


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
    synchronise: bool = False,
) -> Work[tuple[Bundle, tuple[images.Skipped, ...]]]:
    """Train a hashing network and write it to `folder`; return its bundle and the images left out.

    Raises `InputError` where the images cannot teach anything, `MismatchError` where the fakes were made from
    other images, `UsageError` where `folder` holds another run and `overwrite` is not set. Of several processes all but
    the first end, with exit code 0, when nothing is left to share; with `synchronise` their batch norms see all images.
    """
    if settings.supervised:
        _require_teaching(collection, collection.entries, collection.skipped)
    if settings.loss == UNLABELLED:
        collection = unlabelled.choose(collection, settings.seed)
    else:
        losses.require_usable(settings.loss, settings.loss_options, len(collection.class_names), settings.bits)
    training_digest, order = images.digests(collection)
    if fakes and fakes.training_digest != training_digest:
        raise MismatchError(
            "the fakes were made from other training images",
            hint="make new ones with `ganhash generate IMAGES --overwrite`, or train with --no-fakes",
        )
    torch.manual_seed(derive(settings.seed, "weights"))
    backbone = backbones.build(settings.backbone)
    side = backbones.side_for(images.short_sides(collection), backbone, settings.size)
    backbones.require_side(backbone, side, settings.backbone.name)
    # What is fitted at once is computed in float32 alone.
    precision = "float32" if settings.loss == UNLABELLED else devices.settle(settings.precision, device)
    settings = replace(settings, precision=precision)
    digest = _run_digest(settings, order, fakes, backbone)
    run = _Run(folder, collection, source, settings, fakes, training_digest, digest, side)
    if ranks.from_first(lambda: digest) != digest:
        raise ranks.unlike()
    if settings.loss == UNLABELLED:
        ranks.leave()
    with files.lock(folder) if ranks.first() else nullcontext():
        if not overwrite and ranks.from_first((folder / bundle.DESCRIPTION).exists):
            ranks.leave()
            return _finished(run), ()
        beginning = model_folder.begun(folder, digest, settings, overwrite=overwrite)
        with beginning if ranks.first() else nullcontext():
            scratch = folder / bundle.CHECKPOINTS if ranks.first() else None
            pixels = yield from images.load(collection, side, strict=strict, scratch=scratch)
            if settings.supervised:
                _require_teaching(collection, pixels.entries, pixels.skipped)
                sampling.tell_of_single_images(collection, pixels.entries)
            network = HashNet(backbone, settings.bits, mirrored=settings.mirrored)
            if synchronise and ranks.count() > 1:
                ranks.synchronise(network, device)
            data = yield from _data(run, pixels)
            if settings.loss == UNLABELLED:
                score = yield from unlabelled.fit(network, data.training, settings.seed, device)
            else:
                score = yield from fitting.fit(network, data, settings, device, folder)
        ranks.leave()
        with model_folder.completed(folder):
            result = yield from _write(run, network, pixels, data, score)
        return result, pixels.skipped


def _require_teaching(
    collection: Collection, entries: tuple[images.Entry, ...], skipped: tuple[images.Skipped, ...]
) -> None:
    """Refuse images that cannot teach, after telling of those left out: these may be why."""
    try:
        sampling.require_two_classes(collection, entries)
    except InputError:
        for each in skipped[:_TOLD]:
            path = files.relative(os.path.join(collection.root, each.path), os.getcwdb())
            _LOG.warning("skipped %s: %s", os.fsdecode(path), each.reason)
        if len(skipped) > _TOLD:
            _LOG.warning("%s skipped in all", f"{len(skipped):,}")
        raise


def _data(run: _Run, pixels: Pixels) -> Work[TrainingData]:
    """Part the images into training and validation, and the fakes by their use."""
    settings, fakes = run.settings, None
    classes = run.collection.class_names if settings.supervised else ()
    if run.fakes:
        made = run.fakes.collection
        loaded = yield from images.load(made, run.side, strict=True)
        use, threshold = settings.fakes_as, settings.fake_filter
        fakes = sampling.share_out(loaded, run.fakes.judgements, made.class_names, classes, use, threshold)
    if not settings.supervised:
        return sampling.whole(pixels, fakes)
    return sampling.split(pixels, run.collection, fakes, settings.validation, settings.seed)


def _write(run: _Run, network: HashNet, pixels: Pixels, data: TrainingData, score: float | None) -> Work[Bundle]:
    """Write the weights and their ONNX form, check one against the other, and seal the bundle."""
    first = [np.asarray(some[: exporter.PROBE]) for some in (data.validation, data.training)]
    probe = np.concatenate(first)[: exporter.PROBE]
    check = yield from exporter.export(network, run.side, run.folder, probe)
    return bundle.write(
        run.folder,
        backbone=run.settings.backbone.as_json(),
        bits=run.settings.bits,
        side=run.side,
        class_names=run.collection.class_names,
        source=run.source,
        training_digest=run.training_digest,
        settings={**asdict(run.settings), "run": run.digest},
        metrics={
            "validation_map_at_all": score,
            "validation_images": len(data.validation),
            "training_images": len(data.training),
            "onnx_check": check,
        },
        fakes=run.fakes.summary if run.fakes else None,
        trained_on=(decoding.pixel_digest(square) for square in pixels.array),
    )


def _run_digest(settings: TrainSettings, order: str, fakes: FakePool | None, backbone: nn.Module) -> str:
    """Name a run by everything that decides its outcome, so that only the same run is resumed."""
    weights = hashlib.sha256()
    for value in backbone.state_dict().values():  # a file of weights may have changed under its name
        weights.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    record = [asdict(settings), order, fakes.summary if fakes else None, weights.hexdigest()]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _finished(run: _Run) -> Bundle:
    """Return the bundle that stands there, if it is this very run; `UsageError` otherwise."""
    done = Bundle.open(run.folder)
    if done.settings.get("run") != run.digest:
        other = differences.named(done.settings, asdict(run.settings)) or differences.OF_INPUTS
        raise UsageError(
            f"{run.folder} holds a model trained {other}",
            hint="--overwrite replaces it; --model OTHER keeps both",
        )
    for file in done.files:
        done.verified(file)
    model_folder.discard_left(run.folder, run.digest)
    _LOG.info("already done: %s holds this very model; --overwrite trains it again", run.folder)
    return done
