"""`ganhash merge`: the parts of several machines → one codes.h5; loads no torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.engine import wording

if TYPE_CHECKING:
    from ganhash_cli.engine.merger import MergeReport


def merge(
    parts: Annotated[
        list[Path], typer.Argument(help="What `ganhash encode --shard` wrote, all of it.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Codes file to write.")] = workspace.CODES,
    overwrite: options.Overwrite = False,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Put the parts of a sharded encode together into one codes file."""
    from ganhash_cli.engine import merger
    from ganhash_cli.engine.skipped_lists import skipped_list

    options.examine(untrusted, *parts)
    report = console.follow(merger.merge(parts, output, overwrite=overwrite), saves=False)
    if json:
        console.emit(_record(report))
        return
    name = console.safe(os.fspath(report.out))
    console.say(
        f"{name}: {wording.counted(report.images, 'image')}, {wording.counted(report.bits, 'bit')},"
        f" of {wording.counted(report.parts, 'part')}"
    )
    rate = (report.read + report.written) / 1e6 / report.seconds
    console.say(f"{wording.size(report.written)} in {report.seconds:.1f} s, {rate:,.0f} MB/s read and written")
    if report.skipped:
        listed = console.safe(os.fspath(skipped_list(report.out)))
        console.note(f"no code for {wording.counted(report.skipped, 'image')}, listed in {listed}")
    console.note(f"next: {options.following('query', 'IMAGE', ('--codes', output, workspace.CODES))}")


def _record(report: "MergeReport") -> dict[str, object]:
    return {
        "output": report.out,
        "parts": report.parts,
        "images": report.images,
        "bits": report.bits,
        "skipped": report.skipped,
        "bytes_read": report.read,
        "bytes_written": report.written,
        "seconds": round(report.seconds, 3),
    }
