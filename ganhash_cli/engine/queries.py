"""Query images → their codes, by the model that made the codes they are compared with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, decoders, decoding, files, images
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.encoder import BATCH, Hasher
from ganhash_cli.engine.images import Collection, Entry, Skipped
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.remote import Remote
from ganhash_cli.engine.remote_copy import Database
from ganhash_cli.errors import InputError, MismatchError

_NAMED = 3  # files that cannot be read, where none can


@dataclass(frozen=True)
class Queries:
    """Q images that could be read: their files, packed codes (Q, W) and labels, and what was left out.

    `logits` are what the codes are the signs of, (Q, bits); `digests` are the SHA-256 of their pixels.
    """

    files: tuple[bytes, ...]
    codes: bits.Codes
    labels: tuple[tuple[str, ...], ...]
    skipped: tuple[Skipped, ...]
    logits: NDArray[np.float32]
    digests: tuple[str, ...]

    def only(self, rows: Sequence[int]) -> Queries:
        """Return some of them, in the order of `rows`."""
        return replace(
            self,
            files=tuple(self.files[row] for row in rows),
            codes=self.codes[rows],
            labels=tuple(self.labels[row] for row in rows),
            logits=self.logits[rows],
            digests=tuple(self.digests[row] for row in rows),
        )


def require_match(bundle: Bundle, stored: Database | Remote) -> Header:
    """Return the header of codes; `MismatchError` where another model made them: distances would mean nothing."""
    header = stored.require_header() if isinstance(stored, Remote) else stored.header
    made_by = header.fingerprint
    if made_by != bundle.fingerprint:
        raise MismatchError(
            f"{stored.path} was made by the model {made_by[:12]}, but {bundle.folder} is {bundle.fingerprint[:12]}",
            hint="encode again with this model and --overwrite, or name the other model with --model",
        )
    return header


def hash_queries(hasher: Hasher, collection: Collection, side: int) -> Work[Queries]:
    """Compute the codes of a collection; `InputError` where none of it is an image."""
    paths = [collection.file(entry) for entry in collection.entries]
    squares = decoders.squares(paths, side)
    skipped, good, digests, parts = list(collection.skipped), list[Entry](), list[str](), []
    for start in range(0, len(paths), BATCH):
        part = collection.entries[start : start + BATCH]
        pairs = list(zip(part, islice(squares, len(part)), strict=True))
        skipped += [Skipped(entry.path, str(s)) for entry, s in pairs if isinstance(s, Undecodable)]
        usable = [(entry, s) for entry, s in pairs if not isinstance(s, Undecodable)]
        if usable:
            good += [entry for entry, _ in usable]
            digests += [decoding.pixel_digest(square) for _, square in usable]
            parts.append(hasher.logits(np.stack([square for _, square in usable])))
        if len(paths) > BATCH:  # a few are read at once; a bar for them would only be noise
            yield Progress("reading queries", start + len(part), len(paths), unit="images")
    if not parts:
        raise _none(collection, skipped)
    logits = np.concatenate(parts)
    return Queries(
        files=tuple(openable(collection.root, entry.path) for entry in good),
        codes=bits.pack(logits),
        labels=tuple(tuple(collection.class_names[label] for label in entry.labels) for entry in good),
        skipped=tuple(Skipped(openable(collection.root, each.path), each.reason) for each in skipped),
        logits=logits,
        digests=tuple(digests),
    )


def hash_square(hasher: Hasher, square: NDArray[np.uint8]) -> bits.Codes:
    """Compute the code, (W,), of a (side, side, 3) RGB square."""
    code: bits.Codes = bits.pack(hasher.logits(square[None]))[0]
    return code


def openable(root: bytes, path: bytes) -> bytes:
    """Return a path as one would type it here: relative to the current folder, or absolute where that is shorter."""
    here, full = os.getcwdb(), os.path.join(root, path)
    return min(full.removeprefix(os.path.join(here, b"")), files.relative(full, here), key=len)


def _none(collection: Collection, skipped: Iterable[Skipped]) -> InputError:
    """Say why there is no query: of a few files, what is wrong with each of them."""
    bad = list(skipped)
    if not bad:
        return images.nothing_usable(collection)
    faults = [f"{os.fsdecode(openable(collection.root, each.path))}: {each.reason}" for each in bad[:_NAMED]]
    more = f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    large = any("megapixels" in each.reason for each in bad)
    return InputError(
        "; ".join(faults) + more, hint="make it smaller" if large else "name an image, or a folder of images"
    )
