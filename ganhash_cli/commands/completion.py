"""What the shell offers after TAB: names of plugins, their options and the options of losses; imports none of them.

Files and folders are the shell's own business: where nothing is offered here, it offers those.
"""

import os
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import typer

from ganhash_cli.plugin import source
from ganhash_cli.plugin.options import Value
from ganhash_cli.plugin.registry import KINDS, Kind, plugins

ASKED = "_GANHASH_COMPLETE"
"""The environment variable by which a completion script asks, as Typer names it."""

_LOSSES = Path(__file__).parents[1] / "engine" / "losses"
_PLAIN = re.compile(r"[\w.-]+")  # zsh evaluates what is offered, and a stranger's plugin may hold any text
_AUGMENTATIONS = ("translation", "cutout", "color")  # engine/diffaugment.py has them, but imports torch

Offer = Iterator[tuple[str, str]]

_before_equals = ""
"""The option's name where the word that is completed is only what follows `NAME=`."""


def mend_words(environment: MutableMapping[str, str]) -> None:
    """Join what bash takes apart: to it `NAME=VALUE` are three words, and it completes the last of them."""
    global _before_equals
    if environment.get(ASKED) != "complete_bash":
        return
    words, at = environment.get("COMP_WORDS", "").split("\n"), int(environment.get("COMP_CWORD", "0"))
    if not 2 < at < len(words):
        return
    if words[at] == "=":
        before, value = words[: at - 1], ""
        name = words[at - 1]
    elif words[at] and words[at - 1] == "=":
        before, value = words[: at - 2], words[at]
        name = words[at - 2]
    else:
        return
    if name.startswith("-"):
        before = [*before, name]
    else:
        _before_equals = name
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join([*before, value]), str(len(before))


def backbones() -> Offer:
    """Offer the backbones that are installed."""
    return _names("backbone")


def generators() -> Offer:
    """Offer the generators that are installed."""
    return _names("generator")


def augmentations(incomplete: str) -> list[str]:
    """Offer the steps of DiffAugment that do not stand before the last comma yet."""
    typed = incomplete.split(",")[:-1]
    return [",".join([*typed, step]) for step in _AUGMENTATIONS if step not in typed] + ([] if typed else ["none"])


def indexes() -> list[str]:
    """Offer the ways to search a codes file; where the codes were pushed to, only the person knows."""
    return ["auto", "exact", "ivf"]


def kinds() -> list[str]:
    """Offer the kinds of plugins."""
    return list(KINDS)


def names_of_kind(ctx: typer.Context) -> Offer:
    """Offer the plugins of the kind that was typed."""
    kind = ctx.params.get("kind")
    return _names(kind) if kind in KINDS else iter(())


def backbone_options(ctx: typer.Context, incomplete: str) -> Offer:
    """Offer the options of the backbone that was typed; a name that is no plugin's is taken for a timm model's."""
    name = ctx.params.get("backbone") or "efficientnet_lite0"
    known = any(plugin.name == name for plugin in plugins("backbone"))
    return _pairs(_options("backbone", name if known else "timm"), incomplete)


def generator_options(ctx: typer.Context, incomplete: str) -> Offer:
    """Offer the options of the generator that was typed."""
    return _pairs(_options("generator", ctx.params.get("generator") or "sngan"), incomplete)


def index_options(incomplete: str) -> Offer:
    """Offer the options of all indexes: which of them a URL leads to, only their code knows."""
    known = [_options("index", plugin.name) for plugin in plugins("index")]
    return _pairs({name: default for options in known for name, default in options.items()}, incomplete)


def options_of_kind(ctx: typer.Context, incomplete: str) -> Offer:
    """Offer the options of the plugin whose kind and name were typed."""
    words = ctx.args  # an option that still lacks its value keeps Click from telling which argument is which
    return (
        _pairs(_options(words[0], words[1]), incomplete) if words[:1] and words[0] in KINDS and words[1:] else iter(())
    )


def loss_options(ctx: typer.Context, incomplete: str) -> Offer:
    """Offer the options of the loss that was typed: each is a function in a file of its name."""
    name = str(ctx.params.get("loss") or "triplet")
    return _pairs(_written(_LOSSES / f"{name}.py", name), incomplete)


def _names(kind: Kind) -> Offer:
    for plugin in plugins(kind):
        if _PLAIN.fullmatch(plugin.name):
            yield plugin.name, _help(f"{kind} of ", plugin.package)


def _options(kind: Kind, name: str) -> dict[str, Value]:
    for plugin in plugins(kind):
        if plugin.name == name and (match := plugin.entry.pattern.match(plugin.entry.value)):
            spec = source.module_spec(match["module"])
            if spec and spec.origin and match["attr"]:
                return _written(Path(spec.origin), match["attr"])
    return {}


def _written(file: Path, name: str) -> dict[str, Value]:
    """Read options from a source file; whoever presses TAB wants no error where it cannot be read."""
    try:
        return source.written_options(file, name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _pairs(options: dict[str, Value], incomplete: str) -> Offer:
    """Offer `NAME=` for each option, and values too once only one is meant.

    Two candidates then, so that the shell stops at their common beginning and sets no space behind `NAME=`.
    """
    if _before_equals:
        for value in _values(options.get(_before_equals)):
            yield value, ""
        return
    meant = [name for name in options if name.startswith(incomplete.partition("=")[0].replace("-", "_"))]
    for name in meant:
        yield f"{name}=", _help("default ", str(options[name]))
        if len(meant) == 1:
            for value in _values(options[name]):
                yield f"{name}={value}", ""


def _values(default: Value) -> list[str]:
    if isinstance(default, bool):
        return ["true", "false"]
    text = "none" if default is None else str(default)
    return [text] if _PLAIN.fullmatch(text) else []


def _help(what: str, text: str) -> str:
    return what + text if _PLAIN.fullmatch(text) else ""


def in_use() -> bool:
    """Whether this run only answers a shell that completes a line."""
    return ASKED in os.environ
