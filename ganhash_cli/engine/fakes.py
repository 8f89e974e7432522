"""The folder of fakes: images by class, a grid, the generator's weights, and a description that completes it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganhash_cli.engine import files
from ganhash_cli.engine.images import Collection, Entry
from ganhash_cli.errors import CorruptError, InputError

FORMAT = "ganhash-fakes"
SCHEMA = 1
DESCRIPTION = "fakes.json"
GRID = "grid.png"
WEIGHTS = "generator.safetensors"
WORK = ".work"
SEAL = "sha256"
_AGAIN = "make the fakes again: `ganhash generate IMAGES --overwrite`, of the images they were made of"
_PLAIN = " _-+()&'!"
_NUMBERED = re.compile(r"\d{6,}")  # of fakes
_LONGEST = 200  # bytes of a folder's name; file systems allow 255


class Judgement(NamedTuple):
    """The class that a teacher takes a fake for, and the probability it gives it."""

    label: int
    score: float


@dataclass(frozen=True)
class Fake:
    """One fake: its path in the folder, the class it was drawn for or None, and its SHA-256.

    `judged` is the class that a teacher takes it for, with the probability `score`; earlier fakes have none, and their
    score is of `label`. One on the boundary of two classes is of the class `other`, too, and has no score; `share` is
    that of `label`.
    """

    path: str
    label: int | None
    score: float | None
    sha256: str
    other: int | None = None
    share: float | None = None
    judged: int | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Its classes: none, one or two."""
        return tuple(label for label in (self.label, self.other) if label is not None)

    @property
    def judgement(self) -> Judgement | None:
        """What a teacher says of it."""
        label = self.label if self.judged is None else self.judged
        return None if label is None or self.score is None else Judgement(label, self.score)


@dataclass(frozen=True)
class Fakes:
    """A whole folder of fakes, opened and checked; `record` is its description."""

    folder: Path
    record: dict[str, Any]
    images: tuple[Fake, ...]

    @classmethod
    def open(cls, folder: Path) -> Fakes:
        """Open a folder of fakes and check every image against its digest.

        Raises `InputError` where there are none, `CorruptError` where one is missing or changed.
        """
        found = cls.read(folder)
        for fake in found.images:
            found.require_sound(fake.path)
        return found

    @classmethod
    def read(cls, folder: Path) -> Fakes:
        """Read and check the description of a folder of fakes alone; its files are checked by `require_sound`."""
        if not (folder / DESCRIPTION).exists():
            raise InputError(f"{folder} holds no fakes", hint="make some with `ganhash generate IMAGES`")
        record = files.read_json(folder / DESCRIPTION)
        try:
            if record["format"] != FORMAT or record["schema"] != SCHEMA:
                raise CorruptError(f"{folder / DESCRIPTION} is of another kind or a newer version of ganhash", _AGAIN)
            if SEAL in record and record[SEAL] != _seal(record):
                raise CorruptError(f"{folder / DESCRIPTION} is damaged: its checksum is wrong", _AGAIN)
            found = cls(folder, record, tuple(Fake(**fake) for fake in record["images"]))
            found._require_inside()
        except (KeyError, TypeError) as error:
            raise CorruptError(f"{folder / DESCRIPTION} is incomplete: {error}", _AGAIN) from error
        return found

    @property
    def training_digest(self) -> str:
        """The digest of the images that the generator was trained on."""
        return str(self.record["training_digest"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, none where the generator took no classes."""
        return tuple(self.record["class_names"])

    @property
    def summary(self) -> dict[str, Any]:
        """What a model that was trained with these fakes should remember of them."""
        kept = ("generator", "settings", "training_digest", "count", "quality", "generator_sha256")
        steps = {"steps": self.record["steps"]} if "steps" in self.record else {}  # earlier fakes have none
        return {**{name: self.record[name] for name in kept}, **steps}

    @property
    def collection(self) -> Collection:
        """The fakes as images that `images.load` can read, in the byte order of their paths."""
        entries = []
        for fake in self._in_order:
            status = (self.folder / fake.path).stat()
            entries.append(Entry(os.fsencode(fake.path), status.st_size, files.mtime_ns(status), fake.labels))
        return Collection(os.path.abspath(os.fsencode(self.folder)), tuple(entries), self.class_names)

    @property
    def judgements(self) -> tuple[Judgement | None, ...]:
        """What a teacher says of each fake, in the order of the collection."""
        return tuple(fake.judgement for fake in self._in_order)

    @property
    def _in_order(self) -> list[Fake]:
        return sorted(self.images, key=lambda fake: os.fsencode(fake.path))

    @cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file but the description, by its path in the folder."""
        beside = {WEIGHTS: self.record.get("generator_sha256"), GRID: self.record.get("grid_sha256")}
        return {**{fake.path: fake.sha256 for fake in self.images}, **{n: d for n, d in beside.items() if d}}

    def require_sound(self, name: str) -> None:
        """Compare a file with its SHA-256; `CorruptError` where it is missing or differs."""
        path = self.folder / name
        if not path.is_file() or files.sha256(path) != self.digests[name]:
            raise CorruptError(f"{path} is missing or has changed", _AGAIN)

    def _require_inside(self) -> None:
        for fake in self.images:
            if ".." in Path(fake.path).parts or os.path.isabs(fake.path):
                raise CorruptError(f"{self.folder / DESCRIPTION} names an image outside the folder: {fake.path}")


def class_folder(name: str) -> str:
    """Turn a class's name into a safe name for its folder.

    >>> class_folder("T-shirt"), class_folder(".."), class_folder("a/b"), class_folder("Größe 1")
    ('T-shirt', '%2E%2E', 'a%2Fb', 'Größe 1')
    """
    plain = "".join(char if char.isalnum() or char in _PLAIN else _escape(char) for char in name)
    plain = plain if plain == plain.strip() else _escape(name)
    if len(os.fsencode(plain)) <= _LONGEST and plain:
        return plain
    raise InputError(f"the class name {name[:40]!r}… is too long for a folder", hint="shorten the name of the class")


def class_name(folder: str) -> str:
    """Turn the name of a class's folder back into the class's name.

    >>> class_name("%2E%2E"), class_name("50%25")
    ('..', '50%')
    """
    return unquote(folder)


def write_images(
    folder: Path, pixels: Iterable[NDArray[np.uint8]], labels: NDArray[np.int64] | None, class_names: tuple[str, ...]
) -> list[Fake]:
    """Write images of (S, S, 1 or 3) bytes as `CLASS/NNNNNN.png`, or `NNNNNN.png` without classes."""
    written: list[Fake] = []
    counters: dict[int | None, int] = {}
    for index, image in enumerate(pixels):
        label = None if labels is None else int(labels[index])
        number = counters[label] = counters.get(label, -1) + 1
        path = f"{number:06}.png" if label is None else f"{class_folder(class_names[label])}/{number:06}.png"
        target = folder / path
        written.append(Fake(path, label, None, _write_png(target, image)))
    return written


def complete(folder: Path, staged: Path, record: dict[str, Any], images: list[Fake]) -> Fakes:
    """Move what was made in `staged` to `folder`, in place of earlier fakes, and describe it last of all."""
    record = {"format": FORMAT, "schema": SCHEMA, **record, "grid_sha256": files.sha256(staged / GRID)}
    record["images"] = [asdict(image) for image in images]
    record[SEAL] = _seal(record)
    with files.storage_errors(folder):
        clear(folder)
        moved = {path: folder / path.relative_to(staged) for path in sorted(staged.rglob("*")) if path.is_file()}
        for path, target in moved.items():
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
        for place in {folder, *(target.parent for target in moved.values())}:
            files.sync_folder(place)  # else the description could outlive a loss of power and its images not
    files.write_json(folder / DESCRIPTION, record)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return Fakes(folder, record, tuple(images))


def clear(folder: Path) -> None:
    """Remove earlier fakes, the description first, so that what is left never looks whole; nothing else goes.

    Where there is no description that can be read, as after a kill in here, they are told by the form of their names.
    """
    try:
        images = [folder / fake.path for fake in Fakes.read(folder).images]
    except (InputError, CorruptError):
        named = (*folder.glob("*.png"), *folder.glob("*/*.png"))
        images = [path for path in named if _NUMBERED.fullmatch(path.stem) and path.parent.name != WORK]
    for name in (DESCRIPTION, GRID, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    for image in images:
        image.unlink(missing_ok=True)
    for place in {image.parent for image in images} - {folder}:
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def _seal(record: dict[str, Any]) -> str:
    """Return the digest of a description over all of it but the digest itself."""
    return files.json_digest({name: value for name, value in record.items() if name != SEAL})


def _write_png(path: Path, image: NDArray[np.uint8]) -> str:
    """Write one image, synced to the disk, and return the SHA-256 of its file."""
    content = BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(content, "PNG")
    with files.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def _escape(text: str) -> str:
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E").replace("~", "%7E")
