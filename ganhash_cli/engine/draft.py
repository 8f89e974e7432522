"""The codes of a collection as far as they are known, in the collection's order, before they are a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.images import Collection, Entry


class Draft:
    """One row an entry of the collection; `done` says which rows have their code."""

    def __init__(self, header: Header, collection: Collection) -> None:
        count = len(collection.entries)
        self.header = header
        self.entries = list(collection.entries)
        self.done = np.zeros(count, np.bool_)
        self._codes = np.zeros((count, bits.width(header.bits)), np.uint8)
        self._confidence = np.zeros(count, np.uint8)
        self._row_of = {entry.path: row for row, entry in enumerate(self.entries)}

    def adopt(self, stored: StoredCodes) -> None:
        """Take over the codes of files that have not changed since: same path, size and time of change."""
        facts = zip(stored.paths(), stored.column("size").tolist(), stored.column("mtime_ns").tolist(), strict=True)
        pairs = [
            (row, source)
            for source, (path, size, mtime_ns) in enumerate(facts)
            if (row := self._row_of.get(path)) is not None
            and (self.entries[row].size, self.entries[row].mtime_ns) == (size, mtime_ns)
        ]
        if pairs:
            rows, sources = np.array(pairs).T
            self._codes[rows] = stored.codes[sources]
            self._confidence[rows] = stored.column("confidence")[sources]
            self.done[rows] = True

    def fill(self, rows: Sequence[int], entries: Sequence[Entry], logits: NDArray[np.float32]) -> None:
        """Put (len(rows), bits) logits in as codes, for files as `entries` describes them."""
        self._codes[rows] = bits.pack(logits)
        self._confidence[rows] = bits.confidence(logits)
        self.done[rows] = True
        for row, entry in zip(rows, entries, strict=True):
            self.entries[row] = entry

    def knows(self, path: bytes) -> bool:
        """Whether the file of that path is in the collection and has its code."""
        row = self._row_of.get(path)
        return row is not None and bool(self.done[row])

    def rows(self, chosen: Sequence[int], *, labelled: bool) -> Rows:
        """Return the chosen rows as a file stores them."""
        entries = [self.entries[row] for row in chosen]
        return Rows(
            codes=self._codes[chosen],
            paths=[entry.path for entry in entries],
            size=np.array([entry.size for entry in entries], np.uint64),
            mtime_ns=np.array([entry.mtime_ns for entry in entries], np.int64),
            confidence=self._confidence[chosen],
            labels=[entry.labels for entry in entries] if labelled else None,
        )
