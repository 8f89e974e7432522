"""Images → a whole folder of fakes: trains a generator, draws, judges, and writes; resumes after a stop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as to_safetensors
from torch import nn

from ganhash_cli.engine import (
    boundary,
    diffaugment,
    differences,
    fakes,
    files,
    gan,
    generator,
    grid,
    images,
    judge,
    ranks,
)
from ganhash_cli.engine.boundary import Mixtures
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.images import Collection, Skipped
from ganhash_cli.engine.judge import Labels, Pictures, Pixels
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.samples import FILM, ROWS, SAMPLES, Samples
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import CorruptError, InputError, PluginError, UsageError

PLAN = "plan.json"
CHECKPOINTS = "checkpoints"
MOST_FAKES = 10_000
FEW_IMAGES = 500
"""Below this, colour joins the augmentation."""


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

    Raises `InputError` where no two images are usable, `UsageError` where `folder` holds something else.
    """
    if not collection.entries:
        raise images.nothing_usable(collection, collection.skipped)
    asked, settings = settings, _resolved(settings, collection)
    plan = {"settings": asdict(settings), "training_digest": images.content_digest(collection)}
    if ranks.from_first(lambda: plan) != plan:
        raise ranks.unlike()
    with files.lock(folder) if ranks.first() else nullcontext():
        done = _finished(folder, plan) if ranks.first() and not overwrite else None
        if ranks.from_first(lambda: done is not None):
            ranks.leave()
        if done:
            return Made(done, new=False)
        features = judge.features(settings.features, settings.size or 0, settings.seed, device)
        with _begun(folder, plan, overwrite=overwrite) if ranks.first() else nullcontext() as scratch:
            loaded = yield from images.load(collection, settings.size or 0, strict=strict, scratch=scratch)
            real, unlabelled = _training(collection, loaded)
            if len(real.pixels) == 1:
                raise InputError(
                    "a generator learns from two images or more, and there is one", hint="name a folder of more"
                )
            names = () if real.labels is None else collection.class_names
            for name in names:
                fakes.class_folder(name)  # one that is too long for a folder is refused before hours of training
            samples = Samples(folder / SAMPLES, _spread(real.labels, ROWS * ROWS), settings.seed)
            place, shown = folder / fakes.WORK / CHECKPOINTS, samples if ranks.first() else None
            network = _network(real, len(names), settings, asked)
            trained = yield from _trained(network, real, settings, place, device, shown)
        ranks.leave()  # to draw takes seconds beside training, and one writes
        record = {"source": source, **plan, "training_images": len(real.pixels), "steps": trained.steps}
        record["class_names"] = names
        made = yield from _written(trained.network, real, settings, features, folder, record, samples)
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
    """Return the fakes that stand in `folder` if they are those of `plan`, without what a kill may have left."""
    if not (folder / fakes.DESCRIPTION).exists():
        return None
    record = _completed(files.read_json(folder / fakes.DESCRIPTION))
    if any(record.get(key) != value for key, value in plan.items()):
        return None
    found = Fakes.open(folder)
    shutil.rmtree(folder / fakes.WORK, ignore_errors=True)
    return found


def _completed(record: dict[str, Any]) -> dict[str, Any]:
    """Give what an earlier version wrote the settings that have come since: their defaults change nothing."""
    defaults = {each.name: each.default for each in fields(GenerateSettings)}
    known = record.get("settings")
    return record | {"settings": {**defaults, **known}} if isinstance(known, dict) else record


@contextmanager
def _begun(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Give the place for unfinished work, without a trace of it where the images are refused before a checkpoint."""
    there, work = folder.exists(), folder / fakes.WORK
    _prepare(folder, plan, overwrite=overwrite)
    try:
        yield work
    except (InputError, UsageError, PluginError):
        if not any(work.glob(f"{CHECKPOINTS}/*")):
            finished = (folder / fakes.DESCRIPTION).exists()  # fakes that stand there have samples of their own
            begun = [folder] if not there else [work] if finished else [work, folder / SAMPLES]
            for path in begun:
                shutil.rmtree(path, ignore_errors=True)
        raise


def _prepare(folder: Path, plan: dict[str, Any], *, overwrite: bool) -> None:
    """Make the place for unfinished work, or refuse a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="choose another place with -o")
    work, described = folder / fakes.WORK, (folder / fakes.DESCRIPTION).exists()
    started, ours = (work / PLAN).exists(), _planned(work) == plan
    if not (described or started or _empty(folder)):
        raise UsageError(f"{folder} holds other files than fakes", hint="choose another place with -o")
    trained_for_other = not ours and any(work.glob(f"{CHECKPOINTS}/*"))
    if not overwrite and (described or trained_for_other):
        state = "fakes" if described else "unfinished fakes"
        before = (_completed(files.read_json(folder / fakes.DESCRIPTION)) if described else _planned(work)) or {}
        other = differences.named(before.get("settings", {}), plan["settings"]) or "from other images"
        raise UsageError(
            f"{folder} holds {state} made {other}",
            hint="--overwrite replaces them; -o OTHER keeps both",
        )
    if not ours:
        shutil.rmtree(work, ignore_errors=True)
        files.write_json(work / PLAN, plan)


def _empty(folder: Path) -> bool:
    """Whether nothing stands in `folder` but what a run leaves that was killed while it wrote its plan."""
    begun = folder / fakes.WORK
    found = [path for path in folder.rglob("*") if path != begun] if folder.exists() else []
    return all(path.parent == begun and path.name.startswith(f".{PLAN}.") for path in found)


def _planned(work: Path) -> dict[str, Any] | None:
    """Return the plan of the unfinished work, None where there is none that can be read."""
    try:
        return _completed(files.read_json(work / PLAN))
    except (InputError, CorruptError):
        return None


def _training(collection: Collection, loaded: images.Pixels) -> tuple[Pictures, tuple[Skipped, ...]]:
    """Choose grey or colour and with or without classes; return what has no label where others have one."""
    pixels, entries = loaded.array, loaded.entries
    if all((pixels[..., 0] == pixels[..., channel]).all() for channel in (1, 2)):
        pixels = pixels[..., :1]
    if not collection.labelled or collection.multi_label:
        return Pictures(pixels, None), ()
    kept = [index for index, entry in enumerate(entries) if entry.labels]
    if not kept:
        raise InputError("no image that can be read has a label", hint="mend or remove the files that were skipped")
    labels = np.array([entries[index].labels[0] for index in kept], np.int64)
    left_out = tuple(Skipped(entry.path, "has no label") for entry in entries if not entry.labels)
    return Pictures(pixels[kept] if left_out else pixels, labels), left_out


def _network(real: Pictures, classes: int, settings: GenerateSettings, asked: GenerateSettings) -> nn.Module:
    """Build the generator; `UsageError` where something was asked for that it has no use for."""
    torch.manual_seed(derive(settings.seed, "weights"))
    _, height, width, channels = real.pixels.shape
    network = generator.build(settings.generator, (channels, height, width), classes or None)
    _require_mixing(network, settings, 0 if real.labels is None else len(np.unique(real.labels)))
    _require_critic(network, asked)
    return network


def _trained(
    network: nn.Module,
    real: Pictures,
    settings: GenerateSettings,
    checkpoints: Path,
    device: torch.device,
    samples: Samples | None,
) -> Work[gan.Trained]:
    pixels = torch.from_numpy(real.pixels).permute(0, 3, 1, 2)
    labels = None if real.labels is None else torch.from_numpy(real.labels)
    return (yield from gan.train(network, gan.Data(pixels, labels), settings, checkpoints, device, samples))


def _written(
    network: nn.Module,
    real: Pictures,
    settings: GenerateSettings,
    features: judge.Features,
    folder: Path,
    record: dict[str, Any],
    samples: Samples,
) -> Work[Fakes]:
    """Draw, judge and write everything aside, then put it in its place."""
    staged = folder / fakes.WORK / "made"
    shutil.rmtree(staged, ignore_errors=True)
    count = settings.count or min(len(real.pixels), MOST_FAKES)
    classes = generator.contract(network).num_classes
    labels = None if classes is None else _spread(real.labels, count)
    mixtures = None
    if settings.boundary and labels is not None and real.labels is not None:
        mixtures = boundary.mix(labels, np.unique(real.labels), settings.seed)
    drawn_by = labels if mixtures is None else mixtures.table(classes or 0)
    fake = Pictures((yield from _drawn(network, drawn_by, count, settings.seed)), labels)
    names = () if labels is None else record["class_names"]
    written = _mixed(fakes.write_images(staged, fake.pixels, labels, names), mixtures)
    shown = fake if mixtures is None else replace(fake, labels=None)
    figures, judgements = yield from judge.judge(real, shown, features, settings.seed)
    grid.write(staged / fakes.GRID, _bands(real, fake, names))
    samples.film(staged / SAMPLES / FILM)
    with files.atomic_write(staged / fakes.WEIGHTS) as stream:
        stream.write(to_safetensors({name: value.contiguous() for name, value in network.cpu().state_dict().items()}))
    record |= {
        "generator": settings.generator.as_json(),
        "generator_sha256": files.sha256(staged / fakes.WEIGHTS),
        "image_size": generator.contract(network).image_size,
        "class_names": names,
        "count": count,
        "quality": asdict(figures),
    }
    return fakes.complete(folder, staged, record, _judged(written, judgements))


def _mixed(written: list[fakes.Fake], mixtures: Mixtures | None) -> list[fakes.Fake]:
    """Note what each fake was mixed of."""
    if mixtures is None:
        return written
    facts = zip(written, mixtures.second.tolist(), mixtures.share.tolist(), strict=True)
    return [replace(fake, other=other, share=share) for fake, other, share in facts]


def _judged(written: list[fakes.Fake], judgements: list[fakes.Judgement | None]) -> list[fakes.Fake]:
    """Note what a teacher says of each fake."""
    pairs = zip(written, judgements, strict=True)
    return [fake if found is None else replace(fake, judged=found.label, score=found.score) for fake, found in pairs]


def _require_mixing(network: nn.Module, settings: GenerateSettings, classes: int) -> None:
    """Refuse boundary fakes where there are no two classes, or the generator cannot mix them."""
    if settings.boundary and classes < 2:
        raise InputError(
            "boundary fakes lie between two classes, and take images of one label each and two classes or more",
            hint="leave --boundary out",
        )
    if settings.boundary and not getattr(network, "mixes_classes", False):
        raise UsageError(
            f"generator {settings.generator.name!r} cannot mix classes",
            hint="--generator sngan can, or leave --boundary out",
        )


def _require_critic(network: nn.Module, settings: GenerateSettings) -> None:
    """Refuse what a critic is told of where there is none, or nothing that the critic could be consistent about."""
    name = settings.generator.name
    if settings.consistency and not hasattr(network, "critic"):
        raise UsageError(f"generator {name!r} has no critic to be consistent", hint="leave --consistency out")
    if settings.augment is not None and not hasattr(network, "critic"):
        raise UsageError(f"--augment is for a critic, and generator {name!r} has none", hint="leave --augment out")
    if settings.consistency and settings.augment is not None and not diffaugment.steps(settings.augment):
        raise UsageError(
            "--consistency compares two augmented views of an image, and --augment none leaves them the same",
            hint="leave one of the two out",
        )


def _spread(labels: Labels | None, count: int) -> Labels | None:
    """Return (count,) classes, equally many of each that training saw, in their order."""
    if labels is None:
        return None
    present = np.unique(labels)
    return np.sort(present[np.arange(count) % len(present)])


def _drawn(network: nn.Module, labels: Labels | NDArray[np.float32] | None, count: int, seed: int) -> Work[Pixels]:
    parts: list[Pixels] = []
    classes = None if labels is None else torch.from_numpy(labels)
    for part in generator.draw(network, classes, count, seed):
        parts.append(part)
        yield Progress("drawing fakes", sum(map(len, parts)), count, unit="images")
    return np.concatenate(parts)


def _bands(real: Pictures, fake: Pictures, names: tuple[str, ...]) -> list[grid.Band]:
    if real.labels is None or fake.labels is None:
        return grid.without_classes(real.pixels, fake.pixels)
    return grid.by_class(real.pixels, real.labels, fake.pixels, fake.labels, names)
