"""Queries → their nearest images by an index in another program, and how much an approximate search misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes_format import Header, inside
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

    def __str__(self) -> str:
        return f"recall {self.share:.3f} of the nearest {self.k}, against an exact search for {self.queries}"


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
            hits = tuple(_hit(rank, each, header, remote.path) for rank, each in enumerate(found[:k], start=1))
            ties = sum(each[0] == hits[-1].distance for each in found) if hits else 0
            answers.append(Answer(file, labels, hits, searched, ties, counted=False))
    return answers


def recall(remote: Remote, queries: Queries, answers: list[Answer], k: int) -> Recall:
    """Search some of the queries exactly too, and compare."""
    return _recall(remote, queries.codes, [[hit.distance for hit in each.hits] for each in answers], k)


def sampled_recall(remote: Remote, codes: Codes, k: int) -> Recall:
    """Search for some of the codes both ways, and compare."""
    some = _narrow(codes[:MOST_MEASURED], remote.require_header())
    with remote.asking() as index:
        found = [[neighbour[0] for neighbour in index.search(code, k)] for code in some]
    return _recall(remote, codes, found, k)


def _recall(remote: Remote, codes: Codes, answered: Sequence[Sequence[int]], k: int) -> Recall:
    some = _narrow(codes[:MOST_MEASURED], remote.require_header())
    found = wanted = 0
    with remote.asking() as index:
        for code, distances in zip(some, answered, strict=False):
            exact = [neighbour[0] for neighbour in index.search(code, k, exact=True)]
            wanted += len(exact)
            found += sum(distance <= exact[-1] for distance in distances) if exact else 0
    return Recall(found / wanted if wanted else 1.0, k, len(some))


def _hit(rank: int, neighbour: Neighbour, header: Header, holder: str) -> Hit:
    distance, number, path, labels = neighbour
    file = openable(header.root, inside(path, holder))
    return Hit(rank, distance, header.bits, file, labels, number)


def _narrow(codes: Codes, header: Header) -> Codes:
    """Return codes without the padding that search in memory is fast at."""
    return codes[:, : (header.bits + 7) // 8]
