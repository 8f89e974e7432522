"""Codes → lists of codes that lie near each other, and the nearest of a query, found in a few of the lists.

An inverted file: k-means over a sample gives a centre for each list, every distinct code goes to the list of its
nearest centre, and a query looks only into the lists whose centres are nearest to it. faiss trains and assigns; a
search is a scan of our own over arrays as they lie, so that they can stay on the disk and only what is probed is read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import distinct, scan
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.index import Distances, ExactIndex, Ids, nearest_rows, nothing, padded
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.errors import CorruptError

RECALL_AT = 10
GOAL = 0.99  # recall, on that half of the sample that chooses how many lists are probed
_SAMPLE = 512  # codes whose neighbours are looked for; half choose, the others tell the recall
_SHARE = 3  # a list for each sqrt(U) / 3 codes: with more lists training takes long, with fewer a search does
_TRAINED_ON, _TRAINED_ON_BITS = 64, 1 << 26  # codes a list, and bits in all: faiss makes each bit a float
_ROUNDS = 10
_ASSIGNED = 1 << 18  # codes at once
_AGAIN = "remove the folder ganhash/ivf in your cache and run the command again, or search with --index exact"
_STAGE, _GROUPED, _TRAINED, _ASSIGNED_ALL = "building the index", 10, 30, 90  # per cent


@dataclass(frozen=True)
class Lists:
    """L lists of the U distinct ones of N codes.

    List j has the codes `codes[offsets[j] : offsets[j + 1]]` of (U, W) and the centre `centres[j]` of (L, W); code u
    stands in the rows `rows[row_offsets[u] : row_offsets[u + 1]]`, rising. `digests`, (L, 32), are the SHA-256 of what
    belongs to a list. A search looks into the `probes` nearest lists, which finds the share `recall` of the 10 nearest.
    """

    bits: int
    centres: Codes
    offsets: NDArray[np.uint64]
    codes: Codes
    row_offsets: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    digests: NDArray[np.uint8]
    probes: int = 1
    recall: float = 1.0

    def digest(self, number: int) -> bytes:
        """Return the SHA-256 over the codes, row offsets and rows of a list."""
        start, end = self.offsets[number : number + 2].tolist()
        places = self.row_offsets[start : end + 1]
        rows = self.rows[int(places[0]) : int(places[-1])] if len(places) else self.rows[:0]
        found = hashlib.sha256()
        for part in (self.codes[start:end], places, rows):
            found.update(np.ascontiguousarray(part).data)
        return found.digest()


class IvfIndex:
    """Searches lists approximately: distances are exact, but neighbours may be missed; ties go to the smaller id.

    With `check`, what a search reads is compared with its digest when it is first read.
    """

    def __init__(self, lists: Lists, *, check: bool = False) -> None:
        self.lists, self.bits = lists, lists.bits
        self._unchecked = np.full(len(lists.centres), check)
        ends = lists.row_offsets[lists.offsets.astype(np.int64)].astype(np.int64)
        self._held = np.diff(ends)  # rows in each list

    def __len__(self) -> int:
        return len(self.lists.rows)

    @property
    def recall(self) -> float:
        """The share of the 10 nearest that was found, at equal distances any, when the index was built."""
        return self.lists.recall

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the distances and ids, both (Q, min(k, N)), of the nearest codes found, by (distance, id).

        Raises `CorruptError` where a list is not what was written.
        """
        queries, k = padded(queries, self.bits), min(k, len(self))
        if not k or not len(queries):
            return nothing(len(queries), k)
        found = [self._search(query, k) for query in queries]
        return np.stack([distances for distances, _ in found]), np.stack([ids for _, ids in found])

    def ties(self, queries: Codes, distances: NDArray[np.integer], k: int) -> Ids:
        """Return how many codes at exactly the given distance, (Q,), of each query, (Q,), are in the lists probed.

        These are the lists in which a search for `k` looks.
        """
        counts = []
        for query, distance in zip(padded(queries, self.bits), distances.tolist(), strict=True):
            found, spans = self._probe(query, min(k, len(self))) if len(self) else nothing(0, 2)
            counts.append(int(self._sizes(_places(spans, np.flatnonzero(found == distance))).sum()))
        return np.array(counts, np.int64)

    def _search(self, query: Codes, k: int) -> tuple[Distances, Ids]:
        distances, spans = self._probe(query, k)
        # Each code stands in a row at least, so that none beyond the k-th level is needed.
        near = np.flatnonzero(distances <= scan.level(distances, k))
        near = near[np.argsort(distances[near], kind="stable")]
        places = _places(spans, near)
        starts = self.lists.row_offsets[places].astype(np.int64)
        return nearest_rows(distances[near].astype(np.int32), starts, starts + self._sizes(places), self.lists.rows, k)

    def _probe(self, query: Codes, k: int) -> tuple[NDArray[np.uint16], Ids]:
        """Return the distances of all codes in the nearest lists, of so many that they hold k rows, and their spans.

        Spans are the places, (lists, 2), where each list begins and ends.
        """
        order = np.argsort(scan.distances(self.lists.centres, query), kind="stable")
        enough = int(np.searchsorted(np.cumsum(self._held[order]), k)) + 1
        probed = np.sort(order[: max(self.lists.probes, enough)])
        for number in probed[self._unchecked[probed]].tolist():
            self._require_sound(number)
        spans = np.stack([self.lists.offsets[probed], self.lists.offsets[probed + 1]], axis=1).astype(np.int64)
        codes = np.concatenate([self.lists.codes[start:end] for start, end in spans.tolist()])
        return scan.distances(codes, query), spans

    def _sizes(self, places: Ids) -> Ids:
        offsets = self.lists.row_offsets
        return offsets[places + 1].astype(np.int64) - offsets[places].astype(np.int64)

    def _require_sound(self, number: int) -> None:
        if self.lists.digest(number) != self.lists.digests[number].tobytes():
            raise CorruptError(f"the index is damaged: the checksum of its list {number} is wrong", _AGAIN)
        self._unchecked[number] = False


def _places(spans: Ids, numbers: Ids) -> Ids:
    """Return the places, (n,), of codes that are counted through, `numbers`, (n,), in spans, (lists, 2).

    >>> _places(np.array([[10, 12], [20, 25]]), np.array([0, 1, 2, 6])).tolist()
    [10, 11, 20, 24]
    """
    ends = np.cumsum(spans[:, 1] - spans[:, 0])
    among = np.searchsorted(ends, numbers, side="right")
    places: Ids = numbers + (spans[:, 1] - ends)[among]
    return places


def build(codes: Codes, bits: int) -> Work[IvfIndex]:
    """Group (N, W) codes into lists, and measure on some of them how many are to be probed and what is found then."""
    yield Progress(_STAGE, 0, 100, unit="%")
    codes = padded(codes, bits)
    known = distinct.group(codes)
    yield Progress(_STAGE, _GROUPED, 100, unit="%")
    centres = _train(known.codes)
    yield Progress(_STAGE, _TRAINED, 100, unit="%")
    own = np.empty(len(known), np.int64)
    for start in range(0, len(known), _ASSIGNED):
        own[start : start + _ASSIGNED] = _nearest_centre(known.codes[start : start + _ASSIGNED], centres)
        share = min(1, (start + _ASSIGNED) / len(known))
        yield Progress(_STAGE, _TRAINED + share * (_ASSIGNED_ALL - _TRAINED), 100, unit="%")
    index = _measured(IvfIndex(_arranged(known, centres, own, bits)), codes)
    yield Progress(_STAGE, 100, 100, unit="%")
    return index


def _train(codes: Codes) -> Codes:
    """Return the centres, (L, W), of distinct codes, by k-means over a sample, each bit rounded."""
    count = min(max(1, 1 << max(0, round(math.log2(math.sqrt(len(codes) or 1) / _SHARE)))), max(1, len(codes)))
    if count == 1:
        return np.zeros((1, codes.shape[1]), np.uint8)
    import faiss

    bits = 8 * codes.shape[1]
    most = max(count, min(_TRAINED_ON * count, _TRAINED_ON_BITS // bits))
    sample = np.random.default_rng(0).choice(len(codes), min(most, len(codes)), replace=False)
    quantizer = faiss.IndexBinaryFlat(bits)
    ivf = faiss.IndexBinaryIVF(quantizer, bits, count)
    ivf.cp.niter, ivf.cp.min_points_per_centroid, ivf.cp.max_points_per_centroid = _ROUNDS, 1, most
    ivf.train(codes[np.sort(sample)])
    return np.stack([quantizer.reconstruct(number) for number in range(count)])


def _nearest_centre(codes: Codes, centres: Codes) -> Ids:
    import faiss

    numbers: Ids = faiss.knn_hamming(codes, centres, 1)[1][:, 0]
    return numbers


def _arranged(known: distinct.Distinct, centres: Codes, own: Ids, bits: int) -> Lists:
    """Lay out distinct codes and their rows list by list; `own`, (U,), is the list of each."""
    order = np.argsort(own, kind="stable")
    row_offsets = np.zeros(len(known) + 1, np.uint32)
    np.cumsum(known.sizes[order], out=row_offsets[1:])
    by_code = np.empty(len(known), np.int64)
    by_code[order] = row_offsets[:-1]
    # Of each row as it lies among its equals: where its code begins now, and how far it stands from there.
    as_they_lie = np.argsort(known.starts)
    sizes = known.sizes[as_they_lie]
    places = np.arange(len(known.rows)) + np.repeat(by_code[as_they_lie] - known.starts[as_they_lie], sizes)
    rows = np.empty(len(known.rows), np.uint32)
    rows[places] = known.rows
    offsets = np.searchsorted(own[order], np.arange(len(centres) + 1)).astype(np.uint64)
    digests = np.zeros((len(centres), hashlib.sha256().digest_size), np.uint8)
    made = Lists(bits, centres, offsets, known.codes[order], row_offsets, rows, digests)
    for number in range(len(centres)):
        digests[number] = np.frombuffer(made.digest(number), np.uint8)
    return made


def _measured(index: IvfIndex, codes: Codes) -> IvfIndex:
    """Return an index that probes as many lists as reach the goal on some of its codes, with the recall on others."""
    sample = np.random.default_rng(1).choice(len(codes), min(_SAMPLE, len(codes)), replace=False)
    wanted = ExactIndex(codes, index.bits).search(codes[sample], RECALL_AT + 1)[0]
    choosing, telling = slice(0, None, 2), slice(1, None, 2)
    for probes in _doubled(len(index.lists.centres)):
        index = IvfIndex(replace(index.lists, probes=probes))
        if _recall(index, codes[sample[choosing]], wanted[choosing]) >= GOAL:
            break
    return IvfIndex(replace(index.lists, recall=_recall(index, codes[sample[telling]], wanted[telling])))


def _doubled(most: int) -> Iterator[int]:
    probes = 1
    while probes < most:
        yield probes
        probes *= 2
    yield most


def _recall(index: IvfIndex, queries: Codes, wanted: Distances) -> float:
    """Return the share of neighbours found no farther than the last one wanted; the first, the code itself, is none."""
    if not len(queries) or wanted.shape[1] < 2:
        return 1.0
    found = index.search(queries, wanted.shape[1])[0]
    return float(np.mean(found[:, 1:] <= wanted[:, -1:]))
