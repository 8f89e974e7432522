"""codes.h5 → an index in another program: new and changed images only, so that a stopped push goes on where it was."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.engine import codes_format
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes import StoredCodes, open_codes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.remote import Remote
from ganhash_cli.errors import PluginError, UsageError

BATCH = 16384  # images; a push that is killed loses less than this


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


def push(path: Path, remote: Remote, *, replace: bool = False) -> Work[PushReport]:
    """Bring what the codes file at `path` holds into an index; with `replace`, nothing else stays there.

    Raises `MismatchError` where the index holds codes of another model or arithmetic, `UsageError` where it holds
    those of another folder.
    """
    started = time.monotonic()
    with open_codes(path) as stored:
        stored.require_sound("codes")
        if replace:
            remote.drop()
        if remote.header is None:
            remote.create(stored.header)
        _require_same(stored, remote, remote.header or stored.header)
        with remote.asking() as index:
            empty = index.count() == 0
        added = changed = 0
        for start in range(0, len(stored), BATCH):
            end = min(start + BATCH, len(stored))
            new, other = _push_rows(stored, remote, start, end, empty)
            added, changed = added + new, changed + other
            yield Progress("pushing", end, len(stored), {"images/s": end / (time.monotonic() - started)}, "images")
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


def _push_rows(stored: StoredCodes, remote: Remote, start: int, end: int, empty: bool) -> tuple[int, int]:
    """Bring some rows there; return how many were new, and how many were there with another code or other labels.

    Nothing is looked up in an index that was `empty` when the push began.
    """
    paths, labels = stored.paths_of(start, end), stored.labels_between(start, end)
    codes = stored.codes[start:end, : (stored.header.bits + 7) // 8]
    ids = [image_id(path) for path in paths]
    digests = _digests(paths, codes, labels)
    with remote.asking() as index:
        known = [None] * len(ids) if empty else index.digests(ids)
        rows = [row for row, digest in enumerate(digests) if known[row] != digest]
        if rows:
            index.add(
                [ids[row] for row in rows],
                codes[rows],
                [paths[row] for row in rows],
                [labels[row] for row in rows],
                [digests[row] for row in rows],
            )
    new = sum(known[row] is None for row in rows)
    return new, len(rows) - new


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
