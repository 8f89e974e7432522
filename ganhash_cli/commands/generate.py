"""`ganhash generate`: images → fakes/."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import completion, options, sources
from ganhash_cli.engine import ranks, wording
from ganhash_cli.engine.limits import GENERATE, require_within
from ganhash_cli.settings import outranks

if TYPE_CHECKING:
    from ganhash_cli.engine.fakes import Fakes


def generate(
    context: typer.Context,
    images: options.Images = None,
    generator: Annotated[
        str, typer.Option("--generator", "-g", help="A generator plugin.", autocompletion=completion.generators)
    ] = "sngan",
    generator_options: Annotated[
        list[str] | None,
        typer.Option(
            "-G",
            metavar="NAME=VALUE",
            help="An option of the generator; `ganhash plugins show` lists them. In settings: generator_options.",
            autocompletion=completion.generator_options,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"Fakes to draw, {GENERATE['count']}. Default: one for each image, at most 10,000.", show_default=False
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help=f"Training steps, {GENERATE['steps']}. Default: 2,000, if --minutes is not given.", show_default=False
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help=f"Training time, instead of steps, {GENERATE['minutes']}.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help=f"Side of the fakes in pixels, {GENERATE['size']}. Default: the median short side, 28 to 64.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help=f"Images in a step, {GENERATE['batch']}.")] = 64,
    learning_rate: Annotated[
        float,
        typer.Option(help=f"Learning rate of the generator, {GENERATE['learning_rate']}; the critic's is twice that."),
    ] = 4e-4,
    augment: Annotated[
        str | None,
        typer.Option(
            help="DiffAugment's steps for a critic, or none. Default: translation,cutout, and color below 500 images.",
            show_default=False,
            autocompletion=completion.augmentations,
        ),
    ] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Show mirrored images too.")] = False,
    consistency: Annotated[
        float,
        typer.Option(
            help="Weight of the critic's agreement about two views of a real image,"
            f" {GENERATE['consistency']}; 10 is usual."
        ),
    ] = 0.0,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Draw fakes between two classes, by mixtures of both.")
    ] = False,
    features: Annotated[
        str, typer.Option(help="Backbone whose features judge the fakes.", autocompletion=completion.backbones)
    ] = "efficientnet_lite0",
    precision: Annotated[
        options.PrecisionName, typer.Option(help="Arithmetic of the forward pass; auto is float32.")
    ] = options.PrecisionName.auto,
    seed: options.Seed = 0,
    device: options.DeviceOption = options.DeviceName.auto,
    out: Annotated[Path, typer.Option("--output", "--out", "-o", help="Folder to write.")] = workspace.FAKES,
    join_timeout: options.JoinTimeout = ranks.JOIN_SECONDS,
    nul: options.Nul = False,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    json: options.Json = False,
) -> None:
    """Train a GAN on the images and draw fakes. The same command again continues a run that was stopped."""
    if outranks(context, "steps", "minutes"):
        minutes = None
    if outranks(context, "minutes", "steps"):
        steps = None
    require_within(locals(), GENERATE)  # before torch is imported, which takes seconds
    sources.require_there(images)
    with console.loading("torch"):
        from ganhash_cli.engine import devices, pool
        from ganhash_cli.engine.generator import GenerateSettings
        from ganhash_cli.plugin import registry

    began = time.monotonic()
    settings = GenerateSettings(
        generator=registry.identify("generator", generator, options.pairs(generator_options, "-G")),
        count=count,
        steps=steps,
        minutes=minutes,
        size=size,
        batch=batch,
        learning_rate=learning_rate,
        augment=augment,
        flips=flips,
        consistency=consistency,
        boundary=boundary,
        features=features,
        seed=seed,
        precision=precision.value,
    )
    where = devices.choose(device.value)
    devices.keep_freed_memory()
    with ranks.joined(where, join_timeout), sources.open_training(images, nul=nul) as (collection, source):
        console.note(f"computing on {where}{options.processes()}")
        if collection.entries and not collection.labelled:
            console.note(
                "the images have no labels: `ganhash train` uses fakes of these only with --loss contrastive,"
                " and its default for them, ITQ, needs none"
            )
        made = console.follow(
            pool.make(collection, source, settings, out, device=where, overwrite=overwrite, strict=strict)
        )
    if not made.new:
        console.note(f"already done: {console.safe(str(out))}/ holds these very fakes; --overwrite makes them again")
    _report(made.fakes, (time.monotonic() - began) / 60 if made.new else None, json)
    if not json:
        words = "" if images in (None, "-") else shlex.quote(str(images))
        console.note(f"next: {options.following('train', words, ('--fakes', out, workspace.FAKES))}")
    sources.warn_skipped(made.skipped, collection.root)
    if made.skipped:
        raise typer.Exit(3)


def _report(made: "Fakes", minutes: float | None, json: bool) -> None:
    from ganhash_cli.engine import verdict
    from ganhash_cli.engine.quality import Quality

    quality = asdict(Quality(**made.record["quality"]))  # earlier versions wrote fewer figures
    folder = console.safe(str(made.folder))
    if json:
        console.emit({"fakes": made.folder, "count": made.record["count"], "minutes": minutes, **quality})
        return
    took = "" if minutes is None else f", {minutes:.1f} minutes"
    console.say(
        f"{folder}/: {wording.counted(made.record['count'], 'fake')} by {made.record['generator']['name']}{took}"
    )
    console.say(f"look at {folder}/grid.png: real images above fakes")
    if (made.folder / "samples" / "training.gif").exists():
        console.say(f"and at {folder}/samples/training.gif: how the fakes came about")
    if quality["frechet_distance"] is not None:
        real, fake = quality["frechet_images"]
        console.say(
            f"Fréchet distance {quality['frechet_distance']:.1f}"
            f" ({made.record['settings']['features']}, {wording.counted(real, 'real image')},"
            f" {wording.counted(fake, 'fake')})"
        )
    if quality["precision"] is not None and not verdict.too_brief(quality):
        console.say(
            f"precision {quality['precision']:.3f}, the share of fakes among real images;"
            f" recall {quality['recall']:.3f}, the share of real images among fakes"
        )
    if meaning := verdict.of(quality):
        console.say(meaning)
    if quality["accuracy"] is not None:
        console.say(
            f"a classifier trained on the fakes is right on {quality['accuracy']:.1%} of the real images"
            f" (trained on half of the real ones: {quality['accuracy_ceiling']:.1%} of the other half)"
        )
