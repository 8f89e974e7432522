"""Everything that decides whether ganhash works here, as one record."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from ganhash_cli import __version__
from ganhash_cli.engine import accelerators, holdings, installation, machine, problems
from ganhash_cli.engine.accelerators import Accelerators
from ganhash_cli.engine.holdings import Holding, Holdings
from ganhash_cli.engine.installation import Dependency
from ganhash_cli.engine.machine import Machine, Place
from ganhash_cli.engine.problems import Problem
from ganhash_cli.plugin import probing
from ganhash_cli.plugin.probing import Fault
from ganhash_cli.plugin.registry import Plugin


@dataclass(frozen=True)
class Diagnosis:
    """What was found; `faults` are those of `plugins`, in their order; `settings` are those that no option takes."""

    python: str
    dependencies: list[Dependency] | None
    machine: Machine
    devices: Accelerators
    folder: Place
    temporary: Place
    plugins: list[Plugin]
    faults: list[Fault | None]
    loaded: bool
    settings: list[tuple[str, str]]
    holdings: Holdings

    @property
    def each_plugin(self) -> list[tuple[Plugin, Fault | None]]:
        """Every plugin with what is wrong with it."""
        return list(zip(self.plugins, self.faults, strict=True))

    @property
    def problems(self) -> list[Problem]:
        """All defects, those first that cause others."""
        packages = problems.of_packages(self.dependencies, self.devices)
        return [
            *packages,
            *problems.of_plugins(self.each_plugin),
            *problems.of_places(self.folder, self.temporary),
            *problems.of_settings(self.settings),
            *problems.of_holdings(self.holdings, known=bool(packages)),
        ]

    def following(self, *, named: bool = True) -> str:
        """Return the command that comes next in this folder, with the one folder of images in it unless not `named`."""
        if wrong := problems.of_holdings(self.holdings, known=True):
            return wrong[0].mend
        fakes, model, codes = (getattr(self.holdings, name).state for name in problems.PARTS)
        if model == "whole" and fakes != "unfinished":
            return "ganhash query IMAGE" if codes == "whole" else "ganhash encode FOLDER"
        if fakes == "whole":
            return " ".join(["ganhash train", *self.holdings.fakes.images])
        if model == "unfinished":
            return "ganhash train IMAGES"
        if fakes == "unfinished":
            return "ganhash generate IMAGES"
        if folders := self.holdings.folders:
            return shlex.join(["ganhash", "train", folders[0] if named and len(folders) == 1 else "IMAGES"])
        return "ganhash generate"

    def record(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON, without a name of a file, a person or a machine."""
        return {
            "ganhash": __version__,
            "python": self.python,
            "dependencies": None if self.dependencies is None else [asdict(each) for each in self.dependencies],
            "machine": asdict(self.machine),
            "devices": asdict(self.devices),
            "places": {"folder": asdict(self.folder), "temporary": asdict(self.temporary)},
            "plugins": [_plain(plugin, fault) for plugin, fault in self.each_plugin],
            "plugins_loaded": self.loaded,
            "holds": {
                **{name: _state(getattr(self.holdings, name)) for name in problems.PARTS},
                "model_is_of_the_fakes_images": self.holdings.model_is_of_the_fakes_images,
                "codes_are_the_models": self.holdings.codes_are_the_models,
            },
            "problems": [{k: v for k, v in asdict(problem).items() if k != "detail"} for problem in self.problems],
            "next": self.following(named=False),
        }


def diagnose(
    fakes: Path,
    model: Path,
    codes: Path,
    settings: list[tuple[str, str]],
    *,
    load: bool,
    tell: Callable[[str], None],
) -> Diagnosis:
    """Look at everything; what takes seconds is told of before. `load` imports every plugin, elsewhere.

    `settings` are the places of those that no option takes, and what is wrong with each.
    """
    try:
        dependencies = installation.dependencies()
    except PackageNotFoundError:
        dependencies = None
    devices = accelerators.accelerators(
        lambda: tell(f"asking torch for its devices, {accelerators.SECONDS:.0f} s at most")
    )
    found = probing.installed()
    faults = probing.read(found)
    # Where a package is missing, hardly a plugin can be loaded, and that is not the plugins' fault.
    load = load and not problems.of_packages(dependencies, devices)
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
        settings=settings,
        holdings=holdings.look(fakes, model, codes),
    )


def _plain(plugin: Plugin, fault: Fault | None) -> dict[str, str]:
    said = {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "version": plugin.version}
    return {**said, "fault": fault.what if fault else ""}


def _state(holding: Holding) -> dict[str, int | str]:
    return {"state": holding.state, **holding.facts}
