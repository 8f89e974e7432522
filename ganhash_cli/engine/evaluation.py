"""Labelled queries against codes → every figure of retrieval, by the definitions of metrics.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ganhash_cli.engine import (
    bit_statistics,
    distinct,
    histograms,
    metrics,
    overlap,
    queries,
    remote_answers,
    wording,
)
from ganhash_cli.engine.bit_statistics import BitStatistics
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.encoder import Hasher
from ganhash_cli.engine.images import Collection, Skipped
from ganhash_cli.engine.metrics import Curve, Values
from ganhash_cli.engine.overlap import Overlap
from ganhash_cli.engine.progress import Work
from ganhash_cli.engine.queries import Queries
from ganhash_cli.engine.relevance import Relevance, require_labels
from ganhash_cli.engine.remote import Remote
from ganhash_cli.engine.remote_answers import Recall
from ganhash_cli.engine.remote_copy import Database
from ganhash_cli.errors import InputError

RADIUS = 2


@dataclass(frozen=True)
class Evaluation:
    """Every figure; `queries` are those with a relevant item, the only ones that count.

    `map_at_all_reranked` ranks by asymmetric distance; None where that was not asked for.
    `without_relevant` queries were left out; `unlabelled` images of the database are relevant to none.
    `recall` is what an approximate index in another program finds; the other figures rank all codes.
    `each` is the tie-aware average precision of every query that was asked, nan where it was left out.
    """

    bits: int
    fingerprint: str
    queries: int
    without_relevant: int
    database: int
    unlabelled: int
    each: Values
    map_at_all: float
    map_at_all_reranked: float | None
    r: int
    map_at_r: float
    k: int
    precision_at_k: float
    curve: Curve
    distinct: int
    statistics: BitStatistics
    overlap: Overlap
    skipped: tuple[Skipped, ...]
    recall: Recall | None = None

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
            **({} if self.map_at_all_reranked is None else {"map_at_all_reranked": self.map_at_all_reranked}),
            "r": self.r,
            "map_at_r": self.map_at_r if self.r <= self.database else None,
            "k": self.k,
            "precision_at_k": self.precision_at_k if self.k <= self.database else None,
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
            **({"index_recall": self.recall.share} if self.recall else {}),
        }
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in figures.items()}


def evaluate(
    bundle: Bundle,
    stored: Database,
    collection: Collection,
    hasher: Hasher,
    *,
    k: int = 100,
    r: int = 1000,
    rerank: bool = False,
    allow_overlap: bool = False,
    remote: Remote | None = None,
) -> Work[Evaluation]:
    """Hash the queries by the model of the codes, look for leaks, and measure; of a `remote` index its recall too.

    Raises `MismatchError` where the codes come from another model, where no class is on both sides, and, without
    `allow_overlap`, where a query stands in the database or was trained on; `InputError` where labels are missing
    or no query has a relevant image.
    """
    queries.require_match(bundle, stored)
    require_labels(stored, collection)
    if isinstance(stored, StoredCodes):
        stored.verify()
    found = yield from queries.hash_queries(hasher, collection, bundle.side)
    known = yield from overlap.find(found, stored, bundle)
    if not allow_overlap:
        known.refuse()
    result = measure(found, stored, known, k=k, r=r, rerank=rerank)
    if remote is None or remote.index.exact:
        return result
    return replace(result, recall=remote_answers.sampled_recall(remote, found.codes, k))


def measure(found: Queries, stored: Database, known: Overlap, *, k: int, r: int, rerank: bool = False) -> Evaluation:
    """Measure queries against codes of their model; `InputError` where no query has a relevant image."""
    relevance = Relevance.of(stored)
    counts = histograms.of_codes(found.codes, stored.codes, stored.header.bits, relevance.rows(found.labels))
    counted = counts.with_relevant()
    if not len(counted.items):
        raise InputError(
            f"of {wording.counted(len(counts.items), 'query', 'queries')} none has an image of its class in"
            f" {stored.path}",
            hint="name queries of classes that the database holds",
        )
    each = metrics.average_precision(counts)
    by_logits = histograms.of_logits(found.logits, stored.codes, relevance.rows(found.labels)) if rerank else ()
    reranked = [metrics.average_precision(each) for each in by_logits]
    return Evaluation(
        bits=stored.header.bits,
        fingerprint=stored.header.fingerprint,
        queries=len(counted.items),
        without_relevant=len(counts.items) - len(counted.items),
        database=len(stored),
        unlabelled=relevance.unlabelled,
        each=each,
        map_at_all=metrics.mean(each[~np.isnan(each)]),
        map_at_all_reranked=metrics.mean(np.concatenate(reranked)) if rerank else None,
        r=r,
        map_at_r=metrics.mean(metrics.average_precision_at(counted, r)),
        k=k,
        precision_at_k=metrics.mean(metrics.precision_at(counted, k)),
        curve=metrics.curve(counted),
        distinct=len(distinct.group(stored.codes)),
        statistics=bit_statistics.of(stored.codes, stored.header.bits),
        overlap=known,
        skipped=found.skipped,
    )
