"""`ganhash dedup`: a folder or codes.h5 → groups of duplicate images; deletes nothing, never loads torch."""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from ganhash_cli import console, terminal, workspace
from ganhash_cli.commands import options, sources, views
from ganhash_cli.engine import wording
from ganhash_cli.errors import InputError, NothingFound, UsageError

if TYPE_CHECKING:
    from ganhash_cli.engine.codes import StoredCodes
    from ganhash_cli.engine.duplicates import Group, Member
    from ganhash_cli.engine.images import Skipped

_HEAP, _HEAP_SHARE = 20, 0.02  # near duplicates of one image: hardly a person's; and of all images
_NARROW = 60  # columns; below it the figures leave names no room


def dedup(
    images: Annotated[
        str, typer.Argument(help="A folder, or a codes file made by `ganhash encode`.", show_default=False)
    ],
    max_distance: Annotated[
        int | None,
        typer.Option(
            metavar="<int>",
            min=0,
            help="Count images as near that differ in so many bits at most.",
            show_default="1 bit in 16",
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Find only images of identical pixels.")] = False,
    reference: Annotated[
        Path | None,
        typer.Option(help="Find what this folder or codes file holds already.", show_default=False),
    ] = None,
    model: options.Model = workspace.MODEL,
    files: Annotated[
        bool,
        typer.Option(
            "-f",
            "--files",
            help="Print the names of redundant files only: of exact ones, unless --max-distance is given.",
        ),
    ] = False,
    nul: Annotated[
        bool, typer.Option("-0", help="Print these names, each ended by NUL, as for `xargs -0`. In settings: nul.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a gallery, one HTML page.", show_default=False)] = None,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Find duplicate and nearly duplicate images, in groups, the best of each first. It deletes nothing."""
    from ganhash_cli.engine import duplicates, outputs

    if html:
        outputs.require(html, outputs.PAGE, "--html")
    listed = files or nul
    only_exact = exact or (listed and max_distance is None)  # names that may be piped to rm: near takes a word
    if exact and max_distance is not None:
        raise UsageError("--exact allows no --max-distance", hint="leave one of them out")
    options.examine(untrusted, Path(images), *([reference] if reference else []))
    with ExitStack() as stack:
        stored, skipped = _open(Path(images), model, stack)
        known, unread = _open(reference, model, stack) if reference else (None, ())
        most = duplicates.default_distance(stored.header.bits) if max_distance is None else max_distance
        started = time.perf_counter()
        if known is None:
            groups = console.follow(duplicates.find(stored, most, exact=only_exact), saves=False)
        else:
            groups = console.follow(duplicates.find_in_reference(stored, known, most, exact=only_exact), saves=False)
        seconds, bits, count = time.perf_counter() - started, stored.header.bits, len(stored)
    if html:
        from ganhash_cli.engine import group_page

        group_page.write(groups, html)
        views.note(
            f"gallery of {wording.size(html.stat().st_size)}", html, len(groups), group_page.MOST_GROUPS, "groups"
        )
    if json:
        for number, group in enumerate(groups, start=1):
            console.emit(group.record(number))
    elif listed:
        views.print_names(
            (_plain(member.look.path) for group in groups for member in group.redundant), b"\0" if nul else b"\n"
        )
    else:
        _print_table(groups)
    what = "identical images" if only_exact else f"at most {most} of {bits} bits apart"
    near_too = f"--max-distance {most} lists near ones too"
    if not groups:
        more = near_too if only_exact else "allow more with --max-distance"
        hint = "leave out --exact to see near ones" if exact else more
        raise NothingFound(f"no duplicate among {wording.counted(count, 'image')} ({what})", hint=hint)
    console.note(f"{_counted(groups)}; {what}, {wording.counted(count, 'image')} compared in {seconds:.1f} s")
    if only_exact and not exact:
        console.note(near_too)
    _warn_of_heaps(groups, count)
    if skipped or unread:
        raise typer.Exit(3)


def _open(source: Path, model: Path, stack: ExitStack) -> "tuple[StoredCodes, tuple[Skipped, ...]]":
    """Open a codes file, or encode a folder first; return also what could not be read."""
    from ganhash_cli.engine import encoder, takeover
    from ganhash_cli.engine import images as pictures
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.codes import open_codes

    if not source.exists():
        raise InputError(
            f"{source} does not exist", hint="name a folder of images, or a codes file made by `ganhash encode`"
        )
    if not source.is_dir():
        return stack.enter_context(open_codes(source)), ()
    bundle = Bundle.open(model)
    collection = pictures.collect(source)
    out = takeover.place(bundle, collection, workspace.CODES)
    report = console.follow(encoder.encode(bundle, collection, out))
    console.note(
        f"{console.safe(os.fspath(source))}: {report.encoded:,} encoded, {report.kept:,} kept;"
        f" the codes are in {console.safe(os.fspath(out))}"
    )
    sources.warn_skipped(report.skipped, collection.root)
    return stack.enter_context(open_codes(out)), report.skipped


def _print_table(groups: "list[Group]") -> None:
    """Print one row an image, with the number of its group."""
    listed = [(number, group, member) for number, group in enumerate(groups, start=1) for member in group.members]
    rows = [
        [
            str(number),
            member.kind,
            "" if member is group.members[0] else console.distance(member.distance, group.bits),
            _pixels(member),
            console.count(member.look.size),
            console.safe(member.look.path),
        ]
        for number, group, member in listed
    ]
    columns = ["#", "kind", "distance", "pixels", "bytes", "path"]
    if sys.stdout.isatty() and terminal.width() < _NARROW:
        columns, rows = ["#", "kind", "path"], [[row[0], row[1], row[-1]] for row in rows]
    links = [f"file://{quote(os.path.abspath(member.look.path))}" for _, _, member in listed]
    console.table(columns, rows, links=links)


def _pixels(member: "Member") -> str:
    look = member.look
    return console.safe(look.fault) or f"{look.width}x{look.height}"


def _plain(path: bytes) -> bytes:
    """Return a name that no program takes for an option."""
    return b"./" + path if path.startswith(b"-") else path


def _counted(groups: "list[Group]") -> str:
    kinds = [member.kind for group in groups for member in group.members[1:]]
    size = sum(member.look.size for group in groups for member in group.redundant)
    return (
        f"{wording.counted(len(groups), 'group')}: {kinds.count('exact'):,} exact and"
        f" {wording.counted(kinds.count('near'), 'near duplicate')}, {wording.size(size)} in redundant files"
    )


def _warn_of_heaps(groups: "list[Group]", count: int) -> None:
    """Say so where a model gives one code to whole classes, as networks trained on labels do."""
    near = max(sum(member.kind == "near" for member in group.members[1:]) for group in groups)
    if near > max(_HEAP, _HEAP_SHARE * count):
        console.warn(
            f"one group holds {near:,} near duplicates: this model's codes tell kinds of images apart, not images;"
            " use --exact, a smaller --max-distance, or a model trained without labels"
        )
