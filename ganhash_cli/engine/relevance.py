"""Labels of a database → which of its images are relevant to a query; classes are the same where their names are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ganhash_cli.engine.histograms import Rows
from ganhash_cli.engine.images import Collection, nothing_usable
from ganhash_cli.engine.queries import openable
from ganhash_cli.engine.remote_copy import Database
from ganhash_cli.errors import InputError, MismatchError

_NAMED = 5


class Relevance:
    """Knows the images that share at least one label with a query; `unlabelled` ones are relevant to none."""

    def __init__(self, class_names: Sequence[str], labels: Rows, images: Rows, count: int) -> None:
        """Take pairs of a label, a number into `class_names` or -1, and the image of `count` that has it."""
        order = np.argsort(labels, kind="stable")
        ends = np.searchsorted(labels[order], np.arange(len(class_names) + 1))
        parts = (images[order[start:end]] for start, end in pairwise(ends))
        self._images_of = dict(zip(class_names, parts, strict=True))
        self._count = count
        self.unlabelled = count - len(np.unique(images[labels >= 0]))

    @classmethod
    def of(cls, stored: Database) -> Relevance:
        """Read the labels of a database that has some."""
        labels, images = stored.column("labels").astype(np.int64), np.arange(len(stored))
        if "label_offsets" in stored.columns:
            offsets = stored.column("label_offsets").astype(np.int64)
            images = np.repeat(images, offsets[1:] - offsets[:-1])
        return cls(stored.header.class_names, labels, images, len(stored))

    def rows(self, queries: Iterable[Sequence[str]]) -> Iterator[Rows]:
        """Yield the images relevant to each query, which is given by its labels.

        >>> found = Relevance(["cat", "dog"], np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
        >>> [rows.tolist() for rows in found.rows([("cat",), ("cat", "dog"), ("cow",)])]
        [[0], [0, 1], []]
        """
        for labels in queries:
            parts = [self._images_of[label] for label in labels if label in self._images_of]
            yield parts[0] if len(parts) == 1 else self._any_of(parts)

    def _any_of(self, parts: Iterable[Rows]) -> Rows:
        """Return the images that stand in at least one part, rising; no sort, which takes longer than the distances."""
        found = np.zeros(self._count, np.bool_)
        for part in parts:
            found[part] = True
        return np.flatnonzero(found)


def require_labels(stored: Database, queries: Collection, source: Path) -> None:
    """Refuse what cannot be judged: a side without labels, or sides that have no class of one name.

    The queries are those of `source`, which an error names as it was typed.
    """
    if not len(stored) or not stored.labelled:
        raise InputError(
            f"the images of {stored.path} have no labels",
            hint="encode a folder with a sub-folder for each class, or a CSV with path,label",
        )
    if not queries.entries:
        raise nothing_usable(queries, queries.skipped)
    if not queries.labelled:
        unread = [f" ({os.fsdecode(openable(queries.root, bad.path))}: {bad.reason})" for bad in queries.skipped[:1]]
        raise InputError(
            f"the queries of {source} have no labels{''.join(unread)}",
            hint="put each class into a folder of its own, or name a CSV with path,label",
        )
    ours, theirs = queries.class_names, stored.header.class_names
    if not set(ours) & set(theirs):
        raise MismatchError(
            f"no class has one name on both sides: the queries' are {listed(ours)}, the database's {listed(theirs)}",
            hint="name the folders or labels of the queries like those of the database",
        )


def listed(names: Sequence[str]) -> str:
    """Name the first of some classes.

    >>> listed(["cat", "dog"]), listed("abcdef")
    ("'cat', 'dog'", "'a', 'b', 'c', 'd', 'e' …")
    """
    return ", ".join(map(repr, names[:_NAMED])) + (" …" if len(names) > _NAMED else "")
