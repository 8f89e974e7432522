"""A factory's keyword-only arguments are its options: read, parsed and refused."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin.options import Option, options_of, parse_options, split_pairs


class Factory:
    def __init__(
        self, fact: int, *, width: int = 8, rate: float = 0.5, flag: bool = True, file: str | None = None
    ) -> None: ...


def parse(**given: str) -> dict[str, Any]:
    return parse_options(Factory, given, "backbone 'odd'")


def test_only_keyword_only_arguments_are_options() -> None:
    assert [option.name for option in options_of(Factory)] == ["width", "rate", "flag", "file"]


def test_an_option_knows_its_types_and_default() -> None:
    assert options_of(Factory)[3] == Option("file", (str, type(None)), None)


def test_nothing_given_means_all_defaults() -> None:
    assert parse() == {"width": 8, "rate": 0.5, "flag": True, "file": None}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("width", "16", 16),
        ("rate", "1e-3", 1e-3),
        ("flag", "no", False),
        ("flag", "TRUE", True),
        ("file", "a=b.safetensors", "a=b.safetensors"),
        ("file", "none", None),
    ],
)
def test_a_text_becomes_the_options_type(name: str, text: str, value: object) -> None:
    assert parse(**{name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("width", "1.5", "int"),
        ("rate", "fast", "float"),
        ("rate", "nan", "float"),
        ("rate", "-inf", "float"),
        ("flag", "maybe", "bool"),
    ],
)
def test_a_text_of_another_type_is_refused_with_the_type_wanted(name: str, text: str, wanted: str) -> None:
    with pytest.raises(UsageError, match=f"{name}={text}: expected {wanted}"):
        parse(**{name: text})


def test_an_unknown_option_brings_the_closest_and_all_as_a_hint() -> None:
    with pytest.raises(UsageError, match="has no option 'widht'; did you mean 'width'") as raised:
        parse(widht="8")
    assert raised.value.hint == "its options: width, rate, flag, file"


def takes_anything(**options: int) -> None: ...
def takes_any_number(*sizes: int) -> None: ...
def has_no_default(*, width: int) -> None: ...
def wants_a_list(*, widths: list[int] = []) -> None: ...  # noqa: B006 (what a stranger may write)
def wants_a_literal(*, norm: Literal["batch", "layer"] = "batch") -> None: ...
def wants_what_is_not_there(*, width: "Missing" = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "factory",
    [
        takes_anything,
        takes_any_number,
        has_no_default,
        wants_a_list,
        wants_a_literal,
        wants_what_is_not_there,
    ],
)
def test_a_signature_outside_the_contract_is_the_plugins_fault(factory: Callable[..., None]) -> None:
    with pytest.raises(PluginError, match=f"plugin {factory.__name__}"):
        options_of(factory)


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert split_pairs(["file=a=b", "my-width = 3"], "-B") == {"file": "a=b", "my_width": "3"}


@pytest.mark.parametrize("pair", ["width", "=3"])
def test_a_pair_without_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=VALUE"):
        split_pairs([pair], "-B")
