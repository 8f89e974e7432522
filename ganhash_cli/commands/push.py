"""`ganhash push`: codes.h5 → an index in another program, such as PostgreSQL; loads no torch."""

from pathlib import Path
from typing import Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.engine import wording


def push(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The index, such as postgresql://host/database.")],
    codes: Annotated[Path, typer.Argument(help="Codes file made by `ganhash encode`.")] = workspace.CODES,
    name: options.Collection = "ganhash",
    option: options.IndexOptions = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove first what the collection holds.")] = False,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Bring codes into an index that others can search. Again, only new and changed images are brought there.

    Passwords belong in the environment or the files of the index, such as PGPASSWORD or ~/.pgpass.
    """
    from ganhash_cli.engine import pusher, remote
    from ganhash_cli.engine.codes import read_header

    options.examine(untrusted, codes)
    read_header(codes)  # what is wrong with it shows before anybody is connected to
    with remote.opened(to, name, options.pairs(option, "-I"), read=not replace) as opened:
        report = console.follow(pusher.push(codes, opened, replace=replace))
        where = opened.path
    if json:
        counts = {"images": report.images, "added": report.added, "changed": report.changed, "kept": report.kept}
        console.emit({"index": where, **counts, "others": report.others, "seconds": round(report.seconds, 3)})
        return
    rate = f", {report.images / report.seconds:,.0f} images/s" if report.seconds else ""
    console.say(f"{console.safe(where)}: {report.added:,} added, {report.changed:,} changed, {report.kept:,} kept")
    console.say(f"{report.seconds:.1f} s{rate}")
    if report.others:
        others = wording.counted(report.others, "image")
        remedy = "" if report.part else "; --replace removes what is not"
        console.note(f"the index also holds {others} not in {codes}{remedy}")
