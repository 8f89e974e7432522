"""One part → its rows in their order, each column read once and its checksum compared at the end."""

from __future__ import annotations

import hashlib
import operator
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header, require_padding
from ganhash_cli.errors import CorruptError

COPIED = ("size", "mtime_ns", "confidence")


@dataclass(frozen=True)
class Rows:
    """Some rows: their paths, columns, and the numbers of their labels one after the other, `counts` for each row."""

    paths: list[bytes]
    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.int32]
    counts: NDArray[np.int64]


class PartRows:
    """One part, read from beginning to end; `paths` are those of the rows that come next."""

    def __init__(self, stored: StoredCodes, header: Header, rows: int) -> None:
        self.stored, self._rows = stored, rows
        self.paths: list[bytes] = []
        self._at = 0
        self._digests: defaultdict[str, Any] = defaultdict(hashlib.sha256)
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
        offsets, flat = self.stored.flat_paths(start, end)
        self._saw_offsets("path_offsets", start, offsets)
        self._saw("path_bytes", flat)
        known = len(self.paths)
        self.paths += self.stored.split(offsets, flat)
        later = islice(self.paths, known or 1, None)
        if not all(map(operator.lt, islice(self.paths, max(known - 1, 0), None), later)):
            raise _unsound(self.stored, "its paths do not rise")

    def take(self, count: int) -> Rows:
        """Return the next rows."""
        start, end = self._at, self._at + count
        columns = {"codes": self._saw("codes", self.stored.codes[start:end])}
        require_padding(columns["codes"], self.stored.header.bits, self.stored.path)
        columns |= {name: self._read(name, start, end) for name in COPIED}
        rows = Rows(self.paths[:count], columns, *self._labels(start, end))
        self.paths, self._at = self.paths[count:], end
        return rows

    def require_sound(self) -> None:
        """Compare all that was read with its checksums, once everything is; `CorruptError` where one differs."""
        for name in self.stored.columns:
            if name in self._digests:
                self.stored.require_digest(name, self._digests[name].hexdigest().encode())
            else:
                self.stored.require_sound(name)

    def _labels(self, start: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        if not self.stored.labelled:
            return np.empty(0, np.int32), np.zeros(end - start, np.int64)
        if "label_offsets" in self.stored.columns:
            stored = self.stored.read("label_offsets", start, end + 1)
            self._saw_offsets("label_offsets", start, stored)
            offsets = stored.astype(np.int64)
            numbers, counts = self._read("labels", int(offsets[0]), int(offsets[-1])), np.diff(offsets)
        else:
            row = self._read("labels", start, end)
            numbers, counts = row[row != -1], (row != -1).astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self._renumbered) - 1:
            raise _unsound(self.stored, "a label is out of range")
        return self._renumbered[numbers], counts

    def _read(self, name: str, start: int, end: int) -> NDArray[Any]:
        return self._saw(name, self.stored.read(name, start, end))

    def _saw(self, name: str, data: NDArray[Any]) -> NDArray[Any]:
        self._digests[name].update(np.ascontiguousarray(data).data)
        return data

    def _saw_offsets(self, name: str, start: int, offsets: NDArray[np.uint64]) -> None:
        self._saw(name, offsets[1 if start else 0 :])  # each block begins where the last one ended


def _unsound(stored: StoredCodes, fault: str) -> CorruptError:
    return CorruptError(f"{stored.path} is damaged: {fault}", hint="encode this shard anew, with --overwrite")
