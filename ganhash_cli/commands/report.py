"""`ganhash report`: a trained model on one HTML page; loads no torch."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options, sources
from ganhash_cli.engine import wording
from ganhash_cli.errors import InputError

if TYPE_CHECKING:
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.codes import StoredCodes
    from ganhash_cli.engine.evaluation import Asked
    from ganhash_cli.engine.report import Missing


def report(
    model: Annotated[Path, typer.Argument(help="Folder made by `ganhash train`.")] = workspace.MODEL,
    codes: Annotated[
        Path | None,
        typer.Option(help="Codes file of this model. Default: codes.h5, if it is one.", show_default=False),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="Query images: a folder (sub-folders are labels) or a CSV.", show_default=False),
    ] = None,
    fakes: Annotated[Path, typer.Option(help="Folder made by `ganhash generate`.")] = workspace.FAKES,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML page to write.")] = Path("report.html"),
    allow_overlap: options.AllowOverlap = False,
    untrusted: options.Untrusted = False,
    json: options.Json = False,
) -> None:
    """Show a trained model on one page: training, fakes, codes, and what queries find. See docs/report.md."""
    from ganhash_cli.engine import evaluation, outputs, report_page
    from ganhash_cli.engine import report as reports
    from ganhash_cli.engine.bundle import Bundle

    outputs.require(output, outputs.PAGE, "--output")
    options.examine(untrusted, codes or workspace.CODES)
    bundle = Bundle.open(model)
    with ExitStack() as stack:
        stored = _stored(bundle, codes, stack)
        asked = _asked(bundle, stored, queries)
        found = console.follow(reports.gather(bundle, fakes, stored, asked, allow_overlap=allow_overlap), saves=False)
    report_page.write(found, output)
    if json:
        console.emit({"report": output, "fingerprint": bundle.fingerprint, "missing": found.missing})
    else:
        console.say(f"{console.safe(os.fspath(output))}: {wording.size(output.stat().st_size)}")
    if found.shard:
        console.warn(evaluation.of_part(found.shard))
    for name, why in found.missing.items():
        console.note(f"without {name}: {console.safe(why)}")
    if isinstance(found.retrieval, reports.Retrieval) and found.retrieval.skipped:
        sources.warn_skipped(found.retrieval.skipped)
        raise typer.Exit(3)


def _stored(bundle: "Bundle", named: Path | None, stack: ExitStack) -> "StoredCodes | Missing":
    """Open the codes that were named, or else the usual ones if they are there and of this model."""
    from ganhash_cli.engine.codes import open_codes
    from ganhash_cli.engine.report import Missing

    if named is None and not workspace.CODES.exists():
        return Missing(f"there is no {workspace.CODES} here, and no other was named with --codes")
    stored = stack.enter_context(open_codes(named or workspace.CODES))
    if named is None and stored.header.fingerprint != bundle.fingerprint:
        return Missing(f"{workspace.CODES} was made by another model")
    return stored


def _asked(bundle: "Bundle", stored: "StoredCodes | Missing", named: Path | None) -> "Asked | Missing":
    """Collect the queries, if some were named, and open what hashes them as the codes were made."""
    from ganhash_cli.engine import images
    from ganhash_cli.engine.evaluation import Asked
    from ganhash_cli.engine.report import Missing
    from ganhash_cli.engine.runtime import open_runtime

    if named is None:
        return Missing("none were named with --queries")
    if isinstance(stored, Missing):
        raise InputError(
            f"the queries have nothing to search: {stored.why}",
            hint="`ganhash encode FOLDER` makes codes of this model",
        )
    hasher = open_runtime(bundle, numeric=stored.header.numeric)
    return Asked(named, images.query_part(images.collect(named)), hasher)
