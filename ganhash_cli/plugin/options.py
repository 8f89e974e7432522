"""A plugin's options are the keyword-only arguments of its factory; this file reads and checks them."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ganhash_cli.errors import PluginError, UsageError

Value = bool | int | float | str | None
_PLAIN = {bool, int, float, str, type(None)}
_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True)
class Option:
    """One option: its name, the plain types it takes, and its default."""

    name: str
    types: tuple[type, ...]
    default: Value

    def parse(self, text: str) -> Value:
        """Turn what was typed into the option's type; `UsageError` where it does not fit."""
        if type(None) in self.types and text.lower() in ("none", ""):
            return None
        for kind in self.types:
            try:
                if kind is bool:
                    return _WORDS[text.lower()]
                if kind is not type(None):
                    value: Value = kind(text)
                    if not isinstance(value, float) or math.isfinite(value):  # JSON knows no other, and holds it
                        return value
            except (ValueError, KeyError):
                continue
        wanted = " or ".join(kind.__name__ for kind in self.types if kind is not type(None))
        left_out = "leave it out for what it is by itself" if self.default is None else f"the default is {self.default}"
        raise UsageError(f"option {self.name}={text}: expected {wanted}", hint=left_out)


def options_of(factory: Callable[..., Any]) -> tuple[Option, ...]:
    """Read the options of a factory; `PluginError` where the signature is not the contract's."""
    try:
        hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except Exception as error:  # a stranger's annotations are evaluated, which can fail in any way
        raise PluginError(f"plugin {factory.__name__}: its annotations cannot be read: {error}") from error
    found = []
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"plugin {factory.__name__} takes *{parameter.name}; options must be named")
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if parameter.default is parameter.empty:
            raise PluginError(f"plugin {factory.__name__}: option {parameter.name} has no default")
        hint = hints.get(parameter.name, type(parameter.default))
        union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        kinds = typing.get_args(hint) if union else (hint,)
        if not {*kinds} <= _PLAIN:
            raise PluginError(f"plugin {factory.__name__}: option {parameter.name} is no plain type but {hint}")
        found.append(Option(parameter.name, kinds, parameter.default))
    return tuple(found)


def parse_options(factory: Callable[..., Any], given: Mapping[str, str], owner: str) -> dict[str, Value]:
    """Check `given` texts against the factory's options and fill in the defaults.

    >>> def tiny(*, width: int = 8, pretrained: bool = True): ...
    >>> parse_options(tiny, {"width": "16"}, "backbone 'tiny'")
    {'width': 16, 'pretrained': True}
    """
    options = {option.name: option for option in options_of(factory)}
    for name in given:
        if name not in options:
            close = difflib.get_close_matches(name, options, n=1)
            raise UsageError(
                f"{owner} has no option {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
                hint=f"its options: {', '.join(options) or 'none'}",
            )
    return {name: option.parse(given[name]) if name in given else option.default for name, option in options.items()}


def split_pairs(pairs: list[str], flag: str) -> dict[str, str]:
    """Split `name=value` texts, as they are typed after `-B` and `-G`.

    >>> split_pairs(["width=32"], "-B")
    {'width': '32'}
    """
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {pair}: expected NAME=VALUE", hint=f"for example {flag} width=32")
        result[name.strip().replace("-", "_")] = value.strip()
    return result
