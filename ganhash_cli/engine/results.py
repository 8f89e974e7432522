"""What a query returns: answers of hits, and the records they are in JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import asymmetric, wording
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.ivf import RECALL_AT, IvfIndex
from ganhash_cli.engine.path_records import path_record
from ganhash_cli.engine.queries import Queries, openable

CANDIDATES = 10  # times k


@dataclass(frozen=True)
class Hit:
    """One neighbour: `distance` of `bits`; `path` can be opened from here, `id` is its row, or its number in an index.

    `asymmetric` is the distance that it was ranked by, None where that is `distance` itself. `changed` says that its
    file is known, by `dated`, to be another than was encoded.
    """

    rank: int
    distance: int
    bits: int
    path: bytes
    labels: tuple[str, ...]
    id: int
    asymmetric: float | None = None
    changed: bool = False

    @property
    def label(self) -> str:
        """Its labels in one text; empty where it has none."""
        return ", ".join(self.labels)

    @property
    def missing(self) -> bool:
        """Whether its file is not there now."""
        return not os.path.lexists(self.path)


@dataclass(frozen=True)
class Answer:
    """The neighbours of one query; `ties` counts all images as near as the last one shown, also those not shown.

    `recall` is that of the index that found them, None where the search was exact.
    Where ties were not `counted`, it only tells whether there are more than those shown.
    """

    query: bytes
    labels: tuple[str, ...]
    hits: tuple[Hit, ...]
    searched: int
    ties: int
    recall: float | None = None
    counted: bool = True

    @property
    def cut(self) -> bool:
        """Whether images as near as the last one were left out, so that chance (the id) decided."""
        shown = [(hit.distance, hit.asymmetric) for hit in self.hits]
        return bool(shown) and shown.count(shown[-1]) < self.ties

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
                **({} if hit.asymmetric is None else {"asymmetric": hit.asymmetric}),
                **path_record(hit.path),
                "label": hit.label or None,
                **({"labels": list(hit.labels)} if len(hit.labels) > 1 else {}),
                "id": hit.id,
                **({wording.MISSING: True} if hit.missing else {}),
                **({} if self.recall is None else {f"recall_at_{RECALL_AT}": self.recall}),
            }
            for hit in self.hits
        ]


def answer(
    stored: StoredCodes,
    queries: Queries,
    k: int,
    most: int | None = None,
    *,
    rerank: bool = False,
    index: ExactIndex | IvfIndex | None = None,
) -> list[Answer]:
    """Return the k nearest of each query, with `most` only those no farther than that.

    With `rerank` they are the first k by asymmetric distance among the `CANDIDATES` k nearest and all that are as
    near as the last of these. Both need all codes within a distance, so that only the first can do with an `index`
    other than the exact one, which is the default.
    """
    exact = index if isinstance(index, ExactIndex) else ExactIndex(stored.codes, stored.header.bits)
    if rerank:
        return [_reranked(stored, exact, queries, number, k, most) for number in range(len(queries.codes))]
    if most is None:
        used = index or exact
        found = list(zip(*used.search(queries.codes, k), strict=True))
    else:
        used = exact
        found = [(distances[:k], ids[:k]) for distances, ids in exact.radius(queries.codes, most)]
    last = np.array([distances[-1] if len(distances) else -1 for distances, _ in found])
    ties, recall = (
        (used.ties(queries.codes, last, k), used.recall)
        if isinstance(used, IvfIndex)
        else (used.ties(queries.codes, last), None)
    )
    return [
        Answer(file, labels, _hits(stored, distances, ids), len(stored), int(tied), recall)
        for file, labels, (distances, ids), tied in zip(queries.files, queries.labels, found, ties, strict=True)
    ]


def dated(stored: StoredCodes, answers: Sequence[Answer], most_answers: int, most_hits: int) -> list[Answer]:
    """Return the answers with a look at the files of the first of them, which are to be shown."""
    looked = [
        replace(
            answer,
            hits=tuple(replace(hit, changed=stored.changed(hit.id)) for hit in answer.hits[:most_hits])
            + answer.hits[most_hits:],
        )
        for answer in answers[:most_answers]
    ]
    return [*looked, *answers[most_answers:]]


def _reranked(
    stored: StoredCodes, index: ExactIndex, queries: Queries, number: int, k: int, most: int | None
) -> Answer:
    code = queries.codes[number : number + 1]
    if most is None:
        nearest, _ = index.search(code, CANDIDATES * k)
        most = int(nearest.max(initial=0))
    [(distances, ids)] = index.radius(code, most)
    weighed = asymmetric.distances(queries.logits[number], stored.codes[ids])
    order = np.lexsort((ids, weighed))[:k]
    tied = int(np.count_nonzero(weighed == weighed[order[-1]])) if len(order) else 0
    hits = _hits(stored, distances[order], ids[order], weighed[order])
    return Answer(queries.files[number], queries.labels[number], hits, len(stored), tied)


def _hits(
    stored: StoredCodes,
    distances: NDArray[np.int32],
    ids: NDArray[np.int64],
    weighed: NDArray[np.float64] | None = None,
) -> tuple[Hit, ...]:
    header, reranked = stored.header, [None] * len(ids) if weighed is None else weighed.tolist()
    return tuple(
        Hit(rank, distance, header.bits, openable(header.root, stored.path_of(row)), stored.labels_of(row), row, exact)
        for rank, (distance, row, exact) in enumerate(
            zip(distances.tolist(), ids.tolist(), reranked, strict=True), start=1
        )
    )
