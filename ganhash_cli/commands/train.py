"""`ganhash train`: images and fakes → model/."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganhash_cli import console, idle, workspace
from ganhash_cli.commands import completion, options, sources
from ganhash_cli.engine import ranks, wording
from ganhash_cli.engine.limits import TRAIN, require_within
from ganhash_cli.errors import InputError
from ganhash_cli.settings import outranks, typed

_SHOWN = 10  # names of classes

if TYPE_CHECKING:
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.images import Collection
    from ganhash_cli.engine.trainer import FakePool


class Entropy(StrEnum):
    """Forms of the maximum-entropy loss."""

    uniform = "uniform"
    shannon = "shannon"
    random = "random"


class Augment(StrEnum):
    """How training images are varied."""

    crop = "crop"
    trivial = "trivial"


class EntropyOn(StrEnum):
    """What the network shall be undecided about: fakes, or a control in their place."""

    fakes = "fakes"
    real = "real"
    noise = "noise"
    mixup = "mixup"
    cutmix = "cutmix"


class FakesAs(StrEnum):
    """What fakes are used for."""

    entropy = "entropy"
    labels = "labels"
    both = "both"


class Loss(StrEnum):
    """Losses on real images; contrastive and itq need no labels."""

    triplet = "triplet"
    dtsh = "dtsh"
    dpsh = "dpsh"
    hashnet = "hashnet"
    dsh = "dsh"
    csq = "csq"
    dpn = "dpn"
    orthohash = "orthohash"
    greedyhash = "greedyhash"
    contrastive = "contrastive"
    itq = "itq"


def train(
    context: typer.Context,
    images: options.Images = None,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            "-b",
            help="A backbone plugin, or the name of any timm model.",
            autocompletion=completion.backbones,
        ),
    ] = "efficientnet_lite0",
    backbone_options: Annotated[
        list[str] | None,
        typer.Option(
            "-B",
            metavar="NAME=VALUE",
            help="An option of the backbone; `ganhash plugins show` lists them. In settings: backbone_options.",
            autocompletion=completion.backbone_options,
        ),
    ] = None,
    bits: Annotated[int, typer.Option(help=f"Length of the codes, {TRAIN['bits']}.")] = 48,
    epochs: Annotated[int, typer.Option(help=f"Passes over the training images, {TRAIN['epochs']}.")] = 15,
    batch: Annotated[int, typer.Option(help=f"Real images in a step, {TRAIN['batch']}.")] = 32,
    size: Annotated[
        int | None,
        typer.Option(
            help=f"Input square in pixels, {TRAIN['size']}. Default: twice the median short side, from 64 to the"
            " backbone's own.",
            show_default=False,
        ),
    ] = None,
    augment: Annotated[
        Augment | None,
        typer.Option(
            help="Vary training images by crops and flips; trivial adds one random change of colour or shape to each."
            " Default: crop, and trivial for contrastive.",
            show_default=False,
        ),
    ] = None,
    mirrored: Annotated[
        bool,
        typer.Option(
            "--mirrored",
            help="Give an image and its mirror image one code, of the mean of both; encoding takes twice as long.",
        ),
    ] = False,
    loss: Annotated[
        Loss | None,
        typer.Option(
            help="What brings similar images together. Default: triplet, and itq for images without labels.",
            show_default=False,
        ),
    ] = None,
    loss_options: Annotated[
        list[str] | None,
        typer.Option(
            "-L",
            metavar="NAME=VALUE",
            help="An option of the loss; docs/losses.md lists them. In settings: loss_options.",
            autocompletion=completion.loss_options,
        ),
    ] = None,
    entropy: Annotated[Entropy, typer.Option(help="Form of the maximum-entropy loss on fakes.")] = Entropy.uniform,
    entropy_weight: Annotated[
        float, typer.Option(help=f"Weight of that loss, {TRAIN['entropy_weight']}; 0 turns it off.")
    ] = 0.01,
    entropy_on: Annotated[
        EntropyOn, typer.Option(help="What that loss is computed on: fakes, or a control that needs none.")
    ] = EntropyOn.fakes,
    fakes_per_real: Annotated[
        float, typer.Option(help=f"Fakes in a step for each real image, {TRAIN['fakes_per_real']}.")
    ] = 0.5,
    fakes_as: Annotated[
        FakesAs, typer.Option(help="Use fakes for maximum entropy, as labelled images, or both, by their scores.")
    ] = FakesAs.entropy,
    fake_filter: Annotated[
        float,
        typer.Option(
            help="Score from which a fake is labelled, how sure a classifier is of the class it sees:"
            f" {TRAIN['fake_filter']}."
        ),
    ] = 0.5,
    label_weight: Annotated[
        float, typer.Option(help=f"Weight of the loss on labelled fakes, {TRAIN['label_weight']}.")
    ] = 1.0,
    learning_rate: Annotated[
        float, typer.Option(help=f"Peak of the one-cycle schedule, {TRAIN['learning_rate']}.")
    ] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help=f"AdamW's weight decay, {TRAIN['weight_decay']}.")] = 0.05,
    validation: Annotated[
        float, typer.Option(help="Share of each class held out to choose the best epoch, 0 to 0.9.")
    ] = 0.1,
    precision: Annotated[
        options.PrecisionName,
        typer.Option(help="Arithmetic of the forward pass; auto is bfloat16 where the processor computes in it."),
    ] = options.PrecisionName.auto,
    seed: options.Seed = 0,
    device: options.DeviceOption = options.DeviceName.auto,
    fakes: Annotated[Path, typer.Option(help="Folder made by `ganhash generate`.")] = workspace.FAKES,
    no_fakes: Annotated[bool, typer.Option("--no-fakes", help="Use no fakes.")] = False,
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder to write.")] = workspace.MODEL,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write losses and validation mAP for TensorBoard too.")
    ] = False,
    tensorboard_folder: Annotated[
        Path | None,
        typer.Option(
            help="Write for TensorBoard here. Default: tensorboard/ in the model's folder.", show_default=False
        ),
    ] = None,
    sync_batch_norm: Annotated[
        bool,
        typer.Option(
            "--sync-batch-norm",
            help="Let batch norm see the images of all processes; GPUs only.",
            hidden=not ranks.started(),
        ),
    ] = False,
    join_timeout: options.JoinTimeout = ranks.JOIN_SECONDS,
    nul: options.Nul = False,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    json: options.Json = False,
) -> None:
    """Train the hashing network. The same command again continues a run that was stopped."""
    require_within(locals(), TRAIN)  # before torch is imported, which takes seconds
    sources.require_there(images)
    with console.loading("torch"):
        from ganhash_cli.engine import backbones, board, devices, losses, model_folder, trainer
        from ganhash_cli.engine.csv_list import VALIDATION_SPLIT
        from ganhash_cli.engine.train_settings import TrainSettings

    if any(outranks(context, each, "no_fakes") for each in ("fakes", "fakes_as")):
        no_fakes = False
    identity = backbones.identify(backbone, options.pairs(backbone_options, "-B"))
    where = devices.choose(device.value)
    devices.keep_freed_memory()
    with ranks.joined(where, join_timeout), sources.open_training(images, nul=nul) as (collection, source):
        console.note(f"computing on {where}{options.processes()}")
        chosen = loss or _suited(collection)
        if collection.labelled and chosen not in (Loss.itq, Loss.contrastive):
            console.note(_classes(collection))
        marked = any(entry.split == VALIDATION_SPLIT for entry in collection.entries)
        if useless := idle.error(context, loss=chosen, marked=marked):
            raise useless
        if chosen == Loss.itq:
            if not no_fakes:
                _tell_of_useless(fakes)
            if backbones.untaught(identity):
                console.warn(
                    f"{identity.name} knows nothing yet, and ITQ teaches it nothing: the codes will mean little;"
                    " --loss contrastive trains it, and efficientnet_lite0 brings weights"
                )
        settings = TrainSettings(
            backbone=identity,
            bits=bits,
            epochs=epochs,
            batch=batch,
            size=size,
            augment=(augment or _varied(chosen)).value,
            mirrored=mirrored,
            loss=chosen.value,
            loss_options=losses.parse(chosen.value, options.pairs(loss_options, "-L")),
            entropy=entropy.value,
            entropy_weight=entropy_weight,
            entropy_on=entropy_on.value,
            fakes_per_real=fakes_per_real,
            fakes_as=fakes_as.value,
            fake_filter=fake_filter,
            label_weight=label_weight,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation=validation,
            seed=seed,
            precision=precision.value,
        )
        asked = typed(context, "fakes") or fakes != workspace.FAKES or fakes_as != FakesAs.entropy
        work = trainer.train(
            collection,
            source,
            settings,
            model,
            fakes=_pool(fakes, asked) if settings.wants_fakes and not no_fakes else None,
            device=where,
            overwrite=overwrite,
            strict=strict,
            synchronise=sync_batch_norm,
        )
        if (tensorboard or tensorboard_folder) and ranks.first():
            if chosen == Loss.itq:
                console.note("itq fits at once and takes no steps: TensorBoard gets nothing")
            with board.recording(tensorboard_folder or model / model_folder.BOARD) as note:
                result, skipped = console.follow(work, note)
        else:
            result, skipped = console.follow(work)
    _report(result, json)
    sources.warn_skipped(skipped, collection.root)
    if skipped:
        raise typer.Exit(3)


def _suited(collection: "Collection") -> Loss:
    """Choose the loss for these images, and say so where it is not the usual one."""
    if collection.labelled or not collection.entries:
        return Loss.triplet
    console.note("the images have no labels: fitting their codes by ITQ, on the backbone as it is (--loss itq)")
    return Loss.itq


def _classes(collection: "Collection") -> str:
    """Say which classes were found, since any sub-folder is one."""
    names = collection.class_names
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{wording.counted(len(names), 'class', 'classes')}: {console.safe(', '.join(names[:_SHOWN]))}{more}"


def _varied(loss: Loss) -> Augment:
    """Choose how images are varied: two crops of one image alone are too alike to learn from."""
    return Augment.trivial if loss == Loss.contrastive else Augment.crop


def _tell_of_useless(folder: Path) -> None:
    """Say so where there are fakes that ITQ has no use for."""
    from ganhash_cli.engine.fakes import DESCRIPTION

    if (folder / DESCRIPTION).exists():
        console.note(f"{console.safe(os.fspath(folder))}/ is not used by ITQ; --loss contrastive trains with fakes")


def _pool(folder: Path, asked: bool) -> "FakePool | None":
    """Open the fakes, or say that there are none and how to get them; refuse that where they were asked for."""
    from ganhash_cli.engine.fakes import DESCRIPTION, WORK, Fakes
    from ganhash_cli.engine.trainer import FakePool

    if not (folder / DESCRIPTION).exists():
        state = "unfinished fakes" if (folder / WORK).exists() else "no fakes"
        if asked:
            raise InputError(
                f"{os.fspath(folder)}/ holds {state}",
                hint="`ganhash generate` with the same images makes them; --fakes names another folder",
            )
        console.note(
            f"the fake-image regulariser is off: {os.fspath(folder)}/ holds {state};"
            " `ganhash generate` with the same images makes them"
        )
        return None
    found = Fakes.open(folder)
    return FakePool(found.collection, found.training_digest, found.summary, found.judgements)


def _report(result: "Bundle", json: bool) -> None:
    check: dict[str, Any] = result.metrics["onnx_check"]
    score = result.metrics["validation_map_at_all"]
    if json:
        console.emit({"model": result.folder, "fingerprint": result.fingerprint, **result.metrics})
        return
    console.say(f"{result.folder}/: {result.backbone['name']}, {result.bits} bits, {result.side} pixels")
    if score is not None:
        held_out = wording.counted(result.metrics["validation_images"], "held-out image")
        console.say(f"mAP@all {score:.3f} on {held_out}{_epoch(result)}")
    console.say(
        f"ONNX and torch differ in {check['bits_differing']} of {wording.counted(check['bits_compared'], 'bit')}"
        f" on {wording.counted(check['images'], 'image')}"
    )
    words = "FOLDER -o codes.h5"
    console.note(f"next: {options.following('encode', words, ('--model', result.folder, workspace.MODEL))}")


def _epoch(result: "Bundle") -> str:
    """Say which epoch's weights were kept: progress ends with the figure of the last, which need not be the best."""
    from ganhash_cli.engine import epochs

    if not (result.folder / epochs.METRICS).exists():  # fitted at once
        return ""
    found = epochs.read(result.folder)
    return f" after epoch {found.best} of {found.numbers[-1]}, the best, which is kept"
