"""`ganhash plugins`: list what is installed, show one plugin with its options, check that it keeps its contract."""

import inspect
from dataclasses import asdict
from typing import Annotated, get_args

import typer

from ganhash_cli import console
from ganhash_cli.commands import completion
from ganhash_cli.commands.options import Json, pairs
from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin.options import Option, options_of, parse_options
from ganhash_cli.plugin.registry import FLAGS, KINDS, Kind, Plugin, find
from ganhash_cli.plugin.registry import plugins as installed


def _kind(text: str) -> Kind:
    """Return the kind; checked before the name is, since who leaves out the kind seems to leave out the name."""
    if text in KINDS:
        return text
    known = [f"`ganhash plugins show {kind} {text}`" for kind in KINDS for each in installed(kind) if each.name == text]
    hint = f"it is one of {', '.join(get_args(Kind))}, and stands before the name"
    raise UsageError(f"no kind of plugin named {text!r}", hint=f"try {' or '.join(known)}" if known else hint)


KindArgument = Annotated[
    str,
    typer.Argument(
        help="backbone, generator or index", show_default=False, autocompletion=completion.kinds, callback=_kind
    ),
]
NameArgument = Annotated[
    str,
    typer.Argument(
        help="Its name, as `ganhash plugins list` shows it.",
        show_default=False,
        autocompletion=completion.names_of_kind,
    ),
]
OptionPairs = Annotated[
    list[str] | None,
    typer.Option(
        *("-B", "-G", "-I"),
        metavar="NAME=VALUE",
        help="An option of the plugin; `ganhash plugins show` lists them.",
        show_default=False,
        autocompletion=completion.options_of_kind,
    ),
]


def list_plugins(json: Json = False) -> None:
    """List the installed plugins; reads metadata only and imports none."""
    found = [plugin for kind in KINDS for plugin in installed(kind)]
    if json:
        for plugin in found:
            console.emit(_facts(plugin))
        return
    console.table(["kind", "name", "package", "version"], [[*map(console.safe, _facts(p).values())] for p in found])


def show_plugin(
    kind: KindArgument,
    name: NameArgument,
    json: Json = False,
) -> None:
    """Show what a plugin is and which options it takes."""
    plugin = _find(kind, name)
    factory = plugin.load()
    description, options = inspect.getdoc(factory) or "", options_of(factory)
    if json:
        listed = [{"name": o.name, "type": _type(o), "default": o.default} for o in options]
        console.emit({**_facts(plugin), "summary": description.partition("\n")[0], "options": listed})
        return
    facts = _facts(plugin)
    console.say(console.safe("{kind} {name}, from {package} {version}".format(**facts)))
    for line in description.splitlines():
        console.say(console.safe(line))
    flag = FLAGS[plugin.kind]
    console.table(["option", "type", "default"], [[f"{flag} {o.name}", _type(o), str(o.default)] for o in options])


def check_plugin(
    kind: KindArgument,
    name: NameArgument,
    option: OptionPairs = None,
    url: Annotated[
        str | None,
        typer.Option(help="Of an index: where the checks may make collections and drop them.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Check that a plugin keeps its contract; exit 9 where a check fails."""
    from ganhash_cli.plugin import conformance

    plugin = _find(kind, name)
    given = pairs(option, FLAGS[plugin.kind])
    # Without options typed, a signature that breaks the contract is for the checks to report.
    values = parse_options(plugin.load(), given, owner=f"{kind} {name!r}") if given else {}
    if (url is None) == (kind == "index"):
        raise UsageError(
            f"an index is checked at a --url, and a {kind} is none" if url else "an index is checked at a --url",
            hint="for example --url postgresql://host/database",
        )
    if url is not None:
        values["url"] = url
    report = console.follow(conformance.run(plugin.kind, name, **values), saves=False)
    if json:
        for outcome in report.outcomes:
            console.emit(asdict(outcome))
    else:
        rows = [[outcome.check, outcome.status, console.safe(outcome.reason)] for outcome in report.outcomes]
        console.table(["check", "outcome", "reason"], rows)
    if report.failed:
        raise PluginError(
            f"{kind} {name!r} of package {plugin.package} does not keep its contract: {report}",
            hint="docs/plugins.md says what it must keep",
        )
    console.note(str(report))


def _find(kind: str, name: str) -> Plugin:
    """Find a plugin; who names a timm model, as `ganhash train --backbone` allows, is told which plugin has it."""
    try:
        return find(_kind(kind), name)
    except UsageError as error:
        if kind == "backbone":
            error.hint += f"; if it is a model of timm, name timm (and {name!r} in its option `model`)"
        raise


def _facts(plugin: Plugin) -> dict[str, str]:
    return {"kind": plugin.kind, "name": plugin.name, "package": plugin.package, "version": plugin.version}


def _type(option: Option) -> str:
    return " or ".join("none" if kind is type(None) else kind.__name__ for kind in option.types)
