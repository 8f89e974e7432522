"""A folder, a CSV or a list of names → entries, and a whole collection → decoded images.

Names are kept as the exact bytes of the file system, relative to a root.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import math
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import csv_list, decoders, decoding, files, wording
from ganhash_cli.engine.csv_list import QUERY_SPLITS, SPLITS, TRAINING_SPLITS
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.shards import Shard
from ganhash_cli.errors import InputError, UsageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
OUR_FAKES = (b"fakes.json", b".work/plan.json")
"""What marks a folder of fakes, finished or not, which is no folder of training images."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that say that no file has a name; others say nothing of the file, such as those of a disk that fails."""
_IN_MEMORY_BYTES = 2 << 30  # above this, decoded images lie in a temporary file that the system pages in


@dataclass(frozen=True, slots=True)
class Entry:
    """One image by name: bytes relative to the root, and what tells later whether the file has changed."""

    path: bytes
    size: int
    mtime_ns: int
    labels: tuple[int, ...] = ()
    split: str = ""


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and why."""

    path: bytes
    reason: str
    split: str = ""


@dataclass(frozen=True)
class Collection:
    """The images of one source in the byte order of their paths; `labels` index `class_names`.

    With a `shard` they are those of that part, but `class_names` are those of all. `unread` are folders that are there
    but could not be listed, and `unseen` are files that are there but could not be looked at. `queries` are those that
    a list names beside them.
    """

    root: bytes
    entries: tuple[Entry, ...]
    class_names: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    shard: Shard | None = None
    unread: tuple[bytes, ...] = ()
    unseen: tuple[Entry, ...] = ()
    queries: frozenset[bytes] = frozenset()

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return any(entry.labels for entry in self.entries)

    @property
    def multi_label(self) -> bool:
        """Whether any image has more than one label."""
        return any(len(entry.labels) > 1 for entry in self.entries)

    def file(self, entry: Entry) -> bytes:
        """Return the path of an entry's file."""
        return os.path.join(self.root, entry.path)


@dataclass(frozen=True)
class Pixels:
    """Decoded images, (N, side, side, 3) RGB bytes, beside their entries; the rest is in `skipped`."""

    array: NDArray[np.uint8]
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]


def collect(source: Path) -> Collection:
    """List the images of a folder (its sub-folders are labels), of a `.csv` list, or one image file."""
    if source.is_dir():
        return from_folder(source)
    require_there(source)
    if source.suffix.lower() == ".csv":
        return from_csv(source)
    return from_names([os.fsencode(source)])


def require_there(source: Path) -> None:
    """Raise `InputError` where nothing has this name."""
    if not source.exists():
        raise InputError(f"{source} does not exist", hint="name a folder of images, a .csv list or an image")


def is_file(source: Path) -> bool:
    """Whether `source` names one image, and neither a folder nor a list."""
    return not source.is_dir() and source.suffix.lower() != ".csv"


def from_folder(folder: Path) -> Collection:
    """List a folder recursively; the first folder below is the label.

    Links to folders are not followed, and fakes of an earlier run that lie below are no images of the folder.
    """
    root = os.path.realpath(os.fsencode(folder))
    unreadable: list[OSError] = []
    start = len(os.path.join(root, b""))
    names = [file[start:] for file in _walk(root, unreadable) if _suffix(file) in SUFFIXES]
    folders = sorted({name.split(b"/")[0] for name in names if b"/" in name})
    number = {name: (index,) for index, name in enumerate(folders)}
    labels = [number[name.split(b"/")[0]] if b"/" in name else () for name in names]
    class_names = tuple(map(class_name, folders))
    for one, other in itertools.pairwise(sorted(class_names)):
        if one == other:  # a name that is not UTF-8, and one that reads as we show such
            raise UsageError(
                f"two folders in {os.fsdecode(root)} would be one class, {one!r}", hint="rename one of them"
            )
    refused = [Skipped(os.path.relpath(e.filename, root), e.strerror or str(e)) for e in unreadable]
    found = _collection(root, zip(names, labels, [""] * len(names), strict=True), class_names, refused)
    there = [bad.path for bad, e in zip(refused, unreadable, strict=True) if not isinstance(e, FileNotFoundError)]
    return replace(found, unread=tuple(there))


def class_name(folder: bytes) -> str:
    """Return what the class of a folder's images is called."""
    return folder.decode(errors="backslashreplace")


def from_names(names: Iterable[bytes]) -> Collection:
    """List images by name, without labels, relative to the current folder or, if one lies outside, to `/`.

    A name may lead into the current folder by a link, as `$PWD` does where it was entered by one.
    """
    here = os.path.join(os.path.realpath(b"."), b"")
    real = functools.cache(os.path.realpath)

    def below(file: bytes) -> bytes:
        folder, name = os.path.split(file)
        return file if file.startswith(here) or b"\0" in folder else os.path.join(real(folder), name)

    absolute = [os.path.abspath(name) for name in names]
    inside = [below(file) for file in absolute]
    if all(file.startswith(here) for file in inside):
        root, relative = here.rstrip(b"/") or b"/", [file.removeprefix(here) for file in inside]
    else:
        root, relative = b"/", [os.path.relpath(file, b"/") for file in absolute]
    return _collection(root, ((name, (), "") for name in dict.fromkeys(relative)), ())


def from_csv(file: Path) -> Collection:
    """List the images that a CSV names; see `csv_list.read` for its form."""
    return _collection(*csv_list.read(file))


def training_part(collection: Collection) -> Collection:
    """Return the images that training may see, all but those whose CSV row names another split, and their classes."""
    return _part(collection, TRAINING_SPLITS)


def query_part(collection: Collection) -> Collection:
    """Return the images that a CSV marks as queries, and their classes; all, where it marks none."""
    found = _part(collection, QUERY_SPLITS)
    return found if found.entries or found.skipped or found.unseen else collection


def database_part(collection: Collection) -> Collection:
    """Return the images that are searched, all but those that a CSV marks as queries, and their classes.

    Raises `InputError` where it marks all of them so.
    """
    found = _part(collection, tuple(split for split in SPLITS if split not in QUERY_SPLITS))
    if collection.entries and not found.entries and not found.skipped:
        raise InputError(
            f"the list marks {wording.counted(len(collection.entries), 'image')} as {' or '.join(QUERY_SPLITS)},"
            " and none to be searched",
            hint="leave the split of the database empty, or write database",
        )
    marked = {entry.path for entry in collection.entries if entry.split in QUERY_SPLITS}
    return replace(found, queries=collection.queries | marked)


def _part(collection: Collection, splits: Sequence[str]) -> Collection:
    """Return the images of some splits, what of these was left out, and their classes."""
    entries = tuple(entry for entry in collection.entries if entry.split in splits)
    unseen = tuple(entry for entry in collection.unseen if entry.split in splits)
    skipped = tuple(each for each in collection.skipped if each.split in splits)
    seen = sorted({label for entry in (*entries, *unseen) for label in entry.labels})
    if len(seen) < len(collection.class_names):
        number_of = {label: number for number, label in enumerate(seen)}
        entries, unseen = (
            tuple(replace(entry, labels=tuple(number_of[label] for label in entry.labels)) for entry in some)
            for some in (entries, unseen)
        )
    class_names = tuple(collection.class_names[label] for label in seen)
    return replace(collection, entries=entries, unseen=unseen, skipped=skipped, class_names=class_names)


def shard_of(collection: Collection, shard: Shard) -> Collection:
    """Return the images of one shard, which may be none; `InputError` where the whole has none."""
    if not collection.entries:
        raise nothing_usable(collection, collection.skipped)
    entries = tuple(entry for entry in collection.entries if shard.holds(entry.path))
    # What a folder that cannot be listed holds is not known: images of every shard may be among it.
    skipped = tuple(each for each in collection.skipped if each.path in collection.unread or shard.holds(each.path))
    return replace(collection, entries=entries, skipped=skipped, shard=shard)


class Digests(NamedTuple):
    """SHA-256 of a list of images: of `contents` with labels, and of these in their `order` with their splits.

    The first binds fakes to the images they were made from, under whatever names; the second a training to what it
    sees.
    """

    contents: str
    order: str


def digests(collection: Collection) -> Digests:
    """Read every image once; a file that cannot be opened counts for nothing, as it gives no image either."""
    lines, splits = [], []
    for entry in collection.entries:
        try:
            with open(collection.file(entry), "rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            continue
        lines.append("\t".join((content, *(collection.class_names[label] for label in entry.labels))))
        splits.append(entry.split)
    contents = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return Digests(contents, files.json_digest({"lines": lines, "splits": splits}))


def content_digest(collection: Collection) -> str:
    """Return a SHA-256 over the contents and labels of the images, whatever their names and order."""
    return digests(collection).contents


def short_sides(collection: Collection, most: int = 200) -> NDArray[np.int64]:
    """Return the short sides, in pixels, of up to `most` evenly chosen images, read from their headers."""
    step = max(1, -(-len(collection.entries) // most))
    sides = []
    for entry in collection.entries[::step]:
        try:
            with decoding.open_checked(collection.file(entry)) as image:
                sides.append(min(image.size))
        except Undecodable:
            continue
    return np.array(sides, dtype=np.int64)


def load(collection: Collection, side: int, *, strict: bool = False, scratch: Path | None = None) -> Work[Pixels]:
    """Decode a whole collection to squares; a bad file is skipped, or with `strict` an `InputError`.

    Up to 2 GiB stay in memory; more lies in an unnamed temporary file in `scratch`.
    """
    shape = (len(collection.entries), side, side, 3)
    if np.prod(shape, dtype=np.int64) <= _IN_MEMORY_BYTES:
        array = np.empty(shape, np.uint8)
    else:
        with tempfile.TemporaryFile(dir=scratch) as stream:
            with files.storage_errors(Path(scratch or tempfile.gettempdir())):
                _reserve(stream.fileno(), math.prod(shape))
            array = np.memmap(stream, np.uint8, "w+", shape=shape)
    entries: list[Entry] = []
    skipped = list(collection.skipped)
    paths = [collection.file(entry) for entry in collection.entries]
    for index, (entry, result) in enumerate(zip(collection.entries, decoders.squares(paths, side), strict=True)):
        if isinstance(result, Undecodable):
            skipped.append(refuse(entry.path, str(result), strict=strict))
        else:
            array[len(entries)] = result
            entries.append(entry)
        if index % 64 == 63 or index + 1 == len(paths):
            yield Progress("reading images", index + 1, len(paths), unit="images")
    if not entries:
        raise nothing_usable(collection, skipped)
    return Pixels(array[: len(entries)], tuple(entries), tuple(skipped))


def _reserve(file: int, size: int) -> None:
    """Give a file its space on the disk: a page that finds none later would kill the process without a word."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)


def refuse(path: bytes, reason: str, *, strict: bool) -> Skipped:
    """Note a skipped image, or raise `InputError` where nothing may be skipped."""
    if strict:
        raise InputError(f"{os.fsdecode(path)}: {reason}", hint="leave out --strict to skip such files")
    return Skipped(path, reason)


def nothing_usable(collection: Collection, skipped: Iterable[Skipped] = ()) -> InputError:
    """Say that a source holds no image that can be read."""
    root, bad = os.fsdecode(collection.root), list(skipped)
    looked = f"looked for {', '.join(sorted(SUFFIXES))}"
    if bad:
        first = f"{os.fsdecode(bad[0].path)}: {bad[0].reason}"
        looked = f"of {wording.counted(len(bad), 'image file')} none can be read; {first}"
    lists = "; paths in a CSV are relative to its own folder" if bad else ""
    return InputError(f"{root} holds no usable image ({looked})", hint=f"name a folder that holds images{lists}")


def _collection(
    root: bytes,
    rows: Iterable[tuple[bytes, tuple[int, ...], str]],
    class_names: tuple[str, ...],
    refused: Iterable[Skipped] = (),
) -> Collection:
    entries, skipped, unseen = [], list(refused), []
    for name, labels, split in sorted(rows):
        try:
            status = os.stat(os.path.join(root, name))
        except (OSError, ValueError) as error:
            fault = wording.fault(error) if isinstance(error, OSError) else str(error)
            skipped.append(Skipped(name, fault, split))
            if isinstance(error, OSError) and error.errno not in _GONE:
                unseen.append(Entry(name, 0, 0, labels, split))
            continue
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device would be waited for without end
            skipped.append(Skipped(name, "not a regular file", split))
            continue
        entries.append(Entry(name, status.st_size, files.mtime_ns(status), labels, split))
    return Collection(root, tuple(entries), class_names, tuple(skipped), unseen=tuple(unseen))


def _walk(root: bytes, unreadable: list[OSError]) -> Iterator[bytes]:
    """Yield every file below a folder; a list of folders bears trees that are deeper than Python's stack."""
    waiting = [root]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    if entry.name.startswith(b"."):
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry.path
                    elif not holds_fakes(entry.path):
                        waiting.append(entry.path)
        except OSError as error:
            unreadable.append(error)


def holds_fakes(folder: bytes) -> bool:
    """Whether `folder` is one of ours, made by `ganhash generate`, finished or not."""
    return any(os.path.exists(os.path.join(folder, mark)) for mark in OUR_FAKES)


def _suffix(name: bytes) -> str:
    return os.path.splitext(name)[1].decode("ascii", errors="replace").lower()
