"""Options that several verbs share, so that they read and behave alike everywhere."""

import os
import shlex
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ganhash_cli import console
from ganhash_cli.commands import completion
from ganhash_cli.engine import ranks
from ganhash_cli.errors import GanhashError, Interrupted

T = TypeVar("T")


class DeviceName(StrEnum):
    """Where torch computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class PrecisionName(StrEnum):
    """Arithmetic of torch's forward passes."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, one object a line.")]
Nul = Annotated[bool, typer.Option("-0", help="Names on stdin are separated by NUL. In settings: nul.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run made.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")]
DeviceOption = Annotated[
    DeviceName, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="<int>", min=0, help="Decides every random choice.")]
JoinTimeout = Annotated[
    float,
    typer.Option(
        help="Seconds that the processes started by torchrun wait for each other.", min=0.1, hidden=not ranks.started()
    ),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="Folder made by `ganhash train`.")]
Codes = Annotated[Path, typer.Option("--codes", help="Codes file made by `ganhash encode`.")]
Untrusted = Annotated[
    bool,
    typer.Option(
        "--untrusted",
        help="The codes are from strangers: check all of them first, in a process of little memory and time.",
    ),
]
AllowOverlap = Annotated[
    bool, typer.Option("--allow-overlap", help="Count queries that stand in the database or were trained on.")
]
Collection = Annotated[str, typer.Option("--name", help="Which collection, such as a table, of the index.")]
IndexUrl = Annotated[
    str | None,
    typer.Option(
        "--index",
        metavar="URL",
        help="Where `ganhash push` brought the codes, in place of a codes file.",
        show_default=False,
    ),
]
IndexOptions = Annotated[
    list[str] | None,
    typer.Option(
        "-I",
        metavar="NAME=VALUE",
        help="An option of the index at a URL; `ganhash plugins show index NAME` lists them. In settings: option.",
        show_default=False,
        autocompletion=completion.index_options,
    ),
]
Images = Annotated[
    str | None,
    typer.Argument(
        help="A folder (sub-folders are labels), a CSV `path,label,…`, or `-` for names on stdin. "
        "Without it: the bundled sample.",
        show_default=False,
    ),
]


def examine(untrusted: bool, *codes: Path) -> None:
    """Have codes files read by processes with limits before they are opened here, where they are not trusted."""
    if untrusted:
        from ganhash_cli.engine.untrusted import require_harmless

        for path in codes:
            require_harmless(path)


def look_at(places: Iterable[Path], look: Callable[[Path], T]) -> tuple[list[T], list[GanhashError]]:
    """Return what `look` finds at each place, and its refusals: one place stops no other."""
    found, refused = list[T](), list[GanhashError]()
    for place in places:
        try:
            found.append(look(place))
        except Interrupted:
            raise
        except GanhashError as error:
            refused.append(error)
    return found, refused


def raise_worst(refused: list[GanhashError]) -> None:
    """Warn of all refusals but the worst, by exit code, and raise that."""
    ranked = sorted(refused, key=lambda error: error.exit_code)
    for error in ranked[:-1]:
        console.warn(console.safe(error.message))
    if ranked:
        raise ranked[-1]


def processes() -> str:
    """Return how many processes compute, where there are several."""
    return f", {ranks.count()} processes" if ranks.count() > 1 else ""


def following(verb: str, words: str, *places: tuple[str, Path, Path]) -> str:
    """Return the next command, safe to show, with each place, (option, chosen, default), that is not the default."""
    named = [f" {option} {shlex.quote(os.fspath(chosen))}" for option, chosen, default in places if chosen != default]
    return console.safe(f"ganhash {verb} {words}".rstrip() + "".join(named))


def pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """Read the NAME=VALUE texts after `flag`."""
    from ganhash_cli.plugin.options import split_pairs

    return split_pairs(given or [], flag)
