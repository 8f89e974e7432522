"""Options that nobody typed: read from `ganhash.toml` and `GANHASH_*`, and named where one of them is at fault.

Click gives them to the commands; its contexts and options are `Any` here, as Typer keeps their classes to itself.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ganhash_cli.errors import UsageError

FILE = Path("ganhash.toml")
ENVIRONMENT = "GANHASH"
_OTHERS = {f"{ENVIRONMENT}_{name}" for name in ("PLUGINS", "TOKEN", "KILLS", "SOAK", "BENCH_IMAGES", "MILVUS_PYTHON")}
"""Variables that are read elsewhere: by plugin/registry.py and `ganhash serve`, or by tests."""

_STRENGTH = ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")
_OPTIONS_OF = {"loss_options": "loss", "backbone_options": "backbone", "generator_options": "generator"}
_CHOSEN = {"loss": "triplet"}  # what `train` takes by itself; itq, without labels, has no options

_MOST_BYTES, _MOST_DEPTH = 64 << 10, 8  # deep nesting overflows the stack of whoever walks it


def read(path: Path = FILE) -> dict[str, Any]:
    """Read the file: one table a verb, one key an option; an empty dict where there is none.

    `[train]` with `bits = 64` is `ganhash train --bits 64`.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 10} KiB")
        found = tomllib.loads(content.decode())
        _require_shallow(found)
        return found
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", hint="mend the file, or move it away") from error


def known(given: dict[str, Any], command: Any, where: str = str(FILE)) -> dict[str, Any]:
    """Return settings with their names as Click wants them: tables are commands, keys are options.

    A key is the name of an option as the environment has it, or as it is typed, such as `B` for -B. What no command
    knows is refused, since a setting that does nothing misleads.
    """
    commands = getattr(command, "commands", {})
    typed = {flag.lstrip("-").replace("-", "_"): each.name for each in command.params for flag in each.opts}
    options = {**typed, **{parameter.name: parameter.name for parameter in command.params}}
    named: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, dict) and name in commands:
            named[name] = known(value, commands[name], f"{where} [{name}]")
        elif not isinstance(value, dict) and name.replace("-", "_") in options:
            named[options[name.replace("-", "_")]] = value
        else:
            what, names = ("command", commands) if isinstance(value, dict) else ("option", options)
            close = difflib.get_close_matches(name, [str(each) for each in names], n=1)
            raise UsageError(
                f"{where}: there is no {what} {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
                hint="`ganhash --help` lists the commands, `ganhash COMMAND --help` their options",
            )
    return named


def blamed(context: Any, message: str) -> str:
    """Return the message of a wrong option with the place where its value came from, if that was not typed."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        value = context.params.get(parameter.name)
        if (
            source is not None
            and source.name in _PLACES
            and (_names(message, parameter) or (isinstance(value, str) and repr(value) in message))
        ):
            return f"{_PLACES[source.name](context, parameter)}: {message}"
    return message


def typed(context: Any, name: str) -> bool:
    """Whether a value stands on the command line, and not in `ganhash.toml` or the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == _STRENGTH[0]


def outranks(context: Any, name: str, other: str) -> bool:
    """Whether one option is set in a stronger place than another: typed, then the environment, then the file."""
    places = [context.get_parameter_source(each).name for each in (name, other)]
    first, second = (_STRENGTH.index(place) if place in _STRENGTH else len(_STRENGTH) for place in places)
    return first < second


def meant_for_others(context: Any) -> Iterator[tuple[str, str]]:
    """Yield each option of a plugin or a loss that is set for another one than was chosen over it, and say so.

    `[train]` with `loss = "csq"` and `L = ["smoothing=0.1"]` is about that loss; `--loss triplet` has no such option.
    """
    parameters = {parameter.name: parameter for parameter in context.command.params}
    for name, choice in _OPTIONS_OF.items():
        if not context.params.get(name):
            continue
        source, over = (context.get_parameter_source(each).name for each in (name, choice))
        if source not in _PLACES or over not in _STRENGTH[: _STRENGTH.index(source)]:
            continue
        variable = parameters[choice].value_from_envvar(context) if source == "ENVIRONMENT" else None
        beside = variable or context.lookup_default(choice) or parameters[choice].default or _CHOSEN[choice]
        if beside != context.params[choice]:
            flag, place = parameters[name].opts[0], _PLACES[source](context, parameters[name])
            yield (
                name,
                f"{place}: {flag} is for {choice} {beside!r}, and not used for {str(context.params[choice])!r}",
            )


def below(context: Any) -> Iterator[Any]:
    """Yield a context, and those of all commands below its own."""
    yield context
    for name, command in getattr(context.command, "commands", {}).items():
        yield from below(type(context)(command, parent=context, info_name=name))


def unknown(root: Any, environment: Iterable[str]) -> Iterator[str]:
    """Say of each variable that looks like a setting and sets no option so, with the nearest that does."""
    given = [name for name in environment if name.startswith(f"{ENVIRONMENT}_") and name not in _OTHERS]
    known = [_of_environment(each, parameter) for each in below(root) for parameter in each.command.params if given]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *_OTHERS], n=1)
            yield f"{name} sets no option" + (f"; did you mean {close[0]}?" if close else "")


def faults(root: Any) -> Iterator[tuple[str, str]]:
    """Yield the place of every value that its option does not take, and what is wrong with it."""
    for context, parameter in ((each, parameter) for each in below(root) for parameter in each.command.params):
        place = _of_environment
        try:
            if (value := parameter.value_from_envvar(context)) is None:
                place, value = _of_file, context.lookup_default(parameter.name)
            if value is not None:
                parameter.type_cast_value(context, value)
        except Exception as error:  # Click's own are told by what they can do, as in app.py
            explain = getattr(error, "format_message", None)
            yield place(context, parameter), explain() if explain else str(error)


def _names(message: str, parameter: Any) -> bool:
    return any(re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", message) for flag in parameter.opts)


def _of_environment(context: Any, parameter: Any) -> str:
    return f"{context.auto_envvar_prefix}_{parameter.name.upper()}"


def _of_file(context: Any, parameter: Any) -> str:
    verbs = context.command_path.split()[1:]
    return f"{FILE} [{'.'.join(verbs)}]" if verbs else str(FILE)


_PLACES = {"ENVIRONMENT": _of_environment, "DEFAULT_MAP": _of_file}


def _require_shallow(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(_MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ValueError("it is nested too deeply")
