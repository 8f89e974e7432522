"""codes.h5 → an index in another program: new and changed images only, so that a stopped push goes on where it was."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ganhash_cli.engine import codes_format
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes import StoredCodes, open_codes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.parallel import each
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.remote import Remote
from ganhash_cli.errors import PluginError, UsageError

BATCH = 32_768  # images; a push that is killed loses less than this, and smaller ones are slower


@dataclass(frozen=True)
class PushReport:
    """What a push did: images = added + changed + kept; `others` are in the index, but not in the file.

    `part` tells that the file is one of several parts, so that others are as it should be.
    """

    images: int
    added: int
    changed: int
    others: int
    seconds: float
    part: bool

    @property
    def kept(self) -> int:
        """The images that were there already, with the same code and labels."""
        return self.images - self.added - self.changed


class _Rows(NamedTuple):
    """Images as an index takes them, the codes (N, ceil(bits / 8))."""

    ids: list[int]
    codes: Codes
    paths: list[bytes]
    labels: list[tuple[str, ...]]
    digests: list[str]

    def chosen(self, rows: list[int]) -> _Rows:
        """Return some of the rows."""
        return _Rows(
            [self.ids[row] for row in rows],
            self.codes[rows],
            [self.paths[row] for row in rows],
            [self.labels[row] for row in rows],
            [self.digests[row] for row in rows],
        )


def push(path: Path, remote: Remote, *, replace: bool = False) -> Work[PushReport]:
    """Bring what the codes file at `path` holds into an index; with `replace`, nothing else stays there.

    Raises `MismatchError` where the index holds codes of another model or arithmetic, `UsageError` where it holds
    those of another folder.
    """
    started = time.monotonic()
    with open_codes(path) as stored:
        if replace:
            stored.verify()  # all of it, before what is there goes for it
            remote.drop()
        else:
            stored.require_sound("codes")
        if remote.header is None:
            remote.create(stored.header)
        _require_same(stored, remote, remote.header or stored.header)
        with remote.asking() as index:
            empty = index.count() == 0
        added = changed = end = 0
        # Batches are made ready while the index takes the one before: otherwise each waits for the other.
        with closing(each(partial(_rows, stored), range(0, len(stored), BATCH), ahead=1)) as batches:
            for rows in batches:
                new, other = _push_rows(rows, remote, empty)
                added, changed, end = added + new, changed + other, end + len(rows.ids)
                speed = end / (time.monotonic() - started)
                yield Progress("pushing", end, len(stored), {"images/s": speed}, "images")
        with remote.asking() as index:
            index.finish()
            count = index.count()
        if count < len(stored):
            raise PluginError(f"{remote.path} holds {count:,} images, but {len(stored):,} were brought there")
        others, seconds = count - len(stored), time.monotonic() - started
        return PushReport(len(stored), added, changed, others, seconds, part=stored.header.shard is not None)


def image_id(path: bytes) -> int:
    """Return the id of an image in an index, below 2 ** 63: it follows from the path below the root alone.

    So an image keeps its id from push to push, and parts may be pushed by several machines.
    """
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big") >> 1


def _rows(stored: StoredCodes, start: int) -> _Rows:
    """Read a batch, from row `start` on."""
    end = min(start + BATCH, len(stored))
    paths, labels = stored.paths_of(start, end), stored.labels_between(start, end)
    codes = stored.codes[start:end, : (stored.header.bits + 7) // 8]
    return _Rows([image_id(path) for path in paths], codes, paths, labels, _digests(paths, codes, labels))


def _push_rows(rows: _Rows, remote: Remote, empty: bool) -> tuple[int, int]:
    """Bring some rows there; return how many were new, and how many were there with another code or other labels.

    Nothing is looked up in an index that was `empty` when the push began.
    """
    with remote.asking() as index:
        known = [None] * len(rows.ids) if empty else index.digests(rows.ids)
        wanted = [row for row, digest in enumerate(rows.digests) if known[row] != digest]
        if wanted:
            index.add(*(rows if len(wanted) == len(rows.ids) else rows.chosen(wanted)))
    new = sum(known[row] is None for row in wanted)
    return new, len(wanted) - new


def _digests(paths: list[bytes], codes: Codes, labels: list[tuple[str, ...]]) -> list[str]:
    """Return for each image what changes with anything that an index keeps of it, 32 hexadecimal digits."""
    names = {each: ascii(each).encode() for each in set(labels)}
    width, packed = codes.shape[1], codes.tobytes()
    starts = range(0, len(packed), width)
    return [
        hashlib.blake2b(packed[at : at + width] + names[each] + path, digest_size=16).hexdigest()
        for at, path, each in zip(starts, paths, labels, strict=True)
    ]


def _require_same(stored: StoredCodes, remote: Remote, there: Header) -> None:
    ours = stored.header
    other = "replace what is there with --replace, or push to another collection with --name"
    codes_format.require_one_maker(ours, stored.path, there, remote.path, other)
    if there.root != ours.root:
        raise UsageError(
            f"{remote.path} holds the images of {os.fsdecode(there.root)}, but {stored.path} those of"
            f" {os.fsdecode(ours.root)}",
            hint=other,
        )
