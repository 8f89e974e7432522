"""`ganhash export`: codes.h5 → lines of JSON for a program that no plugin speaks to; loads no torch."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.engine import wording
from ganhash_cli.errors import UsageError


def export(
    # As `feed.Engine`, whose import loads numpy, for which --help is not to wait.
    to: Annotated[
        Literal["opensearch", "elasticsearch", "vespa"], typer.Option("--for", help="The program that takes the lines.")
    ],
    codes: Annotated[Path, typer.Argument(help="Codes file made by `ganhash encode`.")] = workspace.CODES,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; an export that is there is replaced.")
    ] = Path("codes.ndjson"),
    name: Annotated[str, typer.Option("--name", help="What the index or the document type is called.")] = "ganhash",
    schema: Annotated[
        bool, typer.Option("--schema", help="Only print what creates the index: a mapping, or Vespa's schema.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write codes, paths and labels as lines of JSON that OpenSearch, Elasticsearch or Vespa take in bulk.

    None of it was tested against such a program. For PostgreSQL and Milvus there is `ganhash push`.
    """
    from ganhash_cli.engine import feed, outputs
    from ganhash_cli.engine.codes import read_header

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name):
        raise UsageError(f"--name {name!r} would not do everywhere", hint="use small letters, digits and underscores")
    if schema:
        text = feed.schema(to, read_header(codes)[0].bits, name)
        console.emit({"engine": to, "text": text}) if json else console.say(text.rstrip())
        return
    outputs.require(output, outputs.LINES, "--output")
    report = console.follow(feed.feed(codes, to, name, output), saves=False)
    if json:
        console.emit(
            {
                "output": report.out,
                "engine": to,
                "images": report.images,
                "bits": report.bits,
                "bytes_written": report.written,
                "seconds": round(report.seconds, 3),
            }
        )
        return
    console.say(f"{console.safe(os.fspath(report.out))}: {wording.counted(report.images, 'image')} for {to}")
    console.note(f"next: create the index with what `ganhash export --for {to} --schema` prints; docs/scale.md")
