"""Labelled queries against codes → every figure of retrieval, by the definitions of metrics.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
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
from ganhash_cli.engine.histograms import Histograms
from ganhash_cli.engine.images import Collection, Skipped
from ganhash_cli.engine.metrics import Curve, Values
from ganhash_cli.engine.overlap import Overlap
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.queries import Queries
from ganhash_cli.engine.relevance import Relevance, listed, require_labels
from ganhash_cli.engine.remote import Remote
from ganhash_cli.engine.remote_answers import Recall
from ganhash_cli.engine.remote_copy import Database
from ganhash_cli.engine.shards import Shard
from ganhash_cli.errors import InputError

RADIUS = 2
_PAIRS = 1 << 28  # of queries and images, whose distances take a second or two
_QUERIES = 64  # at least, from one report of progress to the next: enough for all processors


@dataclass(frozen=True)
class Asked:
    """Images to ask with, what was typed to name them, and what hashes them."""

    source: Path
    collection: Collection
    hasher: Hasher


@dataclass(frozen=True)
class Remark:
    """What is to be said beside the figures; `warns` where without it they would be taken for more than they are."""

    text: str
    warns: bool = True


@dataclass(frozen=True)
class Evaluation:
    """Every figure; `queries` are those with a relevant item, the only ones that count.

    `map_at_all_reranked` ranks by asymmetric distance; None where that was not asked for.
    `without_relevant` queries were left out, `without_label` of them for want of a label, the others because the
    database has no image of `absent` classes; `unlabelled` images of the database are relevant to none.
    `recall` is what an approximate index in another program finds; the other figures rank all codes.
    `each` is the tie-aware average precision of every query that was asked, nan where it was left out. `shard` is
    the part of a database that was searched, None where that was all of it.
    """

    bits: int
    fingerprint: str
    queries: int
    without_relevant: int
    without_label: int
    absent: tuple[str, ...]
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
    shard: Shard | None = None
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
            **({"shard": str(self.shard)} if self.shard else {}),
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

    def remarks(self) -> list[Remark]:
        """Say what the figures leave out, and what could not be checked."""
        known, found = self.overlap, list[Remark]()
        if self.recall:
            text = f"the figures rank all codes; the index searches approximately: {self.recall} of the queries"
            found.append(Remark(text, warns=False))
        if lost := self.without_relevant - self.without_label:
            what = f"without an image of their class in the database: {listed(self.absent)}"
            found.append(Remark(f"left out: {wording.counted(lost, 'query', 'queries')} {what}"))
        if self.without_label:
            found.append(Remark(f"left out: {wording.counted(self.without_label, 'query', 'queries')} without a label"))
        if self.unlabelled:
            images = wording.counted(self.unlabelled, "image")
            found.append(Remark(f"relevant to no query: {images} of the database without a label", warns=False))
        if known.in_database or known.in_training:
            both = f"in the database {len(known.in_database):,}, in training {len(known.in_training):,}"
            text = f"queries that were seen before: {both}; they count, as --allow-overlap says, and are too easy"
            found.append(Remark(text))
        if known.unreadable:
            images = wording.counted(known.unreadable, "image")
            what = f"{images} of the database with the code of one, whose files are gone"
            found.append(Remark(f"not compared with the queries: {what}"))
        if not known.training_known:
            text = "the model keeps no list of its training images; whether it saw a query could not be checked"
            found.append(Remark(text))
        return found


def of_part(shard: Shard) -> str:
    """Say that figures are of a part of a database."""
    return f"these codes are shard {shard} alone; `ganhash merge` puts all together"


def evaluate(
    bundle: Bundle,
    stored: Database,
    asked: Asked,
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
    require_labels(stored, asked.collection, asked.source)
    if isinstance(stored, StoredCodes):
        stored.verify()
    found = yield from queries.hash_queries(asked.hasher, asked.collection, bundle.side)
    known = yield from overlap.find(found, stored, bundle)
    if not allow_overlap:
        known.refuse()
    result = yield from measure(found, stored, known, k=k, r=r, rerank=rerank)
    if remote is None or remote.index.exact:
        return result
    return replace(result, recall=remote_answers.sampled_recall(remote, found.codes, k))


def measure(
    found: Queries, stored: Database, known: Overlap, *, k: int, r: int, rerank: bool = False
) -> Work[Evaluation]:
    """Measure queries against codes of their model; `InputError` where no query has a relevant image."""
    relevance = Relevance.of(stored)
    counts = yield from _counts(found, stored, relevance)
    counted = counts.with_relevant()
    if not len(counted.items):
        raise InputError(
            f"of {wording.counted(len(counts.items), 'query', 'queries')} none has an image of its class in"
            f" {stored.path}",
            hint="name queries of classes that the database holds",
        )
    each = metrics.average_precision(counts)
    reranked = (yield from _reranked(found, stored, relevance)) if rerank else None
    left_out = [labels for labels, value in zip(found.labels, each, strict=True) if math.isnan(value)]
    return Evaluation(
        bits=stored.header.bits,
        fingerprint=stored.header.fingerprint,
        queries=len(counted.items),
        without_relevant=len(left_out),
        without_label=left_out.count(()),
        absent=tuple(sorted({label for labels in left_out for label in labels})),
        database=len(stored),
        unlabelled=relevance.unlabelled,
        each=each,
        map_at_all=metrics.mean(each),
        map_at_all_reranked=reranked,
        r=r,
        map_at_r=metrics.mean(metrics.average_precision_at(counted, r)),
        k=k,
        precision_at_k=metrics.mean(metrics.precision_at(counted, k)),
        curve=metrics.curve(counted),
        distinct=len(distinct.group(stored.codes)),
        statistics=bit_statistics.of(stored.codes, stored.header.bits),
        overlap=known,
        skipped=found.skipped,
        shard=stored.header.shard,
    )


def _counts(found: Queries, stored: Database, relevance: Relevance) -> Work[Histograms]:
    """Count the images at each distance, and tell now and then how many queries are through."""
    total, step = len(found.codes), max(_QUERIES, _PAIRS // len(stored))
    parts = []
    for start in range(0, total, step):
        some = slice(start, start + step)
        relevant = relevance.rows(found.labels[some])
        parts.append(histograms.of_codes(found.codes[some], stored.codes, stored.header.bits, relevant))
        if total > step:  # what takes a moment needs no bar
            yield Progress("ranking the database", min(start + step, total), total, unit="queries")
    return Histograms(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("items", "hits")))


def _reranked(found: Queries, stored: Database, relevance: Relevance) -> Work[float]:
    """Return mAP@all by asymmetric distance, and tell of each query, which takes as long as hundreds by codes do."""
    values, total = [], len(found.codes)
    by_logits = histograms.of_logits(found.logits, stored.codes, relevance.rows(found.labels))
    for done, counts in enumerate(by_logits, start=1):
        values.append(metrics.average_precision(counts))
        yield Progress("ranking by asymmetric distance", done, total, unit="queries")
    return metrics.mean(np.concatenate(values))
