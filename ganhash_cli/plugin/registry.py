"""Finds plugins by entry points: listing reads metadata only, code is imported on first use."""

from __future__ import annotations

import difflib
import faulthandler
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from ganhash_cli.errors import GanhashError, InputError, PluginError, UsageError
from ganhash_cli.plugin.contracts import CONTRACT_VERSION
from ganhash_cli.plugin.options import Value, parse_options

Kind = Literal["generator", "backbone", "index"]
GROUPS: dict[Kind, str] = {
    "generator": "ganhash.generators",
    "backbone": "ganhash.backbones",
    "index": "ganhash.indexes",
}
KINDS: tuple[Kind, ...] = tuple(GROUPS)
FLAGS: dict[Kind, str] = {"generator": "-G", "backbone": "-B", "index": "-I"}
"""What stands before an option of each kind on the command line."""


@dataclass(frozen=True)
class Plugin:
    """One installed plugin, known from metadata alone."""

    kind: Kind
    name: str
    package: str
    version: str
    entry: EntryPoint

    def load(self) -> Callable[..., Any]:
        """Import the factory; any failure of a stranger's code becomes a `PluginError`.

        What it prints meanwhile goes to stderr, since stdout belongs to results.
        """
        named = f"{self.kind} {self.name!r} of package {self.package}"
        hint = f"reinstall or remove it: pip install --force-reinstall {self.package}"
        faulthandler.enable(file=2)  # what crashes the process ends it by its signal, but says where
        try:
            with redirect_stdout(sys.stderr):
                factory = self.entry.load()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise PluginError(f"{named} could not be loaded: {type(error).__name__}: {error}", hint) from error
        if not callable(factory):
            raise PluginError(f"{named} is not a class or function")
        version = getattr(factory, "contract_version", CONTRACT_VERSION)
        if version != CONTRACT_VERSION:
            raise PluginError(
                f"{named} is written for version {version} of the contract, and this ganhash keeps version"
                f" {CONTRACT_VERSION}",
                hint=f"pip install --upgrade ganhash {self.package}",
            )
        loaded: Callable[..., Any] = factory
        return loaded


@dataclass(frozen=True)
class Identity:
    """Which plugin made something, with which options: enough to make it again or to say what to install."""

    kind: str
    name: str
    options: dict[str, Value]
    package: str
    version: str
    contract: int = CONTRACT_VERSION

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def plugins(kind: Kind) -> list[Plugin]:
    """Return the installed plugins of one kind by name, without importing any.

    `GANHASH_PLUGINS=a,b` limits the packages that are looked at; ganhash itself is always among them.
    """
    allowed = os.environ.get("GANHASH_PLUGINS")
    chosen = None if allowed is None else {"ganhash", *(_normal(name) for name in allowed.split(","))}
    found = []
    for entry in entry_points(group=GROUPS[kind]):
        package, version = _owner(entry)
        if chosen is None or _normal(package) in chosen:
            found.append(Plugin(kind, entry.name, package, version, entry))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.package))


def _owner(entry: EntryPoint) -> tuple[str, str]:
    """Return the package's name and version, which damaged metadata may lack."""
    metadata = entry.dist.metadata if entry.dist else None
    said = {key: metadata[key] for key in ("Name", "Version") if metadata is not None and key in metadata}
    return said.get("Name", "unknown"), said.get("Version", "0")


def taken_twice(what: str, owners: Iterable[str]) -> UsageError:
    """Return the error of `what` several plugins have claimed: none of them is chosen in silence."""
    return UsageError(
        f"{what} by {' and by '.join(owners)}",
        hint="uninstall one of them, or set GANHASH_PLUGINS to the package you want",
    )


def find(kind: Kind, name: str) -> Plugin:
    """Return the plugin called `name`; `UsageError` with close spellings where there is none."""
    by_name: dict[str, list[Plugin]] = defaultdict(list)
    for plugin in plugins(kind):
        by_name[plugin.name].append(plugin)
    owners = by_name.get(name, [])
    packages = sorted({plugin.package for plugin in owners})
    if len(packages) > 1:
        raise taken_twice(f"{kind} {name!r} is offered", packages)
    if owners:
        return owners[0]
    close = difflib.get_close_matches(name, by_name, n=3)
    raise UsageError(
        f"no {kind} named {name!r}" + (f"; did you mean {' or '.join(map(repr, close))}?" if close else ""),
        hint=f"`ganhash plugins list` shows them: {', '.join(sorted(by_name))}",
    )


def identify(kind: Kind, name: str, given: Mapping[str, str]) -> Identity:
    """Check `given` option texts against the plugin called `name` and return its full identity."""
    plugin = find(kind, name)
    options = parse_options(plugin.load(), given, owner=f"{kind} {name!r}")
    return Identity(kind, name, options, plugin.package, plugin.version)


def build(identity: Identity, *facts: Any, **overrides: Value) -> Any:
    """Build the plugin that `identity` names; `facts` are what the core decides, by position.

    What its constructor raises tells whose fault it is: `ValueError` and `TypeError` an option's
    (`UsageError`), `OSError` a file's or the network's (`InputError`, its second argument is the hint), any
    other the plugin's (`PluginError`, as where it or a library of its is missing).
    """
    kind: Kind = next((kind for kind in KINDS if kind == identity.kind), "backbone")
    if all(plugin.name != identity.name for plugin in plugins(kind)):
        raise PluginError(
            f"{kind} {identity.name!r} is not installed",
            hint=f"pip install {identity.package}=={identity.version}",
        )
    factory = find(kind, identity.name).load()
    try:
        with redirect_stdout(sys.stderr):
            return factory(*facts, **{**identity.options, **overrides})
    except (ValueError, TypeError) as error:
        message, hint = message_and_hint(error)
        raise UsageError(f"{kind} {identity.name!r}: {message}", hint) from error
    except (GanhashError, MemoryError):
        raise
    except OSError as error:
        message, hint = message_and_hint(error)
        raise InputError(f"{kind} {identity.name!r}: {message}", hint) from error
    except ImportError as error:
        message, hint = message_and_hint(error)
        raise PluginError(f"{kind} {identity.name!r}: {message}", hint) from error
    except Exception as error:
        raise PluginError(
            f"{kind} {identity.name!r} of package {identity.package} failed: {type(error).__name__}: {error}"
        ) from error


def _normal(package: str) -> str:
    """Write a package's name as PEP 503 does, so that `my_plugin` and `My-Plugin` are one."""
    return re.sub(r"[-_.]+", "-", package.strip()).lower()


def message_and_hint(error: Exception) -> tuple[str, str]:
    """Read `OSError(message, hint)`, which is how a plugin says both without importing anything of ours."""
    match error.args:
        case (str(message), str(hint), *_):
            return message, hint
    return str(error), ""
