"""A trained model, and what there is of its fakes, codes and queries → all that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import (
    bit_statistics,
    code_map,
    epochs,
    evaluation,
    overlap,
    queries,
    relevance,
    results,
    separation,
)
from ganhash_cli.engine.bit_statistics import BitStatistics
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.code_map import CodeMap
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.epochs import Epochs
from ganhash_cli.engine.evaluation import Asked, Evaluation
from ganhash_cli.engine.fakes import GRID, Fakes
from ganhash_cli.engine.images import Skipped
from ganhash_cli.engine.index import Distances, ExactIndex, Ids
from ganhash_cli.engine.progress import Work
from ganhash_cli.engine.queries import Queries
from ganhash_cli.engine.results import Answer
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.separation import Separation
from ganhash_cli.engine.shards import Shard
from ganhash_cli.errors import CorruptError, InputError

T = TypeVar("T")

MOST_MAPPED = 2_000  # codes: two million pairs of them, and as many points as a map can show
MOST_COUNTED = 100_000  # codes; their shares of ones are known to 0.002
NAMED_CLASSES = 10  # on the map; so many colours are told apart
SHOWN, NEIGHBOURS = 4, 8  # queries of each end, and neighbours of each


@dataclass(frozen=True)
class Missing:
    """A part that a report cannot have, and why."""

    why: str


@dataclass(frozen=True)
class Portrait:
    """How `images` codes lie, by samples of them.

    `statistics` are those of `counted` codes; `separation` and `map` those of `mapped` codes, whose `classes` are
    numbers into `named`, None for all others.
    """

    images: int
    counted: int
    statistics: BitStatistics
    mapped: int
    separation: Separation | Missing
    map: CodeMap
    named: tuple[str, ...]
    classes: tuple[int | None, ...]


@dataclass(frozen=True)
class Retrieval:
    """What the queries found: the figures, and some queries with their average precision, nan where it is not known.

    `best` and `worst` are by these; without figures, `best` are the first queries.
    """

    figures: Evaluation | Missing
    best: tuple[tuple[Answer, float], ...]
    worst: tuple[tuple[Answer, float], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Report:
    """Everything a report shows of a model; what is missing says why. `shard` is the part that the codes are of."""

    bundle: Bundle
    epochs: Epochs | Missing
    fakes: bytes | Missing
    portrait: Portrait | Missing
    retrieval: Retrieval | Missing
    shard: Shard | None

    @property
    def missing(self) -> dict[str, str]:
        """The parts that are left out, with the reasons."""
        parts: dict[str, object] = {
            "training": self.epochs,
            "fakes": self.fakes,
            "codes": self.portrait,
            "queries": self.retrieval,
        }
        if isinstance(self.portrait, Portrait):
            parts["distances"] = self.portrait.separation
        if isinstance(self.retrieval, Retrieval):
            parts["figures of retrieval"] = self.retrieval.figures
        return {name: part.why for name, part in parts.items() if isinstance(part, Missing)}


def gather(
    bundle: Bundle,
    fakes: Path,
    stored: StoredCodes | Missing,
    asked: Asked | Missing,
    *,
    allow_overlap: bool = False,
) -> Work[Report]:
    """Look at a model, the fakes it learned from, codes of it, and queries among these.

    Raises `MismatchError` where the codes come from another model, where no class is on both sides, and, without
    `allow_overlap`, where a query stands in the database or was trained on; `CorruptError` where the codes are damaged.
    """
    portrait: Portrait | Missing
    retrieval: Retrieval | Missing
    if isinstance(stored, Missing):
        portrait = stored
        retrieval = asked if isinstance(asked, Missing) else stored
    else:
        queries.require_match(bundle, stored)
        stored.verify()
        portrait = _portrait(stored) if len(stored) else Missing(f"{stored.path} holds no images")
        if isinstance(asked, Missing):
            retrieval = asked
        elif isinstance(portrait, Missing):
            retrieval = portrait
        else:
            retrieval = yield from _retrieval(bundle, stored, asked, allow_overlap=allow_overlap)
    shard = None if isinstance(stored, Missing) else stored.header.shard
    return Report(bundle, _epochs(bundle), _fakes(bundle, fakes), portrait, retrieval, shard)


def _epochs(bundle: Bundle) -> Epochs | Missing:
    try:
        return epochs.read(bundle.folder)
    except (InputError, CorruptError) as error:
        return Missing(error.message)


def _fakes(bundle: Bundle, folder: Path) -> bytes | Missing:
    """Return the picture of real images and fakes, if the model learned from these very fakes."""
    if bundle.fakes is None:
        return Missing("the model was trained without fakes")
    try:
        found = Fakes.read(folder)
        if found.record.get("generator_sha256") != bundle.fakes.get("generator_sha256"):
            return Missing(f"{folder} holds other fakes than those the model was trained with")
        if GRID in found.digests:
            found.require_sound(GRID)
        return (folder / GRID).read_bytes()
    except (InputError, CorruptError) as error:
        return Missing(error.message)
    except FileNotFoundError:
        return Missing(f"{folder / GRID} is missing")


def _portrait(stored: StoredCodes) -> Portrait:
    bits, rows, counted = stored.header.bits, _sample(len(stored), MOST_MAPPED), _sample(len(stored), MOST_COUNTED)
    codes = stored.codes[rows]
    labels = [stored.labels_of(row) for row in rows.tolist()]
    classes = _main_classes(labels)
    names = [name for name, _ in Counter(name for name in classes if name is not None).most_common(NAMED_CLASSES)]
    numbers = {name: number for number, name in enumerate(sorted(names))}
    return Portrait(
        images=len(stored),
        counted=len(counted),
        statistics=bit_statistics.of(stored.codes[counted], bits),
        mapped=len(rows),
        separation=_separation(stored, codes, labels),
        map=code_map.of(codes, bits),
        named=tuple(numbers),
        classes=tuple(None if name is None else numbers.get(name) for name in classes),
    )


def _main_classes(labels: Sequence[tuple[str, ...]]) -> list[str | None]:
    """Return one class for each image, of its labels the one that most images have; None where it has none.

    >>> _main_classes([("ant", "bee"), ("bee",), ()])
    ['bee', 'bee', None]
    """
    often = Counter(label for each in labels for label in each)
    return [max(each, key=often.__getitem__) if each else None for each in labels]


def _separation(
    stored: StoredCodes, codes: NDArray[np.uint8], labels: Sequence[tuple[str, ...]]
) -> Separation | Missing:
    if not any(labels):
        return Missing(f"the images of {stored.path} have no labels")
    number = {name: column for column, name in enumerate(stored.header.class_names)}
    table = np.zeros((len(codes), len(number)), np.bool_)
    for row, names in enumerate(labels):
        table[row, [number[name] for name in names]] = True
    found = separation.of(codes, table, stored.header.bits)
    if not found.same.any() or not found.different.any():
        return Missing(f"{stored.path} has no pairs both of one class and of two")
    return found


def _sample(count: int, most: int) -> NDArray[np.int64]:
    """Return all rows, or `most` of them at random, always the same."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(derive(0, "report", count)).choice(count, most, replace=False))


def _retrieval(bundle: Bundle, stored: StoredCodes, asked: Asked, *, allow_overlap: bool) -> Work[Retrieval]:
    try:
        relevance.require_labels(stored, asked.collection, asked.source)
    except InputError as error:
        found = yield from queries.hash_queries(asked.hasher, asked.collection, bundle.side)
        return Retrieval(Missing(error.message), _answered(stored, found, [*range(SHOWN)]), (), found.skipped)
    found = yield from queries.hash_queries(asked.hasher, asked.collection, bundle.side)
    known = yield from overlap.find(found, stored, bundle)
    if not allow_overlap:
        known.refuse()
    figures = yield from evaluation.measure(found, stored, known, k=100, r=1000)
    worst, best = _ends(figures.each)
    shown = _answered(stored, found, [*best, *worst], figures.each)
    return Retrieval(figures, shown[: len(best)], shown[len(best) :], found.skipped)


def _ends(values: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """Return the rows of the lowest values, the lowest first, and of the highest; ties are in a random, fixed order."""
    known = np.flatnonzero(~np.isnan(values))
    known = known[np.random.default_rng(0).permutation(len(known))]
    order = known[np.argsort(values[known], kind="stable")].tolist()
    worst = order[: min(SHOWN, len(order) // 2)]
    return worst, order[len(worst) :][::-1][:SHOWN]


def _answered(
    stored: StoredCodes, found: Queries, rows: Sequence[int], values: NDArray[np.float64] | None = None
) -> tuple[tuple[Answer, float], ...]:
    rows = [row for row in rows if row < len(found.files)]
    answers = results.answer(stored, found.only(rows), NEIGHBOURS, index=_FairIndex(stored.codes, stored.header.bits))
    answers = results.dated(stored, answers, len(answers), NEIGHBOURS)
    known = np.full(len(found.files), np.nan) if values is None else values
    return tuple((answer, float(known[row])) for answer, row in zip(answers, rows, strict=True))


class _FairIndex(ExactIndex):
    """Draws which of the images at the last distance are found: the first as stored are often all of one class."""

    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the nearest as `ExactIndex` does; ties are in a random, fixed order."""
        distances, ids = super().search(queries, k)
        random = np.random.default_rng(0)
        for query, near, rows in zip(queries, distances, ids, strict=True):
            last = near == near[-1]
            tied = np.flatnonzero(self.distances(query) == near[-1])
            rows[last] = random.choice(tied, np.count_nonzero(last), replace=False)
        return distances, ids
