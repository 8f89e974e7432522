"""What was found → what is wrong with it, and the command that mends it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.engine import installation
from ganhash_cli.engine.accelerators import Accelerators
from ganhash_cli.engine.holdings import Holding, Holdings
from ganhash_cli.engine.installation import Dependency
from ganhash_cli.engine.machine import Place
from ganhash_cli.errors import (
    CorruptError,
    InputError,
    InstallationError,
    MismatchError,
    PluginError,
    StorageError,
    UsageError,
)
from ganhash_cli.plugin.probing import Fault
from ganhash_cli.plugin.registry import Plugin

_NAMES = {"fakes": "fakes", "model": "model", "codes": "codes.h5"}
PARTS = ("fakes", "model", "codes")


def again(part: str, images: tuple[str, ...], path: Path | None = None) -> str:
    """Return the command that makes a part anew, of these images, in the working folder or else at `path`."""
    verb, option = {"fakes": ("generate", "-o"), "model": ("train", "--model"), "codes": ("encode", "-o")}[part]
    words = ("FOLDER",) if part == "codes" else images
    place = [] if path is None or path == Path(_NAMES[part]) else [option, os.fspath(path)]
    return shlex.join(["ganhash", verb, *words, *place, "--overwrite"])


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


def of_packages(found: list[Dependency] | None, devices: Accelerators) -> list[Problem]:
    """Name the packages that are missing, unfit or broken; None where ganhash itself is not installed."""
    code = InstallationError.exit_code
    if found is None:
        what = "is not installed as a package, so that its plugins are not found"
        return [Problem("ganhash", what, "pip install ganhash", code)]
    said = {
        "missing": ("is missing", "pip install"),
        "unfit": ("is {0.found}, and {0.wanted} is needed", "pip install --upgrade"),
        "broken": ("is installed, but its files are not there", "pip install --force-reinstall"),
    }
    named = [
        Problem(each.name, what.format(each), f"{command} {shlex.quote(each.requirement)}", code)
        for each in found
        if each.state != "ok" and not each.extra
        for what, command in [said[each.state]]
    ]
    if devices.how == "failed":
        named.append(Problem("torch", "cannot be imported", "pip install --force-reinstall torch", code))
    return named


def of_plugins(found: list[tuple[Plugin, Fault | None]]) -> list[Problem]:
    """Name the plugins that are broken; two with one name are one problem."""
    named = [
        Problem(f"{plugin.kind} {plugin.name}", fault.what, fault.mend, PluginError.exit_code, fault.detail)
        for plugin, fault in found
        if fault
    ]
    return list(dict.fromkeys(named))


def of_places(folder: Place, temporary: Place) -> list[Problem]:
    """Name the places that cannot be written to."""
    places = [
        ("working folder", folder, "cd FOLDER, one that you may write to"),
        ("temporary folder", temporary, "export TMPDIR=FOLDER, one that you may write to"),
    ]
    return [
        Problem(name, f"cannot be written to: {place.fault}", mend, StorageError.exit_code)
        for name, place, mend in places
        if place.fault
    ]


def of_settings(wrong: list[tuple[str, str]]) -> list[Problem]:
    """Name the places of settings that no option takes."""
    return [
        Problem(place, "sets what no option takes", "change it there, or take it out", UsageError.exit_code, said)
        for place, said in wrong
    ]


def of_holdings(found: Holdings, *, known: bool) -> list[Problem]:
    """Name what is damaged, cannot be read, or does not belong to the rest.

    What cannot be read without a package is left out where it is `known` that one is missing.
    """
    states: dict[str, Holding] = {name: getattr(found, name) for name in PARTS}
    named = [
        Problem(name, "is damaged", again(name, each.images), CorruptError.exit_code, each.detail)
        for name, each in states.items()
        if each.state == "damaged"
    ]
    for name, each in states.items():
        if each.state == "unreadable":
            named.append(
                Problem(name, "cannot be read", f"chmod -R u+rX {_NAMES[name]}", InputError.exit_code, each.detail)
            )
        elif each.state == "unknown" and not known:
            package = installation.package_of(each.needs or "ganhash")
            what = f"cannot be looked at, since {package} cannot be imported"
            mend = f"pip install --force-reinstall {package}"
            named.append(Problem(name, what, mend, InstallationError.exit_code, each.detail))
    if found.codes_are_the_models is False:
        named.append(Problem("codes", "were made by another model", again("codes", ()), MismatchError.exit_code))
    return named
