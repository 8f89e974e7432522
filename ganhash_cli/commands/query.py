"""`ganhash query`: images → their nearest neighbours among the codes; never loads torch."""

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options, sources, views
from ganhash_cli.errors import NothingFound
from ganhash_cli.terminal import Preview

if TYPE_CHECKING:
    from ganhash_cli.engine.images import Collection
    from ganhash_cli.engine.index import ExactIndex
    from ganhash_cli.engine.ivf import IvfIndex
    from ganhash_cli.engine.results import Answer


class IndexName(StrEnum):
    """How the codes are searched."""

    auto = "auto"
    exact = "exact"
    ivf = "ivf"


def query(
    images: Annotated[
        list[str],
        typer.Argument(help="Images, a folder or a CSV of them, or `-` for names on stdin.", show_default=False),
    ],
    codes: options.Codes = workspace.CODES,
    model: options.Model = workspace.MODEL,
    k: Annotated[int, typer.Option("-k", min=1, help="Show at most so many neighbours.")] = 10,
    max_distance: Annotated[
        int | None,
        typer.Option(min=0, help="Show none that differs in more bits.", show_default=False),
    ] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the nearest anew: bits count by the query's sureness.")
    ] = False,
    index: Annotated[
        IndexName,
        typer.Option(help="exact compares with all; ivf with some, and finds nearly all; auto takes what is sooner."),
    ] = IndexName.auto,
    files: Annotated[bool, typer.Option("-f", "--files", help="Print file names only.")] = False,
    nul: Annotated[bool, typer.Option("-0", help="Separate names by NUL, on stdin and with -f.")] = False,
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
    json: options.Json = False,
) -> None:
    """Find the images whose codes differ in the fewest bits."""
    from ganhash_cli.engine import choice, queries, results
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.codes import open_codes
    from ganhash_cli.engine.runtime import open_runtime

    views.require_suffixes(sheet, html)
    with open_codes(codes) as stored:
        bundle = Bundle.open(model)
        queries.require_match(bundle, stored)
        if check:
            stored.verify()
        if not len(stored):
            raise NothingFound(f"{codes} holds no images", hint="encode a folder that has some")
        collection = _collection(images, nul)
        found = console.follow(
            queries.hash_queries(open_runtime(bundle, numeric=stored.header.numeric), collection, bundle.side)
        )
        complete = rerank or max_distance is not None
        searched = console.follow(
            choice.open_index(stored, index.value, workspace.cache(), queries=len(found.codes), k=k, complete=complete)
        )
        started = time.perf_counter()
        answers = results.answer(stored, found, k, max_distance, rerank=rerank, index=searched)
        milliseconds = 1000 * (time.perf_counter() - started)
    # Before anything is printed: a reader that goes, as `| head` does, ends the printing.
    views.write(answers, sheet, html)
    if json:
        for record in (record for answer in answers for record in answer.records()):
            console.emit(record)
    elif files:
        views.print_names((hit.path for answer in answers for hit in answer.hits), b"\0" if nul else b"\n")
    else:
        views.show(answers, preview)
        _print_table(answers)
    console.note(f"{len(stored):,} images searched in {milliseconds:.1f} ms{_how(searched)}")
    _note_ties(answers)
    sources.warn_skipped(found.skipped)
    if not any(answer.hits for answer in answers):
        raise NothingFound(
            f"no image within {max_distance} of {bundle.bits} bits", hint="allow more with --max-distance"
        )
    if open:
        views.open_best(answers, sheet, html)
    if found.skipped:
        raise typer.Exit(3)


def _collection(images: list[str], nul: bool) -> "Collection":
    from ganhash_cli.engine import images as pictures

    if images == ["-"]:
        return pictures.from_names(sources.some_names_on_stdin(nul=nul))
    if len(images) == 1:
        return pictures.collect(Path(images[0]))
    return pictures.from_names([os.fsencode(name) for name in images])


def _print_table(answers: "list[Answer]") -> None:
    """Print one row a hit; with several queries, the query stands in front."""
    several, reranked = len(answers) > 1, any(hit.asymmetric is not None for answer in answers for hit in answer.hits)
    hits = [(answer, hit) for answer in answers for hit in answer.hits]
    rows = [
        [
            *([console.safe(answer.query)] if several else []),
            str(hit.rank),
            f"{hit.distance}/{hit.bits}",
            *([f"{hit.asymmetric:.2f}"] if reranked else []),
            console.safe(hit.label),
            console.safe(hit.path),
        ]
        for answer, hit in hits
    ]
    columns = [*(["query"] if several else []), "#", "distance", *(["weighed"] if reranked else []), "label", "path"]
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
        console.note(f"{place} {last.distance}/{last.bits}, is shared by {cut[0].ties:,} images")
    elif cut:
        console.note(f"{len(cut):,} of {len(answers):,} queries end among images at the same distance")
