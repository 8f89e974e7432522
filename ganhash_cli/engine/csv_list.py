"""A CSV that lists images → their paths, labels and splits; whether the files are there is not looked at."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, TextIO

from ganhash_cli.engine import wording
from ganhash_cli.errors import InputError, UsageError

VALIDATION_SPLIT = "val"
TRAINING_SPLITS = ("", "train", VALIDATION_SPLIT)
QUERY_SPLITS = ("test", "query")
SPLITS = (*TRAINING_SPLITS, *QUERY_SPLITS, "database")
_SPLIT_NAMES = f"{', '.join(SPLITS[1:-1])} or {SPLITS[-1]}"


class Listed(NamedTuple):
    """What a CSV names: (path relative to `root`, indices into `class_names`, split) of each image, in its order."""

    root: bytes
    rows: list[tuple[bytes, tuple[int, ...], str]]
    class_names: tuple[str, ...]


def read(file: Path) -> Listed:
    """Read a CSV with a header: `path`, any number of `label` columns, and an optional `split`.

    Paths are relative to the folder of the CSV and may not leave it; they may be any bytes, but labels are UTF-8.
    Several labels, in one row or in several of one path, make it multi-label.
    """
    root = os.path.realpath(os.fsencode(file.parent))
    rows: dict[bytes, tuple[frozenset[str], str, int]] = {}
    with _opened(file) as binary:
        _require_eight_bits(binary.peek(4)[:4], file)
        stream = io.TextIOWrapper(binary, newline="", encoding="utf-8-sig", errors="surrogateescape")
        reader = _lines(stream, file)
        header = [name.strip().lower() for name in next(reader, (1, []))[1]]
        if not header or header[0] != "path" or set(header) - {"path", "label", "split"}:
            raise UsageError(
                f"{file}: the first line is {','.join(header)[:200]!r}",
                hint="it must read path,label[,label…][,split]",
            )
        for number, row in reader:
            if not any(map(str.strip, row)):
                continue
            if len(row) > len(header):
                raise UsageError(f"{file}, line {number}: {len(row)} fields, but the header has {len(header)}")
            name = _inside(row[0], root, file, number)
            labels, split = _facts(header, row, f"{file}, line {number}")
            before, known, line = rows.get(name, (labels, split, number))
            if split != known:
                both = f"line {number} puts {row[0]!r} into the split {split!r}, line {line} into {known!r}"
                raise UsageError(f"{file}: {both}", hint="an image is in one split only")
            rows[name] = labels | before, split, line
    class_names = tuple(sorted({label for labels, _, _ in rows.values() for label in labels}))
    number_of = {name: index for index, name in enumerate(class_names)}
    numbered = [
        (name, tuple(sorted(number_of[label] for label in labels)), split) for name, (labels, split, _) in rows.items()
    ]
    return Listed(root, numbered, class_names)


def _opened(file: Path) -> BufferedReader:
    try:
        return file.open("rb")
    except OSError as error:
        raise InputError(f"{file}: {wording.fault(error)}", hint="name a folder of images or a .csv list") from error


def _lines(stream: TextIO, file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row after the number of its first line.

    A quote without its other half is refused: it would make one field of all rows that follow.
    """
    reader = csv.reader(stream, strict=True)
    first = 1
    try:
        for row in reader:
            yield first, row
            first = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{file}, line {first}: no row of a CSV begins here ({error})",
            hint='close the quotes of a field, and write "" for a quote inside; or name a folder of images',
        ) from error


def _require_eight_bits(head: bytes, file: Path) -> None:
    """Refuse a list whose first bytes are those of UTF-16, in which spreadsheets save "Unicode text"."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        raise UsageError(f"{file} is UTF-16, or no text", hint="save it as UTF-8")


def _inside(text: str, root: bytes, file: Path, number: int) -> bytes:
    """Return a path of a list relative to its folder, which it may not leave."""
    name = os.path.normpath(os.fsencode(text))
    if name.startswith(b"/"):
        for folder in (root, os.path.abspath(os.fsencode(file.parent))):
            name = name.removeprefix(os.path.join(folder, b""))
    if name.startswith((b"/", b"../")) or name == b"..":
        raise UsageError(
            f"{file}, line {number}: {text!r} lies outside {file.parent}",
            hint="a list stands in the folder of its images, or above it",
        )
    return name


def _facts(header: list[str], row: list[str], where: str) -> tuple[frozenset[str], str]:
    """Return the labels and the split of a row, without the blanks around them."""
    fields = [(column, value.strip()) for column, value in zip(header, row, strict=False)]
    labels = frozenset(value for column, value in fields if column == "label" and value)
    _require_utf8(labels, where)
    split = next((value for column, value in fields if column == "split"), "")
    if split.lower() not in SPLITS:
        raise UsageError(f"{where}: there is no split {split!r}", hint=f"leave it empty, or write {_SPLIT_NAMES}")
    return labels, split.lower()


def _require_utf8(labels: Iterable[str], where: str) -> None:
    """Refuse labels that no file of ours could hold as text; a table saved as Latin-1 is the usual cause."""
    for label in labels:
        if label != label.encode(errors="replace").decode():
            raise UsageError(f"{where}: the label '{label}' is not UTF-8", hint="save the file as UTF-8")
