"""The field's named splits of CIFAR-10 into queries, training images and database, as lists with digests."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.engine import files, images
from ganhash_cli.engine.images import Collection, Entry
from ganhash_cli.errors import InputError, UsageError

PARTS = ("query", "train", "database")
QUERIES, TRAINING = 100, 500  # of each class, in P1 and P1'
CLASSES, IN_TRAIN, IN_TEST = 10, 5_000, 1_000  # what an unpacked CIFAR-10 holds, each class


@dataclass(frozen=True)
class Protocol:
    """One split: the images of each part, by `part_of(place in the class, in the official test set)`."""

    name: str
    official_test: bool
    training_in_database: bool

    def parts(self, place: int, *, in_test: bool) -> tuple[str, ...]:
        """Return the parts an image belongs to: `place` is its number in the shuffled order of its class."""
        if self.official_test:
            return ("query",) if in_test else ("train", "database")
        if place < QUERIES:
            return ("query",)
        if place < QUERIES + TRAINING:
            return ("train", "database") if self.training_in_database else ("train",)
        return ("database",)


PROTOCOLS = {
    "cifar10-p1": Protocol("cifar10-p1", official_test=False, training_in_database=False),
    "cifar10-p1prime": Protocol("cifar10-p1prime", official_test=False, training_in_database=True),
    "cifar10-p2": Protocol("cifar10-p2", official_test=True, training_in_database=True),
}


def write(name: str, folder: Path) -> dict[str, str]:
    """Write the lists of a protocol into an unpacked CIFAR-10, and return the SHA-256 of each.

    `folder` holds `train/CLASS/*` (5,000 each) and `test/CLASS/*` (1,000 each). The lists are NAME-query.csv,
    NAME-train.csv and NAME-database.csv, `path,label`; NAME.json has their digests. The same on every machine:
    images are shuffled by the SHA-256 of their names.

    Raises `UsageError` for another protocol and `InputError` where the folder is no CIFAR-10.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol named {name!r}", hint=f"there are: {', '.join(PROTOCOLS)}")
    rows: dict[str, list[tuple[str, str]]] = {part: [] for part in PARTS}
    for label, paths in _by_class(images.from_folder(folder)).items():
        for place, path in enumerate(sorted(paths, key=shuffled)):
            for part in PROTOCOLS[name].parts(place, in_test=path.startswith("test/")):
                rows[part].append((path, label))
    digests = {part: _write_list(folder / f"{name}-{part}.csv", rows[part]) for part in PARTS}
    counts = {part: len(rows[part]) for part in PARTS}
    files.write_json(folder / f"{name}.json", {"protocol": name, "images": counts, "sha256": digests})
    return digests


def _by_class(found: Collection) -> dict[str, list[str]]:
    """Group train/CLASS/NAME and test/CLASS/NAME by class, and check that all 60,000 are there."""
    classes: dict[str, list[str]] = {}
    for path in _names(found.entries):
        part, *label = path.split("/")[:-1]
        if part in ("train", "test") and len(label) == 1:
            classes.setdefault(label[0], []).append(path)
    counts = {(sum(path.startswith("train/") for path in paths), len(paths)) for paths in classes.values()}
    if len(classes) != CLASSES or counts != {(IN_TRAIN, IN_TRAIN + IN_TEST)}:
        raise InputError(
            f"{found.root.decode(errors='replace')} is no unpacked CIFAR-10: found {len(classes)} classes and"
            f" {sum(map(len, classes.values())):,} images in train/CLASS and test/CLASS",
            hint=f"it must hold {CLASSES} classes with {IN_TRAIN:,} images in train/ and {IN_TEST:,} in test/ each",
        )
    return dict(sorted(classes.items()))


def _names(entries: Iterable[Entry]) -> list[str]:
    return [entry.path.decode(errors="surrogateescape") for entry in entries]


def shuffled(path: str) -> str:
    """Return what the images of a class are ordered by: nothing but the SHA-256 of their names."""
    return hashlib.sha256(f"cifar10/{path}".encode(errors="surrogateescape")).hexdigest()


def _write_list(file: Path, rows: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "label"), *sorted(rows)])
    with files.atomic_write(file) as stream:
        stream.write(text.getvalue().encode())
    return files.sha256(file)
