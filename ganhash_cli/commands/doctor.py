"""`ganhash doctor`: whether ganhash works here, what is wrong and what mends it; works where torch is absent."""

from typing import TYPE_CHECKING, Annotated

import typer

from ganhash_cli import __version__, console, settings, workspace
from ganhash_cli.commands import options
from ganhash_cli.engine import wording

if TYPE_CHECKING:
    from ganhash_cli.engine.diagnosis import Diagnosis
    from ganhash_cli.engine.holdings import Holding
    from ganhash_cli.engine.machine import Place

_HOW = {
    "build": "torch is built without them",
    "driver": "there is no driver",
    "torch": "asked torch",
    "no torch": "torch is not installed",
    "failed": "torch cannot be imported",
    "no answer": "torch gave no answer in time",
}


def doctor(
    context: typer.Context,
    load: Annotated[bool, typer.Option("--load", help="Import every plugin too, in a process of its own.")] = False,
    json: options.Json = False,
) -> None:
    """Tell whether ganhash works here, what is wrong and what mends it. The JSON is fit for a bug report."""
    from ganhash_cli.engine import diagnosis

    places = (workspace.FAKES, workspace.MODEL, workspace.CODES)
    root = context.find_root()
    wrong = [(str(settings.FILE), root.obj.message)] if root.obj else []
    found = diagnosis.diagnose(*places, [*wrong, *settings.faults(root)], load=load, tell=console.note)
    if json:
        console.emit(found.record())
    else:
        console.table(["what", "found", ""], [[*map(console.safe, row)] for row in _rows(found)])
        for problem in found.problems:
            detail = f" ({problem.detail})" if problem.detail else ""
            console.say(console.safe(f"problem: {problem.of} {problem.what}{detail}"))
            console.say(console.safe(f"  mend: {problem.mend}"))
        console.note("no problem found" if not found.problems else "`ganhash doctor` again shows what is mended")
        console.note(f"next: {console.safe(found.following())}")
    if found.problems:
        raise typer.Exit(found.problems[0].exit)


def _rows(found: "Diagnosis") -> list[list[str]]:
    holds = found.holdings
    return [
        ["ganhash", __version__, "ok" if found.dependencies is not None else "not installed"],
        ["python", found.python, "ok"],
        *_packages(found),
        *_machine(found),
        *[[f"{p.kind} {p.name}", f"{p.package} {p.version}", f.what if f else "ok"] for p, f in found.each_plugin],
        ["fakes/", _facts(holds.fakes), holds.fakes.state],
        ["model/", _facts(holds.model), holds.model.state],
        ["codes.h5", _facts(holds.codes), holds.codes.state],
        ["model/ is of the images of fakes/", "", _word(holds.model_is_of_the_fakes_images)],
        ["codes.h5 are of model/", "", _word(holds.codes_are_the_models)],
    ]


def _packages(found: "Diagnosis") -> list[list[str]]:
    """Return a row for each package that is needed, and one for each extra."""
    packages = found.dependencies or []
    rows = [[each.name, each.found or "-", each.state] for each in packages if not each.extra]
    for extra in dict.fromkeys(each.extra for each in packages if each.extra):
        there = [each.state == "ok" for each in packages if each.extra == extra]
        rows.append([f"extra {extra}", f"{sum(there)} of {len(there)}", "ok" if all(there) else "optional"])
    return rows


def _machine(found: "Diagnosis") -> list[list[str]]:
    here = found.machine
    features = None if here.features is None else [name for name, there in here.features.items() if there]
    return [
        ["system", f"{here.system} {here.release} {here.architecture}", ""],
        [
            "processor",
            "unknown" if features is None else ", ".join(features) or "-",
            wording.counted(here.cores, "core"),
        ],
        ["memory", _gigabytes(here.memory), "" if here.available is None else f"{_gigabytes(here.available)} free"],
        ["CUDA", _word(found.devices.cuda), _HOW[found.devices.how]],
        ["MPS", _word(found.devices.mps), _HOW[found.devices.how]],
        _room("working folder", found.folder),
        _room("temporary folder", found.temporary),
    ]


def _room(name: str, place: "Place") -> list[str]:
    return [name, f"{_gigabytes(place.free)} free", place.fault or "ok"]


def _facts(holding: "Holding") -> str:
    return (
        ", ".join(f"{value:,} {name}" if isinstance(value, int) else value for name, value in holding.facts.items())
        or "-"
    )


def _gigabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:,.1f} GB"


def _word(value: bool | None) -> str:
    return {None: "-", True: "yes", False: "no"}[value]
