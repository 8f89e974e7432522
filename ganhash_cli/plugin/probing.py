"""Tells which plugins are broken: from metadata and source text, or by loading them in a process of its own.

A plugin may print, exit, hang or crash where it is imported; none of that reaches the process that asks.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.errors import PluginError
from ganhash_cli.plugin import source
from ganhash_cli.plugin.options import options_of
from ganhash_cli.plugin.registry import KINDS, Plugin, plugins

SECONDS_TOGETHER, SECONDS_ALONE = 60.0, 30.0
_CHILD = "from ganhash_cli.plugin.probing import load_and_tell; load_and_tell()"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a plugin, and what mends it; `detail` is what its code said, and may hold names of files."""

    what: str
    mend: str
    detail: str = ""


def installed() -> list[Plugin]:
    """Return all plugins of all kinds, in the order in which faults are told."""
    return [plugin for kind in KINDS for plugin in plugins(kind)]


def read(found: list[Plugin]) -> list[Fault | None]:
    """Look at each plugin without running it: two with one name, or a module that is not there or no Python."""
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for plugin in found:
        owners[plugin.kind, plugin.name].add(plugin.package)
    return [_read(plugin, owners[plugin.kind, plugin.name]) for plugin in found]


def load(found: list[Plugin], together: float = SECONDS_TOGETHER, alone: float = SECONDS_ALONE) -> list[Fault | None]:
    """Load each plugin elsewhere, within so many seconds: all in one process, then alone those it did not come to.

    `found` must be what `installed` returns.
    """
    told = _ask(range(len(found)), together)
    for index in range(len(found)):
        if index not in told:
            told |= {index: ("ended the process that loads it, or took too long to load", "")} | _ask([index], alone)
    return [
        Fault(what, _reinstall(plugin), detail) if what else None
        for plugin, (what, detail) in zip(found, (told[index] for index in range(len(found))), strict=True)
    ]


def load_and_tell() -> None:
    """Load the plugins whose numbers are in `sys.argv` and write what is wrong with each, a line of JSON a plugin.

    A line is written as soon as it is known; what plugins print is thrown away.
    """
    with os.fdopen(os.dup(1), "w", buffering=1) as tell, open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        found = installed()
        for index in map(int, sys.argv[1:]):
            tell.write(json.dumps([index, *_try(found[index])]) + "\n")
        tell.flush()
        os._exit(0)  # what a plugin does when Python ends is nothing to wait for


def _try(plugin: Plugin) -> tuple[str, str]:
    try:
        options_of(plugin.load())
    except PluginError as error:
        cause = error.__cause__
        kind = type(cause).__name__ if cause else "it breaks the contract of plugins"
        return f"could not be loaded: {kind}", str(cause or error)
    return "", ""


def _ask(indices: Iterable[int], seconds: float) -> dict[int, tuple[str, str]]:
    """Return for each plugin that was come to within so many seconds what is wrong and what it said, "" for nothing."""
    command = [sys.executable, "-P", "-c", _CHILD, *map(str, indices)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        done = subprocess.run(
            command, env=environment, stdin=nothing, stdout=pipe, stderr=nothing, timeout=seconds, check=False
        )
        out = done.stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
    return {index: (what, detail) for index, what, detail in map(json.loads, out.splitlines())}


def _read(plugin: Plugin, owners: set[str]) -> Fault | None:
    if len(owners) > 1:
        others = sorted(owners - {"ganhash"})
        return Fault(f"is offered by {' and by '.join(sorted(owners))}", f"pip uninstall {others[0]}")
    match = plugin.entry.pattern.match(plugin.entry.value)
    if not match:
        return Fault("has an entry point that is none", _reinstall(plugin))
    spec = source.module_spec(match["module"])
    if spec is None:
        return Fault(f"is not there: its package names the module {match['module']}", _reinstall(plugin))
    if not spec.origin or not spec.origin.endswith(".py"):
        return None
    try:
        ast.parse(Path(spec.origin).read_bytes())
    except SyntaxError as error:
        return Fault(f"is no Python: line {error.lineno} of its module", _reinstall(plugin), str(error))
    except (OSError, ValueError, RecursionError, MemoryError):
        return Fault("has a source file that cannot be read", _reinstall(plugin))
    return None


def _reinstall(plugin: Plugin) -> str:
    again = f"pip install --upgrade --force-reinstall {plugin.package}"
    return again if plugin.package == "ganhash" else f"{again}, or pip uninstall {plugin.package}"
