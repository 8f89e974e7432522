"""`ganhash query`: images → their nearest neighbours among the codes; never loads torch."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args
from urllib.parse import quote

import typer

from ganhash_cli import console, usage, workspace
from ganhash_cli.commands import completion, options, sources, views
from ganhash_cli.engine import wording
from ganhash_cli.errors import NothingFound, UsageError
from ganhash_cli.terminal import Preview

if TYPE_CHECKING:
    from ganhash_cli.engine.choice import IndexName
    from ganhash_cli.engine.codes import StoredCodes
    from ganhash_cli.engine.images import Collection, Skipped
    from ganhash_cli.engine.index import ExactIndex
    from ganhash_cli.engine.ivf import IvfIndex
    from ganhash_cli.engine.queries import Queries
    from ganhash_cli.engine.remote import Remote
    from ganhash_cli.engine.results import Answer


def query(
    images: Annotated[
        list[str],
        typer.Argument(help="Images, a folder or a CSV of them, or `-` for names on stdin.", show_default=False),
    ],
    codes: options.Codes = workspace.CODES,
    model: options.Model = workspace.MODEL,
    k: Annotated[int, typer.Option("-k", "--k", metavar="<int>", min=1, help="Show at most so many neighbours.")] = 10,
    max_distance: Annotated[
        int | None,
        typer.Option(metavar="<int>", min=0, help="Show none that differs in more bits.", show_default=False),
    ] = None,
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank", help="Order the nearest anew: a bit counts more, the surer the query's code is of it."
        ),
    ] = False,
    files: Annotated[bool, typer.Option("-f", "--files", help="Print file names only.")] = False,
    nul: Annotated[
        bool, typer.Option("-0", help="Separate names by NUL, on stdin and with -f. In settings: nul.")
    ] = False,
    index: Annotated[
        str,
        typer.Option(
            metavar="auto|exact|ivf|URL",
            help="exact compares with all; ivf with some, and finds nearly all; auto takes what is sooner; a URL is"
            " where `ganhash push` brought the codes.",
            autocompletion=completion.indexes,
        ),
    ] = "auto",
    name: options.Collection = "ganhash",
    option: options.IndexOptions = None,
    check: Annotated[bool, typer.Option("--check", help="Compare the codes with their checksums first.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet, a PNG.", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write a gallery, one HTML page.", show_default=False)] = None,
    open: Annotated[
        bool, typer.Option("--open", help="Open the gallery, the contact sheet, or else the best hit, in its viewer.")
    ] = False,
    preview: Annotated[
        Preview,
        typer.Option(help="Pictures on a terminal; auto takes the best it is known to show. A pipe never gets any."),
    ] = Preview.auto,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Find the images whose codes differ in the fewest bits."""
    from ganhash_cli.engine import outputs
    from ganhash_cli.engine.address import is_url

    if sheet:
        outputs.require(sheet, outputs.PICTURE, "--sheet")
    if html:
        outputs.require(html, outputs.PAGE, "--html")
    options.examine(untrusted, codes)
    if is_url(index):
        _require_plain(rerank=rerank, check=check)
        found = _search_there(
            index, name, options.pairs(option, "-I"), model, _collection(images, nul), k, max_distance
        )
    else:
        chosen = _index_name(index)
        found = _search_here(
            codes,
            model,
            _collection(images, nul),
            k,
            max_distance,
            rerank=rerank,
            check=check,
            index=chosen,
            dated=bool(sheet or html or (sys.stdout.isatty() and preview != Preview.none)),
        )
    answers = found.answers
    # Before anything is printed: a reader that goes, as `| head` does, ends the printing.
    views.write(answers, sheet, html)
    if sheet:
        views.note_inside(sheet, found.root)
    if json:
        for record in (record for answer in answers for record in answer.records()):
            console.emit(record)
    elif files:
        views.print_names((hit.path for answer in answers for hit in answer.hits), b"\0" if nul else b"\n")
    else:
        views.show(answers, preview)
        _print_table(answers, named=_several(images))
    console.note(
        f"{wording.counted(answers[0].searched, 'image')} searched in {1000 * found.seconds:.1f} ms{found.remark}"
    )
    _note_ties(answers)
    sources.warn_skipped(found.skipped)
    if not any(answer.hits for answer in answers):
        raise NothingFound(
            f"no image within {max_distance} of {found.bits} bits", hint="allow more with --max-distance"
        )
    if open:
        views.open_best(answers, sheet, html)
    if found.skipped:
        raise typer.Exit(3)


@dataclass(frozen=True)
class _Found:
    """What a search gave, and what is to be said of it."""

    answers: "list[Answer]"
    skipped: "tuple[Skipped, ...]"
    bits: int
    root: bytes
    seconds: float
    remark: str = ""


def _search_here(
    codes: Path,
    model: Path,
    images: "Collection",
    k: int,
    most: int | None,
    *,
    rerank: bool,
    check: bool,
    index: "IndexName",
    dated: bool,
) -> _Found:
    """Search a codes file; with `dated`, look which of the images found have changed since."""
    from ganhash_cli.engine import choice, results
    from ganhash_cli.engine.codes import open_codes

    with open_codes(codes) as stored:
        hashed = _hashed(model, stored, images)
        if check:
            stored.verify()
        if not len(stored):
            raise NothingFound(f"{codes} holds no images", hint="encode a folder that has some")
        complete = rerank or most is not None
        searched = console.follow(
            choice.open_index(stored, index, workspace.cache(), queries=len(hashed.codes), k=k, complete=complete),
            saves=False,
        )
        started = time.perf_counter()
        answers = results.answer(stored, hashed, k, most, rerank=rerank, index=searched)
        seconds = time.perf_counter() - started
        if dated:
            from ganhash_cli.engine import page
            from ganhash_cli.engine import sheet as sheets

            shown = max(page.MOST_HITS, sheets.most_hits(len(answers)))
            answers = results.dated(stored, answers, page.MOST_QUERIES, shown)
        part = f", of shard {stored.header.shard} alone" if stored.header.shard else ""
        return _Found(answers, hashed.skipped, stored.header.bits, stored.header.root, seconds, part + _how(searched))


def _search_there(
    url: str, name: str, given: dict[str, str], model: Path, images: "Collection", k: int, most: int | None
) -> _Found:
    """Search an index in another program, and measure what it misses where it is an approximate one."""
    from ganhash_cli.engine import remote, remote_answers

    with remote.opened(url, name, given) as there:
        hashed = _hashed(model, there, images)
        started = time.perf_counter()
        answers = remote_answers.answer(there, hashed, k, most)
        seconds, remark = time.perf_counter() - started, f" by {there.path}"
        if not answers[0].searched:
            raise NothingFound(f"{there.path} holds no images", hint="bring some there with `ganhash push`")
        if most is None and not there.index.exact:
            measured = remote_answers.recall(there, hashed, answers, k)
            remark += f", approximately: {measured} of {len(answers)}"
        elif not there.index.ordered:
            remark += "; which of equals it shows is its own choice"
        header = there.require_header()
        return _Found(answers, hashed.skipped, header.bits, header.root, seconds, remark)


def _hashed(model: Path, stored: "StoredCodes | Remote", images: "Collection") -> "Queries":
    """Compute the codes of the queries by the model that made those they are compared with."""
    from ganhash_cli.engine import queries
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.runtime import open_runtime

    bundle = Bundle.open(model)
    header = queries.require_match(bundle, stored)
    return console.follow(
        queries.hash_queries(open_runtime(bundle, numeric=header.numeric), images, bundle.side), saves=False
    )


def _index_name(index: str) -> "IndexName":
    from ganhash_cli.engine.choice import IndexName

    for known in get_args(IndexName):
        if index == known:
            name: IndexName = known
            return name
    raise UsageError(
        f"--index {index!r} is not known", hint="there are auto, exact, ivf and URLs such as postgresql://host/database"
    )


def _require_plain(*, rerank: bool, check: bool) -> None:
    """Refuse what only a codes file can do."""
    for flag in (["--rerank"] if rerank else []) + (["--check"] if check else []):
        raise UsageError(f"{flag} needs a codes file, and --index searches elsewhere", hint=f"leave out {flag}")


def _collection(images: list[str], nul: bool) -> "Collection":
    from ganhash_cli.engine import images as pictures

    if images == ["-"]:
        return pictures.from_names(sources.names_on_stdin(nul=nul))
    if len(images) == 1:
        return pictures.query_part(pictures.collect(Path(images[0])))
    if all(map(os.path.isdir, images)):
        raise usage.several("ganhash query", images, stdin=True)
    return pictures.from_names([os.fsencode(name) for name in images])


def _several(images: list[str]) -> bool:
    """Whether the words name more than one image, or may: a program must know the columns from the command alone."""
    from ganhash_cli.engine import images as pictures

    return len(images) > 1 or images == ["-"] or not pictures.is_file(Path(images[0]))


def _print_table(answers: "list[Answer]", *, named: bool) -> None:
    """Print one row a hit; where queries are `named`, the query stands in front. A terminal marks what is missing."""
    marked = sys.stdout.isatty()
    reranked = any(hit.asymmetric is not None for answer in answers for hit in answer.hits)
    hits = [(answer, hit) for answer in answers for hit in answer.hits]
    rows = [
        [
            *([console.safe(answer.query)] if named else []),
            str(hit.rank),
            console.distance(hit.distance, hit.bits),
            *([f"{hit.asymmetric:.2f}"] if reranked else []),
            console.safe(hit.label),
            console.safe(hit.path) + (f" ({wording.MISSING})" if marked and hit.missing else ""),
        ]
        for answer, hit in hits
    ]
    columns = [*(["query"] if named else []), "#", "distance", *(["weighed"] if reranked else []), "label", "path"]
    console.table(columns, rows, links=[f"file://{quote(os.path.abspath(hit.path))}" for _, hit in hits])


def _how(index: "ExactIndex | IvfIndex") -> str:
    """Say of an approximate search how much it finds, and with -v how it went."""
    from ganhash_cli.engine.ivf import RECALL_AT, IvfIndex

    if not isinstance(index, IvfIndex):
        return ""
    lists = f" in {index.lists.probes:,} of {len(index.lists.centres):,} lists" if console.verbosity > 0 else ""
    return f"{lists}, approximately: recall@{RECALL_AT} {index.recall:.3f}"


def _note_ties(answers: "list[Answer]") -> None:
    cut = [answer for answer in answers if answer.cut]
    if len(answers) == 1 and cut:
        last = cut[0].hits[-1]
        place = "the last distance," if last.asymmetric is None else "the last place, at distance"
        count = wording.counted(cut[0].ties, "image") if cut[0].counted else "more images than are shown"
        console.note(f"{place} {last.distance}/{last.bits}, is shared by {count}")
    elif cut:
        console.note(f"{len(cut):,} of {len(answers):,} queries end among images at the same distance")
