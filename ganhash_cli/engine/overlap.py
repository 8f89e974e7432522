"""Queries → those that the database or the training images hold too: a figure measured with them means little.

Two images are the same where the SHA-256 of their pixels is, at the square that the model sees. What stands in
codes.h5 is compared by its code first, so that only few images are decoded again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, decoders, decoding
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.queries import Queries
from ganhash_cli.engine.remote_copy import Database
from ganhash_cli.errors import MismatchError

_NAMED = 3  # of the queries found in one place
_PROGRESS = 256  # images from one report of progress to the next


@dataclass(frozen=True)
class Overlap:
    """The queries found in the database and among the training images, by their files.

    `unreadable` images of the database have the code of a query, but their files are gone; `training_known` is
    false for a model that keeps no list of what it was trained on.
    """

    in_database: tuple[bytes, ...]
    in_training: tuple[bytes, ...]
    unreadable: int
    training_known: bool

    def refuse(self) -> None:
        """Raise `MismatchError` with the names of the queries where there are any."""
        said = []
        if self.in_training:
            said.append(f"the model was trained on {_listed(self.in_training)}")
        if self.in_database:
            said.append(f"the database holds {_listed(self.in_database)}")
        if said:
            raise MismatchError(
                "; ".join(said), hint="leave these queries out, or count them all the same with --allow-overlap"
            )


def find(queries: Queries, stored: Database, bundle: Bundle) -> Work[Overlap]:
    """Compare the queries with the database, as far as its files are still there, and with the training images."""
    rows = np.flatnonzero(_like_a_query(queries, stored)).tolist()
    digests = list[str]()
    files = (os.path.join(stored.header.root, stored.path_of(row)) for row in rows)
    for done, square in enumerate(decoders.squares(files, bundle.side), start=1):
        if not isinstance(square, Undecodable):
            digests.append(decoding.pixel_digest(square))
        if done % _PROGRESS == 0 or done == len(rows):
            yield Progress("looking for queries in the database", done, len(rows), unit="images")
    held, trained_on = set(digests), bundle.training_images()
    named = list(zip(queries.files, queries.digests, strict=True))
    return Overlap(
        in_database=tuple(file for file, own in named if own in held),
        in_training=tuple(file for file, own in named if own in (trained_on or ())),
        unreadable=len(rows) - len(digests),
        training_known=trained_on is not None,
    )


def _like_a_query(queries: Queries, stored: Database) -> NDArray[np.bool_]:
    """Return which rows, (N,), may be the same image as a query: equal in code and, but for rounding, confidence.

    An index in another program keeps no confidence; then more images are decoded.
    """
    index = ExactIndex(stored.codes, stored.header.bits)
    confidence = stored.column("confidence").astype(np.int16) if "confidence" in stored.columns else None
    found = np.zeros(len(stored), np.bool_)
    for code, own in zip(queries.codes, bits.confidence(queries.logits).tolist(), strict=True):
        ((_, rows),) = index.radius(code[None], 0)
        found[rows if confidence is None else rows[np.abs(confidence[rows] - own) <= 1]] = True
    return found


def _listed(files: Sequence[bytes]) -> str:
    names = ", ".join(os.fsdecode(file) for file in files[:_NAMED])
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return f"{len(files):,} of the queries: {names}{more}"
