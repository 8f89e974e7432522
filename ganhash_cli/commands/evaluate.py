"""`ganhash evaluate`: labelled queries against codes → figures of retrieval; loads no torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options, sources, views
from ganhash_cli.engine import wording

if TYPE_CHECKING:
    from ganhash_cli.engine.evaluation import Evaluation
    from ganhash_cli.engine.remote import Remote
    from ganhash_cli.engine.remote_copy import Database


def evaluate(
    queries: Annotated[
        Path,
        typer.Option(help="Labelled query images: a folder (sub-folders are labels) or a CSV.", show_default=False),
    ],
    codes: options.Codes = workspace.CODES,
    model: options.Model = workspace.MODEL,
    k: Annotated[int, typer.Option("-k", "--k", metavar="<int>", min=1, help="P@k: precision of the first k.")] = 100,
    r: Annotated[
        int, typer.Option("-r", "--r", metavar="<int>", min=1, help="mAP@R: over the relevant ones among the first R.")
    ] = 1000,
    plot: Annotated[
        Path | None, typer.Option(help="Draw precision and recall by radius, a PNG.", show_default=False)
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write precision and recall by radius as CSV.", show_default=False)
    ] = None,
    rerank: Annotated[
        bool,
        typer.Option(
            "--rerank", help="Rank by asymmetric distance too: a bit counts more, the surer the query's code is of it."
        ),
    ] = False,
    allow_overlap: options.AllowOverlap = False,
    untrusted: options.Untrusted = False,
    index: options.IndexUrl = None,
    name: options.Collection = "ganhash",
    option: options.IndexOptions = None,
    json: options.Json = False,
) -> None:
    """Measure how well labelled queries find images of their class. Definitions: docs/metrics.md."""
    from ganhash_cli.engine import evaluation, images, outputs, remote, remote_copy
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.codes import open_codes
    from ganhash_cli.engine.queries import require_match
    from ganhash_cli.engine.runtime import open_runtime

    if plot:
        outputs.require(plot, outputs.PICTURE, "--plot")
    if csv:
        outputs.require(csv, outputs.CURVE, "--csv")

    def measured(stored: "Database", there: "Remote | None" = None) -> "Evaluation":
        hasher = open_runtime(bundle, numeric=stored.header.numeric)
        work = evaluation.evaluate(
            bundle,
            stored,
            evaluation.Asked(queries, images.query_part(images.collect(queries)), hasher),
            k=k,
            r=r,
            rerank=rerank,
            allow_overlap=allow_overlap,
            remote=there,
        )
        result = console.follow(work, saves=False)
        if plot:
            views.note_inside(plot, stored.header.root)
            if queries.is_dir():
                views.note_inside(plot, os.fsencode(queries), "queries", "evaluate")
        return result

    if index is None:
        options.examine(untrusted, codes)
        with open_codes(codes) as stored:
            bundle = Bundle.open(model)
            result = measured(stored)
    else:
        with remote.opened(index, name, options.pairs(option, "-I")) as there:
            bundle = Bundle.open(model)
            require_match(bundle, there)  # before all of it is fetched
            result = measured(console.follow(remote_copy.copy(there), saves=False), there)
    if json:
        console.emit(result.record())
    else:
        console.table(["figure", "value"], _rows(result))
    _write(result, plot, csv)
    _note(result)
    sources.warn_skipped(result.skipped)
    if result.skipped:
        raise typer.Exit(3)


def _rows(result: "Evaluation") -> list[list[str]]:
    figures = result.record()
    shown = {
        "mAP@all (tie-aware)": _share(figures["map_at_all"]),
        **({"mAP@all, reranked": _share(figures["map_at_all_reranked"])} if "map_at_all_reranked" in figures else {}),
        **{
            f"{name} (tie-aware)": _share(figures[figure])
            for figure, (name, _) in _cut_offs(result).items()
            if figures[figure] is not None
        },
        "P@H<=2": _share(figures["precision_within_2"]),
        "empty balls at H<=2": _share(figures["empty_balls_within_2"]),
        "distinct codes": f"{result.distinct:,} of {result.database:,}",
        "ones in the worst bit": _share(figures["worst_balance"]),
        "constant bits": f"{figures['constant_bits']} of {result.bits}",
        "bit correlation, mean |r|": _share(figures["mean_correlation"]),
        "bit correlation, max |r|": _share(figures["most_correlation"]),
        "queries": f"{result.queries:,}",
    }
    return [[name, value] for name, value in shown.items()]


def _cut_offs(result: "Evaluation") -> dict[str, tuple[str, int]]:
    """Return the figures of the first so many images: their names for a person, and how many."""
    return {"map_at_r": (f"mAP@{result.r}", result.r), "precision_at_k": (f"P@{result.k}", result.k)}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _write(result: "Evaluation", plot: Path | None, csv: Path | None) -> None:
    from ganhash_cli.engine import pr_curve

    if csv:
        pr_curve.write_table(result, csv)
        console.note(f"precision and recall: {console.safe(os.fspath(csv))}")
    if plot:
        pr_curve.write_plot(result, plot)
        console.note(f"plot: {console.safe(os.fspath(plot))}")


def _note(result: "Evaluation") -> None:
    """Say what the table leaves out, and what is to be said of its figures."""
    from ganhash_cli.engine import evaluation

    if result.shard:
        console.warn(evaluation.of_part(result.shard))
    if beyond := [name for name, first in _cut_offs(result).values() if first > result.database]:
        console.note(
            f"without {' and '.join(beyond)}: the database holds {wording.counted(result.database, 'image')};"
            " -r and -k take fewer"
        )
    for remark in result.remarks():
        (console.warn if remark.warns else console.note)(console.safe(remark.text))
