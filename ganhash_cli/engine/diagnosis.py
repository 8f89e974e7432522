"""Everything that decides whether ganhash works here, as one record, and what is wrong with it, with what mends it."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from ganhash_cli import __version__
from ganhash_cli.engine import accelerators, holdings, installation, machine
from ganhash_cli.engine.accelerators import Accelerators
from ganhash_cli.engine.holdings import Holding, Holdings
from ganhash_cli.engine.installation import Dependency
from ganhash_cli.engine.machine import Machine, Place
from ganhash_cli.errors import CorruptError, InputError, InstallationError, MismatchError, PluginError, StorageError
from ganhash_cli.plugin import probing
from ganhash_cli.plugin.probing import Fault
from ganhash_cli.plugin.registry import Plugin

SCHEMA = 1
_NAMES = {"fakes": "fakes", "model": "model", "codes": "codes.h5"}
_AGAIN = {
    "fakes": "ganhash generate --overwrite",
    "model": "ganhash train --overwrite",
    "codes": "ganhash encode FOLDER --overwrite",
}


@dataclass(frozen=True)
class Problem:
    """One defect: what it is `of`, the command that mends it, and the exit code of its kind.

    `detail` is what a stranger's code or the system said; unlike all else it may hold names of files.
    """

    of: str
    what: str
    mend: str
    exit: int
    detail: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What was found; `faults` are those of `plugins`, in their order."""

    python: str
    dependencies: list[Dependency] | None
    machine: Machine
    devices: Accelerators
    folder: Place
    temporary: Place
    plugins: list[Plugin]
    faults: list[Fault | None]
    loaded: bool
    holdings: Holdings

    @property
    def each_plugin(self) -> list[tuple[Plugin, Fault | None]]:
        """Every plugin with what is wrong with it."""
        return list(zip(self.plugins, self.faults, strict=True))

    @property
    def problems(self) -> list[Problem]:
        """All defects, those first that cause others."""
        return [*_of_packages(self), *_of_plugins(self), *_of_places(self), *_of_holdings(self.holdings)]

    @property
    def following(self) -> str:
        """The command that comes next in this folder."""
        fakes, model, codes = (getattr(self.holdings, name).state for name in _AGAIN)
        if model == "whole" and fakes != "unfinished":
            return "ganhash query IMAGE" if codes == "whole" else "ganhash encode FOLDER"
        return "ganhash train" if model == "unfinished" or fakes == "whole" else "ganhash generate"

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON, without a name of a file, a person or a machine."""
        return {
            "schema": SCHEMA,
            "ganhash": __version__,
            "python": self.python,
            "dependencies": None if self.dependencies is None else [asdict(each) for each in self.dependencies],
            "machine": asdict(self.machine),
            "devices": asdict(self.devices),
            "places": {"folder": asdict(self.folder), "temporary": asdict(self.temporary)},
            "plugins": [_plain(plugin, fault) for plugin, fault in self.each_plugin],
            "plugins_loaded": self.loaded,
            "holds": {
                **{name: _state(getattr(self.holdings, name)) for name in _AGAIN},
                "model_is_of_the_fakes_images": self.holdings.model_is_of_the_fakes_images,
                "codes_are_the_models": self.holdings.codes_are_the_models,
            },
            "problems": [{k: v for k, v in asdict(problem).items() if k != "detail"} for problem in self.problems],
            "next": self.following,
        }


def diagnose(fakes: Path, model: Path, codes: Path, *, load: bool, tell: Callable[[str], None]) -> Diagnosis:
    """Look at everything; what takes seconds is told of before. `load` imports every plugin, elsewhere."""
    try:
        dependencies = installation.dependencies()
    except PackageNotFoundError:
        dependencies = None
    devices = accelerators.accelerators(
        lambda: tell(f"asking torch for its devices, {accelerators.SECONDS:.0f} s at most")
    )
    found = probing.installed()
    faults = probing.read(found)
    if load:
        tell("importing every plugin in a process of its own, some seconds")
        faults = [one or other for one, other in zip(faults, probing.load(found), strict=True)]
    return Diagnosis(
        python=platform.python_version(),
        dependencies=dependencies,
        machine=machine.machine(),
        devices=devices,
        folder=machine.working_folder(),
        temporary=machine.temporary_folder(),
        plugins=found,
        faults=faults,
        loaded=load,
        holdings=holdings.look(fakes, model, codes),
    )


def _of_packages(found: Diagnosis) -> list[Problem]:
    code = InstallationError.exit_code
    if found.dependencies is None:
        what = "is not installed as a package, so that its plugins are not found"
        return [Problem("ganhash", what, "pip install ganhash", code)]
    said = {
        "missing": ("is missing", "pip install"),
        "unfit": ("is {0.found}, and {0.wanted} is needed", "pip install --upgrade"),
        "broken": ("is installed, but its files are not there", "pip install --force-reinstall"),
    }
    problems = [
        Problem(each.name, what.format(each), f"{command} {shlex.quote(each.requirement)}", code)
        for each in found.dependencies
        if each.state != "ok" and not each.extra
        for what, command in [said[each.state]]
    ]
    if found.devices.how == "failed":
        problems.append(Problem("torch", "cannot be imported", "pip install --force-reinstall torch", code))
    return problems


def _of_plugins(found: Diagnosis) -> list[Problem]:
    problems = [
        Problem(f"{plugin.kind} {plugin.name}", fault.what, fault.mend, PluginError.exit_code, fault.detail)
        for plugin, fault in found.each_plugin
        if fault
    ]
    return list(dict.fromkeys(problems))  # two with one name are one problem


def _of_places(found: Diagnosis) -> list[Problem]:
    places = {
        "working folder": (found.folder, "cd to a folder you may write to, with room"),
        "temporary folder": (found.temporary, "export TMPDIR=FOLDER"),
    }
    return [
        Problem(name, f"cannot be written to: {place.fault}", mend, StorageError.exit_code)
        for name, (place, mend) in places.items()
        if place.fault
    ]


def _of_holdings(found: Holdings) -> list[Problem]:
    states = {name: getattr(found, name) for name in _AGAIN}
    problems = [
        Problem(name, "is damaged", again, CorruptError.exit_code, states[name].detail)
        for name, again in _AGAIN.items()
        if states[name].state == "damaged"
    ]
    for name, each in states.items():
        if each.state == "unreadable":
            problems.append(
                Problem(name, "cannot be read", f"chmod -R u+rX {_NAMES[name]}", InputError.exit_code, each.detail)
            )
        elif each.state == "unknown":
            mend = f"pip install --force-reinstall {each.needs or 'ganhash'}"
            what = f"cannot be looked at, since {each.needs or 'a package'} cannot be imported"
            problems.append(Problem(name, what, mend, InstallationError.exit_code, each.detail))
    if found.codes_are_the_models is False:
        problems.append(Problem("codes", "were made by another model", _AGAIN["codes"], MismatchError.exit_code))
    return problems


def _plain(plugin: Plugin, fault: Fault | None) -> dict[str, str]:
    said = {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "version": plugin.version}
    return {**said, "fault": fault.what if fault else ""}


def _state(holding: Holding) -> dict[str, int | str]:
    return {"state": holding.state, **holding.facts}
