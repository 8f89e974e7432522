"""`ganhash verify`: whether fakes/, model/ and codes.h5 are still what was written; loads no torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.errors import CorruptError

if TYPE_CHECKING:
    from ganhash_cli.engine.verification import Verified

_PARTS = {"fakes": "files", "model": "files", "codes": "datasets"}


def verify(
    path: Annotated[
        Path | None,
        typer.Argument(help="fakes/, model/ or codes.h5. Without it: all of them that stand here.", show_default=False),
    ] = None,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Compare fakes, a model or codes with the checksums they were written with."""
    from ganhash_cli.engine import problems, verification

    options.examine(untrusted, path or workspace.CODES)
    places = [path] if path else workspace.standing()
    found, refused = options.look_at(places, lambda place: console.follow(verification.verify(place), saves=False))
    for result in found:
        _show(result, json)
    damaged = [result for result in found if result.wrong]
    if damaged:
        again = ", ".join(problems.again(result.kind, result.images, result.path) for result in damaged)
        count = sum(len(result.wrong) for result in damaged)
        more = f", and {count - 1:,} more" if count > 1 else ""
        refused.append(CorruptError(f"{damaged[0].wrong[0]}{more}", hint=f"make it again: {again}"))
    options.raise_worst(refused)


def _show(result: "Verified", json: bool) -> None:
    if json:
        parts = {_PARTS[result.kind]: result.parts}
        console.emit({"path": result.path, "kind": result.kind, **parts, "wrong": list(result.wrong)})
        return
    said = f"{len(result.wrong):,} wrong" if result.wrong else "sound"
    console.say(
        f"{console.safe(os.fspath(result.path))}: {result.kind}, {result.parts:,} {_PARTS[result.kind]} checked, {said}"
    )
    for line in result.wrong:
        console.say(f"  {console.safe(line)}")
