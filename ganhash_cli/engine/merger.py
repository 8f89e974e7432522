"""The parts of all shards → one codes.h5, its rows in the byte order of their paths, without holding them all."""

from __future__ import annotations

import json
import operator
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, codes, codes_format, codes_stream, files
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header, pack_class_names, path_of_record
from ganhash_cli.engine.encoder import skipped_list
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.errors import CorruptError, InputError, UsageError

_CACHE_BYTES = 512 << 10  # for each column of each part: they are read from beginning to end
_BLOCK_ROWS = 1 << 16  # looked at in one go, of all parts together
_LEAST_ROWS = 64  # of one part
_COPIED = ("size", "mtime_ns", "confidence")


@dataclass(frozen=True)
class MergeReport:
    """What a merge did: `read` and `written` are bytes of the files, `skipped` the images that gave no code."""

    out: Path
    parts: int
    images: int
    bits: int
    skipped: int
    read: int
    written: int
    seconds: float


def merge(parts: Sequence[Path], out: Path, *, overwrite: bool = False) -> Work[MergeReport]:
    """Write the codes of all shards of one collection to `out`, with the digest that one `encode` of it would have.

    Raises `UsageError` where the parts are not those of one collection, `InputError` where one is missing,
    `MismatchError` where they were made by several models, `CorruptError` where one is damaged.
    """
    started = time.monotonic()
    with files.lock(out), ExitStack() as stack:
        if any(part.exists() and out.exists() and part.samefile(out) for part in parts):
            raise UsageError(f"{out} is one of the parts", hint="write to another file with -o")
        if out.exists() and not overwrite:
            raise UsageError(f"{out} is there already", hint="replace it with --overwrite, or use -o")
        opened = [stack.enter_context(codes.open_codes(part, _CACHE_BYTES)) for part in parts]
        _require_whole(opened)
        total = sum(map(len, opened))
        for number, stored in enumerate(opened):
            yield Progress("checking", number, len(opened), unit="parts")
            for name in stored.columns:
                stored.require_sound(name)
        header = replace(opened[0].header, shard=None, class_names=_class_names(opened))
        layout = _Layout.of(opened)
        done = 0
        with codes_stream.writing(out, header, layout.shapes(opened, header)) as columns:
            if layout.labelled:
                columns.append("class_names", pack_class_names(header))
            columns.append("path_offsets", np.zeros(1, np.uint64))
            if layout.multiple:
                columns.append("label_offsets", np.zeros(1, np.uint64))
            for block in _ordered([_Source(stored, header, _rows_each(opened)) for stored in opened]):
                _append(columns, block, layout)
                done += len(block.paths)
                yield Progress("merging", done, total, {"images/s": done / (time.monotonic() - started)}, "images")
        skipped = _merge_skipped(parts, out)
    return MergeReport(
        out=out,
        parts=len(opened),
        images=total,
        bits=header.bits,
        skipped=skipped,
        read=sum(stored.file_bytes for stored in opened),
        written=out.stat().st_size,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Layout:
    """How labels are stored: not at all, one an image, or several behind offsets."""

    labelled: bool
    multiple: bool

    @classmethod
    def of(cls, opened: Sequence[StoredCodes]) -> _Layout:
        return cls(
            any(stored.labelled for stored in opened), any("label_offsets" in stored.columns for stored in opened)
        )

    def shapes(self, opened: Sequence[StoredCodes], header: Header) -> dict[str, tuple[int, ...]]:
        """Return the shape of each column, in the order in which `encode` writes them."""
        total = sum(map(len, opened))
        path_bytes = sum(stored.length("path_bytes") for stored in opened)
        shapes: dict[str, tuple[int, ...]] = {"codes": (total, bits.width(header.bits)), "path_bytes": (path_bytes,)}
        shapes |= {"path_offsets": (total + 1,), **{name: (total,) for name in _COPIED}}
        if self.multiple:
            shapes |= {"labels": (sum(map(_count_labels, opened)),), "label_offsets": (total + 1,)}
        elif self.labelled:
            shapes["labels"] = (total,)
        if self.labelled:
            shapes["class_names"] = pack_class_names(header).shape
        return shapes


@dataclass(frozen=True)
class _Rows:
    """Some rows: their paths, columns, and the numbers of their labels one after the other, `counts` for each row."""

    paths: list[bytes]
    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.int32]
    counts: NDArray[np.int64]


class _Source:
    """One part, read from beginning to end; `paths` are those of the rows that come next."""

    def __init__(self, stored: StoredCodes, header: Header, rows: int) -> None:
        self.stored, self._rows = stored, rows
        self.paths: list[bytes] = []
        self._at = 0
        known = {name: number for number, name in enumerate(header.class_names)}
        numbers = [known[name] for name in stored.header.class_names]
        self._renumbered = np.array([*numbers, -1], np.int32)  # -1, no label, stays what it is

    @property
    def exhausted(self) -> bool:
        """Whether nothing comes after `paths`."""
        return self._at + len(self.paths) == len(self.stored)

    def top_up(self) -> None:
        """Read paths until there are enough; `CorruptError` where they do not rise."""
        start = self._at + len(self.paths)
        end = min(self._at + self._rows, len(self.stored))
        if start >= end:
            return
        known = len(self.paths)
        self.paths += self.stored.paths_of(start, end)
        later = islice(self.paths, known or 1, None)
        if not all(map(operator.lt, islice(self.paths, max(known - 1, 0), None), later)):
            raise _unsound(self.stored, "its paths do not rise")

    def take(self, count: int) -> _Rows:
        """Return the next rows."""
        start, end = self._at, self._at + count
        columns = {"codes": self.stored.codes[start:end]}
        columns |= {name: self.stored.read(name, start, end) for name in _COPIED}
        rows = _Rows(self.paths[:count], columns, *self._labels(start, end))
        self.paths, self._at = self.paths[count:], end
        return rows

    def _labels(self, start: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        if not self.stored.labelled:
            return np.empty(0, np.int32), np.zeros(end - start, np.int64)
        if "label_offsets" in self.stored.columns:
            offsets = self.stored.read("label_offsets", start, end + 1).astype(np.int64)
            numbers, counts = self.stored.read("labels", int(offsets[0]), int(offsets[-1])), np.diff(offsets)
        else:
            row = self.stored.read("labels", start, end)
            numbers, counts = row[row != -1], (row != -1).astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self._renumbered) - 1:
            raise _unsound(self.stored, "a label is out of range")
        return self._renumbered[numbers], counts


def _ordered(sources: Sequence[_Source]) -> Iterator[_Rows]:
    """Yield all rows in the byte order of their paths, block by block.

    A block ends where the first source would have to be read on, so that whatever comes later stands behind it.
    """
    while True:
        for source in sources:
            source.top_up()
        if not any(source.paths for source in sources):
            return
        ends = [source.paths[-1] for source in sources if not source.exhausted]
        last = min(ends) if ends else None
        counts = [len(s.paths) if last is None else bisect_right(s.paths, last) for s in sources]
        yield _sorted([source.take(count) for source, count in zip(sources, counts, strict=True) if count])


def _sorted(parts: Sequence[_Rows]) -> _Rows:
    paths = [path for part in parts for path in part.paths]
    order = sorted(range(len(paths)), key=paths.__getitem__)  # rising runs are merged, not sorted anew
    ordered = [paths[row] for row in order]
    if len(set(ordered)) < len(ordered):
        twice = next(path for path, after in pairwise(ordered) if path == after)
        raise CorruptError(
            f"two parts hold the code of {os.fsdecode(twice)}", hint="encode both anew, with --overwrite"
        )
    rows = np.array(order)
    columns = {name: np.concatenate([part.columns[name] for part in parts])[rows] for name in parts[0].columns}
    labels, counts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "counts"))
    return _Rows(ordered, columns, _gather(labels, counts, rows), counts[rows])


def _gather(flat: NDArray[np.int32], counts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the pieces of `flat`, `counts` long each, in the order of `rows`."""
    starts, lengths = (np.cumsum(counts) - counts)[rows], counts[rows]
    shifts = starts - (np.cumsum(lengths) - lengths)
    gathered: NDArray[np.int32] = flat[np.arange(lengths.sum()) + np.repeat(shifts, lengths)]
    return gathered


def _append(columns: codes_stream.Columns, rows: _Rows, layout: _Layout) -> None:
    for name, data in rows.columns.items():
        columns.append(name, data)
    columns.append_ragged("path_bytes", "path_offsets", np.frombuffer(b"".join(rows.paths), np.uint8), _lengths(rows))
    if layout.multiple:
        columns.append_ragged("labels", "label_offsets", rows.labels, rows.counts)
    elif layout.labelled:
        one = np.full(len(rows.counts), -1, np.int32)
        one[rows.counts == 1] = rows.labels
        columns.append("labels", one)


def _lengths(rows: _Rows) -> NDArray[np.int64]:
    return np.fromiter(map(len, rows.paths), np.int64, len(rows.paths))


def _rows_each(opened: Sequence[StoredCodes]) -> int:
    return max(_LEAST_ROWS, _BLOCK_ROWS // len(opened))


def _count_labels(stored: StoredCodes) -> int:
    if not stored.labelled:
        return 0
    count = stored.length("labels")
    if "label_offsets" in stored.columns:
        return count
    blocks = (stored.read("labels", start, start + _BLOCK_ROWS) for start in range(0, count, _BLOCK_ROWS))
    return sum(int(np.count_nonzero(block != -1)) for block in blocks)


def _class_names(opened: Sequence[StoredCodes]) -> tuple[str, ...]:
    """Return the classes of all parts: theirs where they agree, as those of one listing do, else all by name."""
    found = list(dict.fromkeys(stored.header.class_names for stored in opened if stored.labelled))
    return found[0] if len(found) == 1 else tuple(sorted({name for names in found for name in names}))


def _require_whole(opened: Sequence[StoredCodes]) -> None:
    """Refuse parts that are not all the shards of one collection, each once, by one model."""
    if not opened:
        raise UsageError("there is nothing to merge", hint="name the parts, such as part-*.h5")
    first = opened[0]
    by_number: dict[int, StoredCodes] = {}
    for stored in opened:
        shard, wanted = stored.header.shard, first.header.shard
        if shard is None or wanted is None:
            whole = stored if shard is None else first
            raise UsageError(
                f"{whole.path} is no part: it was encoded whole", hint="`ganhash encode … --shard 3/16` writes parts"
            )
        if shard.count != wanted.count:
            raise UsageError(
                f"{stored.path} is shard {shard}, but {first.path} is {wanted}",
                hint="merge the parts of one count; those of another lie elsewhere",
            )
        if shard.number in by_number:
            raise UsageError(
                f"{by_number[shard.number].path} and {stored.path} are both shard {shard}", hint="name one of them"
            )
        by_number[shard.number] = stored
        _require_same(first, stored)
    count = first.header.shard.count if first.header.shard else 0
    missing = [number for number in range(1, count + 1) if number not in by_number]
    if missing:
        named = ", ".join(map(str, missing[:10])) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        raise InputError(
            f"of {count} shards {len(missing)} {'is' if len(missing) == 1 else 'are'} missing: {named}",
            hint=f"`ganhash encode FOLDER --shard {missing[0]}/{count} -o FILE` makes the first of them",
        )


def _require_same(first: StoredCodes, stored: StoredCodes) -> None:
    one, other = first.header, stored.header
    hint = f"encode one of the two anew, with --overwrite, by one model and with --precision {one.numeric}"
    codes_format.require_one_maker(other, stored.path, one, first.path, hint)
    if one.root != other.root:
        raise UsageError(
            f"{stored.path} holds images of {os.fsdecode(other.root)}, but {first.path} of {os.fsdecode(one.root)}",
            hint="let the folder stand at the same place on every machine",
        )


def _merge_skipped(parts: Sequence[Path], out: Path) -> int:
    """Write one list of what was skipped from those of the parts, and return its length."""
    lists = [path for part in parts if (path := skipped_list(part)).exists()]
    lines = [line for path in lists for line in path.read_bytes().splitlines()]
    if not lines:
        skipped_list(out).unlink(missing_ok=True)
        return 0
    with files.atomic_write(skipped_list(out)) as stream:
        stream.write(
            b"".join(line + b"\n" for line in sorted(lines, key=lambda line: path_of_record(json.loads(line))))
        )
    return len(lines)


def _unsound(stored: StoredCodes, fault: str) -> CorruptError:
    return CorruptError(f"{stored.path} is damaged: {fault}", hint="encode this shard anew, with --overwrite")
