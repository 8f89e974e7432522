"""Images → a whole folder of fakes: trains a generator, draws, judges, and writes; resumes after a stop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as to_safetensors
from torch import nn
from torch.nn import functional as F

from ganhash_cli.engine import backbones, fakes, files, gan, generator, grid, images, quality
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.images import Collection, Skipped
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import CorruptError, InputError, UsageError

PLAN = "plan.json"
CHECKPOINTS = "checkpoints"
MOST_FAKES = 10_000
MOST_JUDGED = 10_000
"""Real images whose features are compared; more would only cost time."""
FEW_IMAGES = 500
JUDGED_AT_ONCE = 256

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Features = Callable[[Pixels], NDArray[np.float32]]


@dataclass(frozen=True)
class Training:
    """What a generator learns from: (N, S, S, C) bytes, and (N,) class numbers or None."""

    pixels: Pixels
    labels: Labels | None
    class_names: tuple[str, ...]

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Channels, height and width, as a generator is told."""
        _, height, width, channels = self.pixels.shape
        return channels, height, width


@dataclass(frozen=True)
class Made:
    """The fakes, the images that could not be used, and whether anything had to be done."""

    fakes: Fakes
    skipped: tuple[Skipped, ...] = ()
    new: bool = True


def make(
    collection: Collection,
    source: str,
    settings: GenerateSettings,
    folder: Path,
    *,
    device: torch.device,
    overwrite: bool = False,
    strict: bool = False,
) -> Work[Made]:
    """Make the fakes of a collection in `folder`.

    Each class gets equally many. Images with several labels have no class to be drawn by, so a multi-label
    collection makes fakes without classes, as one without labels does. The same call again continues after a
    stop and returns at once when all is done.

    Raises `InputError` where no image is usable, `UsageError` where `folder` holds something else.
    """
    if not collection.entries:
        raise images.nothing_usable(collection, collection.skipped)
    settings = _resolved(settings, collection)
    plan = {"settings": asdict(settings), "training_digest": images.content_digest(collection)}
    with files.lock(folder):
        if not overwrite and (done := _finished(folder, plan)):
            return Made(done, new=False)
        features = _features(settings, device)
        _prepare(folder, plan, overwrite=overwrite)
        loaded = yield from images.load(collection, settings.size or 0, strict=strict, scratch=folder / fakes.WORK)
        training, unlabelled = _training(collection, loaded)
        network = yield from _trained(training, settings, folder / fakes.WORK / CHECKPOINTS, device)
        record = {"source": source, **plan, "training_images": len(training.pixels)}
        made = yield from _written(network, training, settings, features, folder, record)
        return Made(made, (*loaded.skipped, *unlabelled))


def default_size(collection: Collection) -> int:
    """Return the side of the fakes where none is asked for: the median short side, from 28 to 64 pixels."""
    sides = images.short_sides(collection)
    return int(np.clip(np.median(sides), 28, 64)) if len(sides) else 28


def _resolved(settings: GenerateSettings, collection: Collection) -> GenerateSettings:
    """Fill in what the images decide."""
    few = len(collection.entries) < FEW_IMAGES
    return replace(
        settings,
        steps=settings.steps if settings.steps or settings.minutes else generator.DEFAULT_STEPS,
        size=settings.size or default_size(collection),
        augment=settings.augment or ("translation,cutout,color" if few else "translation,cutout"),
    )


def _finished(folder: Path, plan: dict[str, Any]) -> Fakes | None:
    """Return the fakes that stand in `folder` if they are those of `plan`."""
    if not (folder / fakes.DESCRIPTION).exists():
        return None
    record = files.read_json(folder / fakes.DESCRIPTION)
    return Fakes.open(folder) if all(record.get(key) == value for key, value in plan.items()) else None


def _prepare(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> None:
    """Make the place for unfinished work, or refuse a folder that holds something else."""
    work, described = folder / fakes.WORK, (folder / fakes.DESCRIPTION).exists()
    started, ours = (work / PLAN).exists(), _planned(work) == plan
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="choose another place with --out")
    if not (described or started) and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds other files than fakes", hint="choose another place with --out")
    trained_for_other = not ours and any(work.glob(f"{CHECKPOINTS}/*"))
    if not overwrite and (described or trained_for_other):
        state = "fakes" if described else "unfinished fakes"
        raise UsageError(
            f"{folder} holds {state} made from other images or with other settings",
            hint="--overwrite replaces them; --out OTHER keeps both",
        )
    if not ours:
        shutil.rmtree(work, ignore_errors=True)
        files.write_json(work / PLAN, plan)


def _planned(work: Path) -> dict[str, Any] | None:
    """Return the plan of the unfinished work, None where there is none that can be read."""
    try:
        return files.read_json(work / PLAN)
    except (InputError, CorruptError):
        return None


def _features(settings: GenerateSettings, device: torch.device) -> Features:
    """Return the features that judge fakes, on images scaled to a size the backbone can read."""
    identity = backbones.identify(settings.features, {})
    torch.manual_seed(derive(settings.seed, "features"))  # for a backbone that comes without weights
    side = backbones.side_for(np.array([settings.size]), backbones.build(identity))
    extract = backbones.feature_extractor(identity, device)

    def features(pixels: Pixels) -> NDArray[np.float32]:
        colour = torch.from_numpy(np.broadcast_to(pixels, (*pixels.shape[:3], 3)).copy()).permute(0, 3, 1, 2)
        scaled = F.interpolate(colour.float(), size=(side, side), mode="bilinear", antialias=True)
        return extract(scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())

    return features


def _training(collection: Collection, loaded: images.Pixels) -> tuple[Training, tuple[Skipped, ...]]:
    """Choose grey or colour and with or without classes; return what has no label where others have one."""
    pixels, entries = loaded.array, loaded.entries
    if all((pixels[..., 0] == pixels[..., channel]).all() for channel in (1, 2)):
        pixels = pixels[..., :1]
    if not collection.labelled or collection.multi_label:
        return Training(pixels, None, ()), ()
    kept = [index for index, entry in enumerate(entries) if entry.labels]
    if not kept:
        raise InputError("no image that can be read has a label", hint="mend or remove the files that were skipped")
    labels = np.array([entries[index].labels[0] for index in kept], np.int64)
    left_out = tuple(Skipped(entry.path, "has no label") for entry in entries if not entry.labels)
    return Training(pixels[kept] if left_out else pixels, labels, collection.class_names), left_out


def _trained(
    training: Training, settings: GenerateSettings, checkpoints: Path, device: torch.device
) -> Work[nn.Module]:
    torch.manual_seed(derive(settings.seed, "weights"))
    classes = None if training.labels is None else len(training.class_names)
    network = generator.build(settings.generator, training.image_size, classes)
    tensor = torch.from_numpy(np.ascontiguousarray(training.pixels.transpose(0, 3, 1, 2)))
    labels = None if training.labels is None else torch.from_numpy(training.labels)
    return (yield from gan.train(network, gan.Data(tensor, labels), settings, checkpoints, device))


def _written(
    network: nn.Module,
    training: Training,
    settings: GenerateSettings,
    features: Features,
    folder: Path,
    record: dict[str, Any],
) -> Work[Fakes]:
    """Draw, judge and write everything aside, then put it in its place."""
    staged = folder / fakes.WORK / "made"
    shutil.rmtree(staged, ignore_errors=True)
    with_classes = generator.contract(network).num_classes is not None
    count = settings.count or min(len(training.pixels), MOST_FAKES)
    labels = _spread(training.labels, count) if with_classes else None
    drawn = yield from _drawn(network, labels, count, settings.seed)
    names = training.class_names if labels is not None else ()
    made = fakes.write_images(staged, drawn, labels, names)
    judged, scores = yield from _judged(training, drawn, labels, features, settings)
    grid.write(staged / fakes.GRID, _bands(training, drawn, labels))
    with files.atomic_write(staged / fakes.WEIGHTS) as stream:
        stream.write(to_safetensors({name: value.contiguous() for name, value in network.cpu().state_dict().items()}))
    record |= {
        "generator": settings.generator.as_json(),
        "generator_sha256": files.sha256(staged / fakes.WEIGHTS),
        "image_size": training.image_size,
        "class_names": names,
        "count": len(made),
        "quality": asdict(judged),
    }
    return fakes.complete(
        folder, staged, record, [replace(fake, score=s) for fake, s in zip(made, scores, strict=True)]
    )


def _spread(labels: Labels | None, count: int) -> Labels | None:
    """Return (count,) classes, equally many of each that training saw, in their order."""
    if labels is None:
        return None
    present = np.unique(labels)
    return np.sort(present[np.arange(count) % len(present)])


def _drawn(network: nn.Module, labels: Labels | None, count: int, seed: int) -> Work[Pixels]:
    parts: list[Pixels] = []
    classes = None if labels is None else torch.from_numpy(labels)
    for part in generator.draw(network, classes, count, seed):
        parts.append(part)
        yield Progress("drawing fakes", sum(map(len, parts)), count, unit="images")
    return np.concatenate(parts)


def _judged(
    training: Training, fake: Pixels, fake_labels: Labels | None, features: Features, settings: GenerateSettings
) -> Work[tuple[quality.Quality, list[float | None]]]:
    """Measure the fakes, and the classifier's belief in each; None for each without classes."""
    order = np.random.default_rng(derive(settings.seed, "judged")).permutation(len(training.pixels))[:MOST_JUDGED]
    chosen = np.sort(order)
    total = len(chosen) + len(fake)
    real_features = yield from _described(training.pixels[chosen], features, 0, total)
    fake_features = yield from _described(fake, features, len(chosen), total)
    labels = None if training.labels is None or fake_labels is None else training.labels[chosen]
    judged = quality.measure(real_features, labels, fake_features, fake_labels, settings.seed)
    if labels is None or fake_labels is None:
        return judged, [None] * len(fake)
    return judged, [round(float(s), 6) for s in quality.scores(real_features, labels, fake_features, fake_labels)]


def _described(pixels: Pixels, features: Features, done: int, total: int) -> Work[NDArray[np.float32]]:
    parts: list[NDArray[np.float32]] = []
    for start in range(0, len(pixels), JUDGED_AT_ONCE):
        parts.append(features(pixels[start : start + JUDGED_AT_ONCE]))
        yield Progress("judging fakes", done + sum(map(len, parts)), total, unit="images")
    return np.concatenate(parts)


def _bands(training: Training, fake: Pixels, labels: Labels | None) -> list[grid.Band]:
    if labels is None or training.labels is None:
        return grid.without_classes(training.pixels, fake)
    return grid.by_class(training.pixels, training.labels, fake, labels, training.class_names)
