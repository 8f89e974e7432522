"""What the working folder holds, and whether its parts belong together: reads descriptions and headers only.

What reads them is imported where it is needed, since a package it needs may be missing here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ganhash_cli.engine import sample
from ganhash_cli.errors import CorruptError, GanhashError, InputError

_MOST_FOLDERS = 100  # looked into below each folder

State = Literal["absent", "unfinished", "other", "whole", "damaged", "unreadable", "unknown"]


@dataclass(frozen=True)
class Holding:
    """One of fakes/, model/ and codes.h5; `facts` are figures and names of plugins, never those of files.

    "other" is what none of our commands made, "unreadable" what the system does not let us read, "unknown" what
    cannot be read without the module `needs`. `images` are the words that name the images it was made of in a command,
    none for the bundled sample. `digest` must be equal where two belong together; `detail` is what is
    wrong, and may hold names of files.
    """

    state: State
    facts: dict[str, int | str] = field(default_factory=dict)
    images: tuple[str, ...] = ("IMAGES",)
    digest: str = ""
    detail: str = ""
    needs: str = ""


@dataclass(frozen=True)
class Holdings:
    """All three, and which do not belong together; None where one of the two says nothing."""

    fakes: Holding
    model: Holding
    codes: Holding
    model_is_of_the_fakes_images: bool | None
    codes_are_the_models: bool | None
    folders: tuple[str, ...] = ()
    """The folders here that hold images of the person's."""


def look(fakes: Path, model: Path, codes: Path) -> Holdings:
    """Read what stands at these three places."""
    found = {"fakes": _look(_fakes, fakes), "model": _look(_model, model), "codes": _look(_codes, codes)}
    trained_on = str(found["model"].facts.pop("training_digest", ""))
    return Holdings(
        **found,
        model_is_of_the_fakes_images=_equal(found["fakes"].digest, trained_on),
        codes_are_the_models=_equal(found["codes"].digest, found["model"].digest),
        folders=_image_folders({fakes, model}),
    )


def _image_folders(ours: set[Path]) -> tuple[str, ...]:
    """Name the folders in this one that hold images, and this one itself; of large ones the beginning is looked at."""
    try:
        from ganhash_cli.engine.images import SUFFIXES

        there = sorted(path for path in Path().iterdir() if not path.name.startswith("."))
    except (ImportError, OSError):
        return ()

    def holds(files: Iterable[str]) -> bool:
        return any(os.path.splitext(name)[1].lower() in SUFFIXES for name in files)

    folders = [path for path in there if path.is_dir() and path not in ours and not (path / "fakes.json").exists()]
    walks = [(path, islice(os.walk(path), _MOST_FOLDERS)) for path in folders]
    below = [str(path) for path, walk in walks if any(holds(files) for _, _, files in walk)]
    return (*(["."] if holds(path.name for path in there if path.is_file()) else []), *below)


def _look(read: Callable[[Path], Holding], path: Path) -> Holding:
    try:
        return read(path)
    except (InputError, OSError) as error:
        return Holding("unreadable", detail=str(error))
    except GanhashError as error:
        return Holding("damaged", detail=error.message)
    except ImportError as error:
        return Holding("unknown", detail=str(error), needs=(error.name or "").partition(".")[0])


def _fakes(folder: Path) -> Holding:
    if not folder.exists():
        return Holding("absent")
    from ganhash_cli.engine.fakes import DESCRIPTION, WORK, Fakes

    if not (folder / DESCRIPTION).exists():
        return Holding("unfinished" if (folder / WORK).exists() else "other")
    found = Fakes.read(folder)
    return Holding(
        "whole",
        {"images": len(found.images), **_name(found.record.get("generator"), "generator")},
        images=sample.words(found.record.get("source")),
        digest=found.training_digest,
    )


def _model(folder: Path) -> Holding:
    if not folder.exists():
        return Holding("absent")
    from ganhash_cli.engine.bundle import CHECKPOINTS, DESCRIPTION, ONNX, Bundle

    if not (folder / DESCRIPTION).exists():
        if (folder / CHECKPOINTS).exists():
            return Holding("unfinished")
        if (folder / ONNX).exists():
            return Holding("damaged", detail=f"{folder / DESCRIPTION} is missing")
        return Holding("other")
    found = Bundle.open(folder)
    try:
        for file in found.files:
            found.verified(file)
    except CorruptError as error:
        return Holding("damaged", images=sample.words(found.source), detail=error.message)
    facts: dict[str, int | str] = {"bits": found.bits, "pixels": found.side, **_name(found.backbone, "backbone")}
    return Holding(
        "whole",
        {**facts, "training_digest": found.training_digest},
        images=sample.words(found.source),
        digest=found.fingerprint,
    )


def _codes(path: Path) -> Holding:
    if not path.exists():
        return Holding("unfinished" if path.with_name(f"{path.name}.work").exists() else "absent")
    from ganhash_cli.engine.codes import read_header

    header, images = read_header(path)
    return Holding("whole", {"images": images, "bits": header.bits}, digest=header.fingerprint)


def _name(identity: Any, key: str) -> dict[str, str]:
    name = identity.get("name") if isinstance(identity, dict) else None
    return {key: name} if isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) else {}


def _equal(one: str, other: str) -> bool | None:
    return one == other if one and other else None
