"""`ganhash plugins`: list what is installed, and show one plugin with its options."""

import inspect
from typing import Annotated, get_args

import typer

from ganhash_cli import console
from ganhash_cli.commands.options import Json
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin.options import Option, options_of
from ganhash_cli.plugin.registry import KINDS, Kind, Plugin, find
from ganhash_cli.plugin.registry import plugins as installed


def list_plugins(json: Json = False) -> None:
    """List the installed plugins; reads metadata only and imports none."""
    found = [plugin for kind in KINDS for plugin in installed(kind)]
    if json:
        for plugin in found:
            console.emit(_facts(plugin))
        return
    console.table(["kind", "name", "package", "version"], [[*map(console.safe, _facts(p).values())] for p in found])


def show_plugin(
    kind: Annotated[str, typer.Argument(help="backbone or generator", show_default=False)],
    name: Annotated[str, typer.Argument(help="Its name, as `ganhash plugins list` shows it.", show_default=False)],
    json: Json = False,
) -> None:
    """Show what a plugin is and which options it takes."""
    plugin = find(_kind(kind), name)
    factory = plugin.load()
    summary, options = (inspect.getdoc(factory) or "").partition("\n")[0], options_of(factory)
    if json:
        listed = [{"name": o.name, "type": _type(o), "default": o.default} for o in options]
        console.emit({**_facts(plugin), "summary": summary, "options": listed})
        return
    facts = _facts(plugin)
    console.say(console.safe("{kind} {name}, from {package} {version}".format(**facts)))
    console.say(console.safe(summary))
    flag = "-B" if plugin.kind == "backbone" else "-G"
    console.table(["option", "type", "default"], [[f"{flag} {o.name}", _type(o), str(o.default)] for o in options])


def _kind(text: str) -> Kind:
    if text not in KINDS:
        raise UsageError(f"no kind of plugin named {text!r}", hint=f"it is one of {', '.join(get_args(Kind))}")
    return text


def _facts(plugin: Plugin) -> dict[str, str]:
    return {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "version": plugin.version}


def _type(option: Option) -> str:
    return " or ".join("none" if kind is type(None) else kind.__name__ for kind in option.types)
