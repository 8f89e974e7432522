"""fakes/, model/ or codes.h5 → what of it was compared with its SHA-256, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ganhash_cli.engine import bundle, codes, fakes, files, outputs, sample
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.errors import CorruptError, GanhashError, InputError

_FEW = 100  # parts that are checked at once; a bar for them would only be noise

Kind = Literal["fakes", "model", "codes"]
_DESCRIPTIONS = {"model": bundle.DESCRIPTION, "fakes": fakes.DESCRIPTION}
Check = Callable[[], object]


@dataclass(frozen=True)
class Verified:
    """What was found: how many `parts` (files of a folder, datasets of codes.h5) were compared, and what is wrong.

    `images` are the words that name the images it was made of in a command, none for the bundled sample.
    """

    kind: Kind
    path: Path
    parts: int
    wrong: tuple[str, ...]
    images: tuple[str, ...]


def verify(path: Path) -> Work[Verified]:
    """Compare everything in `path` with its SHA-256; `InputError` where it is neither fakes, a model nor codes."""
    kind = kind_of(path)
    wrong: list[str] = []
    done = 0
    try:
        for total, check in _CHECKS[kind](path):
            try:
                check()
            except CorruptError as error:
                wrong.append(error.message)
            done += 1
            if total > _FEW:
                yield Progress(f"checking {os.fspath(path)}", done, total, unit="parts")
    except CorruptError as error:  # the description itself, without which nothing else can be compared
        wrong.append(error.message)
    return Verified(kind, path, done, tuple(wrong), () if kind == "codes" else _images(path / _DESCRIPTIONS[kind]))


def kind_of(path: Path) -> Kind:
    """Return what `path` is by the file that marks it; a damaged codes file is known by its name."""
    if not path.exists():
        raise InputError(f"{path} does not exist", hint="name a fakes folder, a model folder or a codes file")
    if (path / bundle.DESCRIPTION).exists():
        return "model"
    if (path / fakes.DESCRIPTION).exists():
        return "fakes"
    if path.is_file() and (path.suffix.lower() in outputs.CODES.suffixes or _begins_like_hdf5(path)):
        return "codes"
    require_finished(path)
    raise InputError(
        f"{path} is neither a finished folder of fakes, nor a trained model, nor a codes file",
        hint="`ganhash generate` makes fakes/, `ganhash train` makes model/, `ganhash encode` makes codes.h5",
    )


def require_finished(path: Path) -> None:
    """Raise `InputError` for a folder of fakes or a model that is only begun."""
    if (path / fakes.WORK).exists() or (path / bundle.CHECKPOINTS).exists():
        raise InputError(f"{path} is unfinished", hint="the command that began it goes on with it, then look again")


def _images(description: Path) -> tuple[str, ...]:
    try:
        source = files.read_json(description).get("source")
    except GanhashError:
        source = None
    return (source,) if isinstance(source, str) and os.path.exists(source) else sample.words(source)


def _begins_like_hdf5(path: Path) -> bool:
    with files.read_errors(path), path.open("rb") as stream:
        return stream.read(len(outputs.HDF5_SIGNATURE)) == outputs.HDF5_SIGNATURE


def _of_fakes(folder: Path) -> Iterator[tuple[int, Check]]:
    """Give a check for each file; the description is checked by being read."""
    found = Fakes.read(folder)
    total = len(found.digests) + 1
    yield total, lambda: None
    for name in found.digests:
        yield total, partial(found.require_sound, name)


def _of_model(folder: Path) -> Iterator[tuple[int, Check]]:
    found = Bundle.open(folder)
    total = len(found.files) + 1
    yield total, lambda: None
    for file in found.files:
        yield total, partial(found.verified, file)


def _of_codes(path: Path) -> Iterator[tuple[int, Check]]:
    with codes.open_codes(path) as stored:
        total = len(stored.columns)
        for name in stored.columns:
            yield total, partial(stored.require_sound, name)
        stored.require_sense()


_CHECKS: dict[Kind, Callable[[Path], Iterator[tuple[int, Check]]]] = {
    "fakes": _of_fakes,
    "model": _of_model,
    "codes": _of_codes,
}
