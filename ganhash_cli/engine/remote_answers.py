"""Queries → their nearest images by an index in another program, and how much an approximate search misses."""

from __future__ import annotations

from dataclasses import dataclass

from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.queries import Queries, openable
from ganhash_cli.engine.remote import Remote
from ganhash_cli.engine.results import Answer, Hit
from ganhash_cli.plugin.contracts import Neighbour

MOST_MEASURED = 10  # queries; each is searched exactly once more


@dataclass(frozen=True)
class Recall:
    """The share of the `k` nearest that an approximate search found, over so many `queries`.

    What is as near as the last of the exact answer counts as found: which of equals is shown is chance.
    """

    share: float
    k: int
    queries: int


def answer(remote: Remote, queries: Queries, k: int, most: int | None = None) -> list[Answer]:
    """Return the k nearest of each query, with `most` only those no farther than that, and then missing none.

    An answer does not count its ties: it only knows whether there is one more.
    """
    header = remote.require_header()
    answers = []
    with remote.asking() as index:
        searched = index.count()
        for file, labels, code in zip(queries.files, queries.labels, _narrow(queries.codes, header), strict=True):
            found = index.search(code, k + 1) if most is None else index.within(code, most, k + 1)
            hits = tuple(_hit(rank, each, header) for rank, each in enumerate(found[:k], start=1))
            ties = sum(each[0] == hits[-1].distance for each in found) if hits else 0
            answers.append(Answer(file, labels, hits, searched, ties, counted=False))
    return answers


def recall(remote: Remote, queries: Queries, answers: list[Answer], k: int) -> Recall:
    """Search some of the queries exactly too, and compare."""
    some = _narrow(queries.codes[:MOST_MEASURED], remote.require_header())
    found = wanted = 0
    with remote.asking() as index:
        for code, answered in zip(some, answers, strict=False):
            exact = [neighbour[0] for neighbour in index.search(code, k, exact=True)]
            wanted += len(exact)
            found += sum(hit.distance <= exact[-1] for hit in answered.hits) if exact else 0
    return Recall(found / wanted if wanted else 1.0, k, len(some))


def _hit(rank: int, neighbour: Neighbour, header: Header) -> Hit:
    distance, number, path, labels = neighbour
    return Hit(rank, distance, header.bits, openable(header.root, path), labels, number)


def _narrow(codes: Codes, header: Header) -> Codes:
    """Return codes without the padding that search in memory is fast at."""
    return codes[:, : (header.bits + 7) // 8]
