"""What a check of an index looks at: collections at a URL that it makes, fills and drops.

As elsewhere, what one check is there to find, the others step around: where a collection cannot be opened or filled at
all, they are skipped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.plugin.conformance.outcome import NotApplicable
from ganhash_cli.plugin.contracts import Index

BITS = 12
_LABELS = [(), ("cat",), ("cat", "a dog"), ("ä", 'quo"ted', "back\\slash"), (" ", "{brace}", "co,mma"), ("\t", "\r\n")]
_NAMES = [
    b"z.png",
    b"a/b.png",
    b"B.png",
    b"\xff\xfe.png",
    "ü'\"\\t\t.png".encode(),
    b"a.png",
    b"new\nline.png",
    b"%s.png",
]


@dataclass(frozen=True)
class Rows:
    """N images as an index gets them."""

    ids: list[int]
    codes: NDArray[np.uint8]
    paths: list[bytes]
    labels: list[tuple[str, ...]]
    digests: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def add_to(self, index: Index) -> None:
        """Add them, or skip where that cannot be done."""
        try:
            index.add(self.ids, self.codes, self.paths, self.labels, self.digests)
        except Exception as error:
            raise NotApplicable(f"nothing can be added: {type(error).__name__}: {error}") from error

    def first(self, count: int) -> Rows:
        """Return the first of them."""
        return Rows(self.ids[:count], self.codes[:count], self.paths[:count], self.labels[:count], self.digests[:count])


class IndexSubject:
    """A factory of indexes, the URL to open and the options to open it with."""

    def __init__(self, factory: Callable[..., Any], options: dict[str, Any]) -> None:
        self.factory = factory
        self.options = dict(options)
        self.url = str(self.options.pop("url", ""))
        self.name = f"ganhash_check_{secrets.token_hex(4)}"
        self._opened: list[Index] = []

    @property
    def facts(self) -> tuple[Any, ...]:
        """Return the URL and the name of the collection."""
        return self.url, self.name

    def build(self) -> Any:
        """Open the collection; whatever the factory raises comes through."""
        index = self.factory(*self.facts, **self.options)
        self._opened.append(index)
        return index

    def open(self, name: str = "") -> Index:
        """Open a collection on a connection of its own, or skip where that cannot be done."""
        try:
            index: Index = self.factory(self.url, name or self.name, **self.options)
        except (Exception, SystemExit) as error:
            raise NotApplicable(f"it cannot be opened: {type(error).__name__}: {error}") from error
        if not isinstance(index, Index):
            raise NotApplicable("it lacks a part of the contract")
        self._opened.append(index)
        return index

    @contextmanager
    def empty(self, facts: Mapping[str, str] | None = None, bits: int = BITS, name: str = "") -> Iterator[Index]:
        """Give a new collection, and drop it in the end."""
        index = self.open(name)
        try:
            index.create(bits, facts or {"fingerprint": "00"})
        except Exception as error:
            raise NotApplicable(f"it cannot be created: {type(error).__name__}: {error}") from error
        try:
            yield index
        finally:
            with suppress(Exception):
                index.drop()
            for each in self._opened:
                with suppress(Exception):
                    each.close()

    @contextmanager
    def filled(self) -> Iterator[tuple[Index, Rows]]:
        """Give a new collection with some images in it, and these."""
        with self.empty() as index:
            rows = self.rows()
            rows.add_to(index)
            yield index, rows

    def rows(self, bits: int = BITS) -> Rows:
        """Return images of which several are equally near to the first, as codes of trained networks are."""
        random = np.random.default_rng(0)
        signs = random.integers(0, 2, (1, bits), np.uint8).repeat(len(_NAMES), axis=0)
        for row in range(1, len(_NAMES)):
            count = min(bits, (row + 1) // 2)
            # The last bits of every other image: who cuts codes off at a byte does not see them.
            signs[row, range(bits - count, bits) if row % 2 else random.choice(bits, count, replace=False)] ^= 1
        # The later a path, the smaller its id, so that no order by id passes for one by path.
        ids = [(1 << 62) - (sorted(_NAMES).index(name) << 55) for name in _NAMES]
        labels = [_LABELS[row % len(_LABELS)] for row in range(len(_NAMES))]
        digests = [f"{row:032x}" for row in range(len(_NAMES))]
        return Rows(ids, np.packbits(signs, axis=1), list(_NAMES), labels, digests)


def distances(rows: Rows, query: int) -> list[int]:
    """Return the Hamming distance of each image from one of them."""
    counts: list[int] = np.bitwise_count(rows.codes ^ rows.codes[query]).sum(axis=1).tolist()
    return counts
