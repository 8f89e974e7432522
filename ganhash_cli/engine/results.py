"""What a query returns: answers of hits, and the records they are in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import path_record
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.queries import Queries, openable


@dataclass(frozen=True)
class Hit:
    """One neighbour: `distance` of `bits`; `path` can be opened from here, `id` is its row."""

    rank: int
    distance: int
    bits: int
    path: bytes
    labels: tuple[str, ...]
    id: int

    @property
    def label(self) -> str:
        """Its labels in one text; empty where it has none."""
        return ", ".join(self.labels)


@dataclass(frozen=True)
class Answer:
    """The neighbours of one query; `ties` counts all codes at the last distance shown, also those not shown."""

    query: bytes
    labels: tuple[str, ...]
    hits: tuple[Hit, ...]
    searched: int
    ties: int

    @property
    def cut(self) -> bool:
        """Whether images at the last distance were left out, so that chance (the id) decided."""
        return sum(hit.distance == self.hits[-1].distance for hit in self.hits) < self.ties

    def right(self, hit: Hit) -> bool | None:
        """Whether a hit shares a label with the query; None where either has none."""
        if not self.labels or not hit.labels:
            return None
        return not set(self.labels).isdisjoint(hit.labels)

    def records(self) -> list[dict[str, Any]]:
        """Return one JSON object a hit."""
        return [
            {
                **path_record(self.query, "query"),
                "rank": hit.rank,
                "distance": hit.distance,
                "bits": hit.bits,
                **path_record(hit.path),
                "label": hit.label or None,
                **({"labels": list(hit.labels)} if len(hit.labels) > 1 else {}),
                "id": hit.id,
            }
            for hit in self.hits
        ]


def answer(stored: StoredCodes, queries: Queries, k: int, most: int | None = None) -> list[Answer]:
    """Return the k nearest of each query, with `most` only those no farther than that."""
    index = ExactIndex(stored.codes, stored.header.bits)
    if most is None:
        found = list(zip(*index.search(queries.codes, k), strict=True))
    else:
        near = (index.radius(code[None], most)[0] for code in queries.codes)
        found = [(distances[:k], ids[:k]) for distances, ids in near]
    last = np.array([distances[-1] if len(distances) else -1 for distances, _ in found])
    ties = index.ties(queries.codes, last)
    return [
        Answer(file, labels, _hits(stored, distances, ids), len(stored), int(tied))
        for file, labels, (distances, ids), tied in zip(queries.files, queries.labels, found, ties, strict=True)
    ]


def _hits(stored: StoredCodes, distances: NDArray[np.int32], ids: NDArray[np.int64]) -> tuple[Hit, ...]:
    header = stored.header
    return tuple(
        Hit(rank, distance, header.bits, openable(header.root, stored.path_of(row)), stored.labels_of(row), row)
        for rank, (distance, row) in enumerate(zip(distances.tolist(), ids.tolist(), strict=True), start=1)
    )
