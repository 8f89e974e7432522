"""`ganhash encode`: images → codes.h5, by the model of `ganhash train`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options, sources
from ganhash_cli.engine import wording
from ganhash_cli.errors import UsageError

if TYPE_CHECKING:
    from ganhash_cli.engine.encoder import EncodeReport


class RuntimeName(StrEnum):
    """What computes the network."""

    auto = "auto"
    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"


class NumericName(StrEnum):
    """The arithmetic it computes in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


_PARTS = "PARTS -o codes.h5, once all of them are there"
_SHOWN = 5  # skipped files; all of them stand in the list beside the output


def encode(
    images: Annotated[
        str,
        typer.Argument(
            help="A folder (sub-folders are labels), a CSV `path,label,…`, an image, or `-` for names on stdin.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Codes file to write.")] = workspace.CODES,
    model: options.Model = workspace.MODEL,
    runtime: Annotated[RuntimeName, typer.Option(help="What computes the network.")] = RuntimeName.auto,
    precision: Annotated[
        NumericName, typer.Option(help="Arithmetic; bfloat16 is faster where a processor has it, and flips a few bits.")
    ] = NumericName.float32,
    overwrite: options.Overwrite = False,
    strict: options.Strict = False,
    nul: options.Nul = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/COUNT",
            help="Encode one part only, such as 3/16; `ganhash merge` puts the parts together.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Give every image a binary code. Again over the same folder, only new and changed images are encoded."""
    from ganhash_cli.engine import encoder, sample
    from ganhash_cli.engine import images as pictures
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    if part and output.resolve() == workspace.CODES.resolve():
        raise UsageError(
            f"--shard {part}: {output} is the name of all codes, and this writes a part of them",
            hint=f"name the part: -o part-{part.number:0{len(str(part.count))}d}.h5",
        )
    bundle = Bundle.open(model)
    if bundle.source == sample.TRAINED_ON:
        console.note(f"{model}/ was trained on the bundled sample; `ganhash train FOLDER` fits it to your images")
    names = sources.names_on_stdin(nul=nul) if images == "-" else None
    collection = pictures.collect(Path(images)) if names is None else pictures.from_names(names)
    collection = pictures.database_part(collection)
    if collection.queries:
        count = wording.counted(len(collection.queries), "query", "queries")
        console.note(f"left out {count} of the list: `ganhash evaluate` takes those")
    if part:
        collection = pictures.shard_of(collection, part)
    report = console.follow(
        encoder.encode(
            bundle,
            collection,
            output,
            overwrite=overwrite,
            strict=strict,
            runtime_name=runtime.value,
            precision=precision.value,
        )
    )
    if json:
        console.emit({**_record(report), "fingerprint": bundle.fingerprint})
    else:
        _show(report)
        if console.verbosity > 0 and report.encoded:
            console.note(_limit(report))
        if report.relabelled:
            console.note(
                f"{wording.counted(report.relabelled, 'image')} had other labels in {console.safe(str(output))}"
            )
        if report.differing is not None:
            console.note(
                f"{report.differing:,.0f} of a million bits differ from ONNX Runtime's in float32,"
                " on the first images that were encoded"
            )
        places = (("--codes", output, workspace.CODES), ("--model", model, workspace.MODEL))
        following = options.following("query", "IMAGE", *places) if part is None else f"ganhash merge {_PARTS}"
        console.note(f"next: {following}")
    if report.skipped:
        _list_skipped(report, collection.root)
        raise typer.Exit(3)


def _record(report: "EncodeReport") -> dict[str, Any]:
    return {
        "output": report.out,
        "images": report.images,
        "bits": report.bits,
        "distinct": report.distinct,
        "found": report.found,
        "encoded": report.encoded,
        "kept": report.kept,
        "skipped": len(report.skipped),
        "dropped": report.dropped,
        "relabelled": report.relabelled,
        "seconds": round(report.seconds, 3),
        "differing_per_million": report.differing,
        "threads": report.threads,
        "decoding_seconds": round(report.decoding, 3),
        "network_seconds": round(report.network, 3),
    }


def _show(report: "EncodeReport") -> None:
    counts = f"{report.encoded:,} encoded, {report.kept:,} kept, {report.dropped:,} dropped"
    console.say(
        f"{console.safe(os.fspath(report.out))}: {wording.counted(report.images, 'image')},"
        f" {wording.counted(report.bits, 'bit')}, {wording.counted(report.distinct, 'distinct code')}"
    )
    console.say(f"{counts}, {len(report.skipped):,} skipped, of {report.found:,} found")
    rate = f", {report.encoded / report.seconds:,.0f} images/s" if report.encoded else ""
    console.say(f"{report.seconds:.1f} s{rate}")


def _limit(report: "EncodeReport") -> str:
    """Say what the processors were busy with, and so which stage a faster machine or model would have to speed up."""
    whole = report.seconds * report.threads
    stages = {"decoding": report.decoding, "the network": report.network}
    stages["the rest"] = max(0.0, whole - sum(stages.values()))
    shares = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in stages.items())
    return (
        f"{report.threads} threads: {shares} of their time; the limit is {max(stages, key=lambda name: stages[name])}"
    )


def _list_skipped(report: "EncodeReport", root: bytes) -> None:
    from ganhash_cli.engine.skipped_lists import skipped_list

    sources.warn_skipped(report.skipped[:_SHOWN], root)
    more = f"{len(report.skipped):,} skipped in all, " if len(report.skipped) > _SHOWN else ""
    console.note(f"{more}listed in {console.safe(os.fspath(skipped_list(report.out)))}")
