"""Labelled queries against codes.h5 → every figure of retrieval, by the definitions of metrics.py."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganhash_cli.engine import bit_statistics, bits, histograms, metrics, overlap, queries
from ganhash_cli.engine.bit_statistics import BitStatistics
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.encoder import Hasher
from ganhash_cli.engine.histograms import Histograms, Relevance
from ganhash_cli.engine.images import Collection, Skipped
from ganhash_cli.engine.metrics import Curve
from ganhash_cli.engine.overlap import Overlap
from ganhash_cli.engine.progress import Work
from ganhash_cli.engine.queries import Queries
from ganhash_cli.errors import InputError, MismatchError

RADIUS = 2
_NAMED = 5


@dataclass(frozen=True)
class Evaluation:
    """Every figure; `queries` are those with a relevant item, the only ones that count.

    `without_relevant` queries were left out; `unlabelled` images of the database are relevant to none.
    """

    bits: int
    fingerprint: str
    queries: int
    without_relevant: int
    database: int
    unlabelled: int
    map_at_all: float
    r: int
    map_at_r: float
    k: int
    precision_at_k: float
    curve: Curve
    distinct: int
    statistics: BitStatistics
    overlap: Overlap
    skipped: tuple[Skipped, ...]

    @property
    def radius(self) -> int:
        """The radius of the ball of P@H<=2: 2, or the longest distance there is."""
        return min(RADIUS, self.bits)

    def record(self) -> dict[str, Any]:
        """Return the figures as one JSON object; null where one is not defined."""
        figures = {
            "bits": self.bits,
            "fingerprint": self.fingerprint,
            "queries": self.queries,
            "queries_without_relevant": self.without_relevant,
            "database": self.database,
            "database_unlabelled": self.unlabelled,
            "map_at_all": self.map_at_all,
            "r": self.r,
            "map_at_r": self.map_at_r,
            "k": self.k,
            "precision_at_k": self.precision_at_k,
            "precision_within_2": float(self.curve.precision[self.radius]),
            "empty_balls_within_2": float(self.curve.empty[self.radius]),
            "distinct_codes": self.distinct,
            "worst_balance": self.statistics.worst_balance,
            "constant_bits": self.statistics.constant,
            "mean_correlation": self.statistics.mean_correlation,
            "most_correlation": self.statistics.most_correlation,
            "queries_in_database": len(self.overlap.in_database),
            "queries_in_training": len(self.overlap.in_training) if self.overlap.training_known else None,
            "database_not_compared": self.overlap.unreadable,
        }
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in figures.items()}


def evaluate(
    bundle: Bundle,
    stored: StoredCodes,
    collection: Collection,
    hasher: Hasher,
    *,
    k: int = 100,
    r: int = 1000,
    allow_overlap: bool = False,
) -> Work[Evaluation]:
    """Hash the queries by the model of the codes, look for leaks, and measure.

    Raises `MismatchError` where the codes come from another model, where no class is on both sides, and, without
    `allow_overlap`, where a query stands in the database or was trained on; `InputError` where labels are missing.
    """
    queries.require_match(bundle, stored)
    _require_labels(stored, collection)
    stored.verify()
    found = yield from queries.hash_queries(hasher, collection, bundle.side)
    known = yield from overlap.find(found, stored, bundle)
    if not allow_overlap:
        known.refuse()
    counts = _count(found, stored)
    counted = counts.with_relevant()
    return Evaluation(
        bits=bundle.bits,
        fingerprint=bundle.fingerprint,
        queries=len(counted.items),
        without_relevant=len(counts.items) - len(counted.items),
        database=len(stored),
        unlabelled=_unlabelled(stored),
        map_at_all=metrics.mean(metrics.average_precision(counted)),
        r=r,
        map_at_r=metrics.mean(metrics.average_precision_at(counted, r)),
        k=k,
        precision_at_k=metrics.mean(metrics.precision_at(counted, k)),
        curve=metrics.curve(counted),
        distinct=bits.distinct(stored.codes),
        statistics=bit_statistics.of(stored.codes, bundle.bits),
        overlap=known,
        skipped=found.skipped,
    )


def _require_labels(stored: StoredCodes, collection: Collection) -> None:
    """Refuse what cannot be judged: a side without labels, or sides that have no class of one name."""
    if not len(stored) or not stored.labelled:
        raise InputError(
            f"the images of {stored.path} have no labels",
            hint="encode a folder with a sub-folder for each class, or a CSV with path,label",
        )
    if not collection.labelled:
        raise InputError(
            f"the queries in {os.fsdecode(collection.root)} have no labels",
            hint="put each class into a folder of its own, or name a CSV with path,label",
        )
    ours, theirs = collection.class_names, stored.header.class_names
    if not set(ours) & set(theirs):
        raise MismatchError(
            f"no class has one name on both sides: the queries' are {_listed(ours)}, the database's {_listed(theirs)}",
            hint="name the folders or labels of the queries like those of the database",
        )


def _count(found: Queries, stored: StoredCodes) -> Histograms:
    """Count by distance; classes are the same where their names are."""
    number_of = {name: number for number, name in enumerate(stored.header.class_names)}
    wanted = ([number_of[name] for name in labels if name in number_of] for labels in found.labels)
    relevance = Relevance(*_labels(stored), len(number_of))
    return histograms.of_codes(found.codes, stored.codes, stored.header.bits, relevance.rows(wanted))


def _labels(stored: StoredCodes) -> tuple[histograms.Rows, histograms.Rows]:
    """Return all labels of the database, and the row that has each."""
    labels, rows = stored.column("labels").astype(np.int64), np.arange(len(stored))
    if "label_offsets" not in stored.columns:
        return labels, rows
    offsets = stored.column("label_offsets").astype(np.int64)
    return labels, np.repeat(rows, offsets[1:] - offsets[:-1])


def _unlabelled(stored: StoredCodes) -> int:
    labels, rows = _labels(stored)
    return len(stored) - len(np.unique(rows[labels >= 0]))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (" …" if len(names) > _NAMED else "")
