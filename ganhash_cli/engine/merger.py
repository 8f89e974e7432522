"""The parts of all shards → one codes.h5, its rows in the byte order of their paths, without holding them all."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, codes, codes_stream, files, outputs, skipped_lists
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header, pack_class_names
from ganhash_cli.engine.part_rows import COPIED, PartRows, Rows
from ganhash_cli.engine.parts import class_names, require_whole
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.errors import CorruptError, InputError, UsageError

_CACHE_BYTES = 512 << 10  # for each column of each part: they are read from beginning to end
_BLOCK_ROWS = 1 << 16  # looked at in one go, of all parts together
_LEAST_ROWS = 64  # of one part


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
    outputs.require_codes(out)
    with files.lock(out), ExitStack() as stack:
        if any(part.exists() and out.exists() and part.samefile(out) for part in parts):
            raise UsageError(f"{out} is one of the parts", hint="write to another file with -o")
        if out.exists() and not overwrite:
            raise UsageError(f"{out} is there already", hint="replace it with --overwrite, or use -o")
        for part in parts:
            if not part.exists():
                raise InputError(
                    f"{part} does not exist", hint="`ganhash encode FOLDER --shard 1/16 -o part-01.h5` makes a part"
                )
        opened = [stack.enter_context(codes.open_codes(part, _CACHE_BYTES)) for part in parts]
        require_whole(opened)
        skipped = skipped_lists.merged(parts)  # before a file is written: one of them may be damaged, too
        total = sum(map(len, opened))
        header = replace(opened[0].header, shard=None, class_names=class_names(opened))
        layout = _Layout.of(opened)
        done = 0
        with codes_stream.writing(out, header, layout.shapes(opened, header)) as columns:
            if layout.labelled:
                columns.append("class_names", pack_class_names(header))
            columns.append("path_offsets", np.zeros(1, np.uint64))
            if layout.multiple:
                columns.append("label_offsets", np.zeros(1, np.uint64))
            sources = [PartRows(stored, header, _rows_each(opened)) for stored in opened]
            for block in _ordered(sources):
                _append(columns, block, layout)
                done += len(block.paths)
                yield Progress("merging", done, total, {"images/s": done / (time.monotonic() - started)}, "images")
            for source in sources:
                source.require_sound()
        skipped_lists.write(out, skipped)
    return MergeReport(
        out=out,
        parts=len(opened),
        images=total,
        bits=header.bits,
        skipped=len(skipped),
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
        shapes |= {"path_offsets": (total + 1,), **{name: (total,) for name in COPIED}}
        if self.multiple:
            shapes |= {"labels": (sum(map(_count_labels, opened)),), "label_offsets": (total + 1,)}
        elif self.labelled:
            shapes["labels"] = (total,)
        if self.labelled:
            shapes["class_names"] = pack_class_names(header).shape
        return shapes


def _ordered(sources: Sequence[PartRows]) -> Iterator[Rows]:
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


def _sorted(parts: Sequence[Rows]) -> Rows:
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
    return Rows(ordered, columns, _gather(labels, counts, rows), counts[rows])


def _gather(flat: NDArray[np.int32], counts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the pieces of `flat`, `counts` long each, in the order of `rows`."""
    starts, lengths = (np.cumsum(counts) - counts)[rows], counts[rows]
    shifts = starts - (np.cumsum(lengths) - lengths)
    gathered: NDArray[np.int32] = flat[np.arange(lengths.sum()) + np.repeat(shifts, lengths)]
    return gathered


def _append(columns: codes_stream.Columns, rows: Rows, layout: _Layout) -> None:
    for name, data in rows.columns.items():
        columns.append(name, data)
    columns.append_ragged("path_bytes", "path_offsets", np.frombuffer(b"".join(rows.paths), np.uint8), _lengths(rows))
    if layout.multiple:
        columns.append_ragged("labels", "label_offsets", rows.labels, rows.counts)
    elif layout.labelled:
        one = np.full(len(rows.counts), -1, np.int32)
        one[rows.counts == 1] = rows.labels
        columns.append("labels", one)


def _lengths(rows: Rows) -> NDArray[np.int64]:
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
