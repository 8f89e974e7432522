"""Images → codes.h5: only new and changed files are encoded, and a stopped run goes on where it was."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import codes, distinct, files, images, outputs, parallel, skipped_lists, takeover, wording
from ganhash_cli.engine import runtime as runtimes
from ganhash_cli.engine.bits import Numeric, Precision
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import require_fit
from ganhash_cli.engine.decoders import Decoders
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.draft import Draft
from ganhash_cli.engine.images import Collection, Entry, Skipped
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.runtime import Runtime
from ganhash_cli.engine.segments import SIZE, Segments
from ganhash_cli.errors import CorruptError

BATCH = 32
PROBE = 128  # images on which a runtime is compared with the usual one
_TRIES = 3  # to read a file that changes while it is read

Square = NDArray[np.uint8]


class Hasher(Protocol):
    """What turns (N, side, side, 3) RGB bytes into (N, bits) logits, for many threads: a `Runtime`, or a stand-in."""

    def logits(self, images: Square, /) -> NDArray[np.float32]:
        """Return one row of logits an image."""
        ...


@dataclass(frozen=True)
class EncodeReport:
    """What an encode did: found = encoded + kept + skipped; `dropped` rows are those of files that are gone.

    `relabelled` images had other labels in what was there before.
    `differing` is how many of a million bits differ from ONNX Runtime's in float32, None where that computed them all.
    `decoding` and `network` are the seconds that `threads` spent on each, added up.
    """

    out: Path
    bits: int
    encoded: int
    kept: int
    dropped: int
    relabelled: int
    distinct: int
    seconds: float
    differing: float | None
    decoding: float
    network: float
    threads: int
    skipped: tuple[Skipped, ...]

    @property
    def images(self) -> int:
        """The images that have a code."""
        return self.encoded + self.kept

    @property
    def found(self) -> int:
        """The images that were looked at."""
        return self.images + len(self.skipped)


def encode(
    bundle: Bundle,
    collection: Collection,
    out: Path,
    *,
    overwrite: bool = False,
    strict: bool = False,
    runtime: Hasher | None = None,
    runtime_name: runtimes.Name = "auto",
    precision: Precision = "float32",
) -> Work[EncodeReport]:
    """Write the codes of a collection to `out`, its rows in the byte order of the paths.

    Codes of unchanged files are kept from `out` and from a stopped run. The runtime called `runtime_name` computes the
    others in that precision; `runtime` stands in its place. Raises `UsageError` where `out`, or what a stopped run left
    for it, is of another root or shard, or `out` holds images that are still there but not in the collection,
    `MismatchError` where one is of another model or arithmetic, `InputError` where no image is usable; a shard may hold
    none. Rows below a folder that cannot be listed now are kept as they are.
    """
    started = time.monotonic()
    outputs.require_codes(out)
    refused = [images.refuse(bad.path, bad.reason, strict=strict) for bad in collection.skipped]
    with files.lock(out):
        numeric = _numeric(out, runtime_name, precision, overwrite=overwrite)
        draft, collection, before, relabelled = _begin(out, bundle, collection, numeric, overwrite)
        segments = Segments(out)
        segments.adopt_into(draft, overwrite=overwrite)
        kept = int(draft.done.sum())
        missing = np.flatnonzero(~draft.done).tolist()
        spent = _Spent()
        if missing:
            with Decoders().start(-(-len(missing) // BATCH)) as decoders:  # they start while the model is opened
                hasher = runtime or runtimes.open_runtime(
                    bundle, runtime_name, draft.header.numeric, parallel.threads()
                )
                other = isinstance(hasher, Runtime) and hasher.name != "onnx"
                usual = runtimes.open_runtime(bundle, "onnx", callers=parallel.threads()) if other else None
                batches = _Batches(hasher, usual, decoders, collection, draft.header.side)
                refused += yield from _encode_rows(missing, batches, draft, segments, spent, strict)
        if not draft.done.any() and collection.shard is None:  # a shard of few images may hold none
            raise images.nothing_usable(collection, refused)
        rows = draft.rows(np.flatnonzero(draft.done).tolist(), labelled=collection.labelled)
        codes.write(out, draft.header, rows)
        skipped_lists.write(out, skipped_lists.lines_of(refused))
        segments.remove()
    return EncodeReport(
        out=out,
        bits=bundle.bits,
        encoded=len(rows.paths) - kept,
        kept=kept,
        dropped=sum(not draft.knows(path) for path in before),
        relabelled=relabelled,
        distinct=len(distinct.group(rows.codes)),
        seconds=time.monotonic() - started,
        differing=1e6 * float(np.mean(spent.differing)) if spent.differing else None,
        decoding=spent.decoding,
        network=spent.network,
        threads=parallel.threads(),
        skipped=tuple(refused),
    )


def _numeric(out: Path, name: runtimes.Name, precision: Precision, *, overwrite: bool) -> Numeric:
    """Return the arithmetic to compute in; where any runtime will do, that of the codes which are there already."""
    if name == "auto" and precision == "bfloat16" and out.exists() and not overwrite:
        with codes.open_codes(out) as stored:
            if stored.header.numeric != "float32":
                return stored.header.numeric
    return runtimes.numeric_of(name, precision)


def _begin(
    out: Path, bundle: Bundle, collection: Collection, numeric: Numeric, overwrite: bool
) -> tuple[Draft, Collection, list[bytes], int]:
    """Take over what `out` holds already, unless it is to be overwritten; refuse an output of something else.

    Return the draft and its collection, the paths in `out`, and how many of these have other labels now.
    """
    if overwrite or not out.exists():
        return Draft(takeover.header_of(bundle, collection, numeric), collection), collection, [], 0
    with codes.open_codes(out) as stored:
        require_fit(stored.header, out, takeover.header_of(bundle, collection, numeric))
        collection = takeover.with_unread(collection, stored)
        takeover.require_no_loss(stored, collection)
        draft = Draft(takeover.header_of(bundle, collection, numeric), collection)
        stored.require_sound("codes")  # the one column that HDF5 has no checksum of, and it is about to get a new one
        draft.adopt(stored)
        return draft, collection, stored.paths(), takeover.relabelled(stored, collection)


@dataclass
class _Spent:
    """Where the time of a run went, in seconds of one thread, and the share of differing bits of each batch."""

    decoding: float = 0.0
    network: float = 0.0
    differing: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Batch:
    """Up to `BATCH` files as they were when they were read: rows of the draft with their logits, and what was bad."""

    rows: list[int]
    entries: list[Entry]
    bad: list[tuple[Entry, Undecodable]]
    logits: NDArray[np.float32] | None
    decoding: float
    network: float
    differing: float | None


@dataclass(frozen=True)
class _Batches:
    """Takes a batch of files to its logits on one thread, so that no thread waits for another."""

    hasher: Hasher
    usual: Hasher | None
    decoders: Decoders
    collection: Collection
    side: int

    def encode(self, part: tuple[int, list[tuple[int, Entry]]]) -> _Batch:
        """Decode some rows of the draft and compute them; the first of a run by the usual runtime too."""
        start, rows = part
        good, entries, bad, squares = [], [], [], []
        begun = time.perf_counter()
        read = self._read([entry for _, entry in rows])
        for (row, _), (entry, square) in zip(rows, read, strict=True):
            if isinstance(square, Undecodable):
                bad.append((entry, square))
            else:
                good.append(row)
                entries.append(entry)
                squares.append(square)
        decoded = time.perf_counter()
        logits = _logits(self.hasher, squares, self.side) if squares else None
        computed = time.perf_counter()
        differing = None
        if self.usual and logits is not None and start < PROBE:
            differing = float(((logits >= 0) != (_logits(self.usual, squares, self.side) >= 0)).mean())
        return _Batch(good, entries, bad, logits, decoded - begun, computed - decoded, differing)

    def _read(self, listed: list[Entry]) -> list[tuple[Entry, Square | Undecodable]]:
        """Decode files, and return them as they were then; those that change meanwhile are decoded again.

        An entry is older than its pixels, so a file that still looks like it has not changed in between.
        """
        read = list(zip(listed, self._decode(listed), strict=True))
        for place, (entry, square) in enumerate(read):
            for _ in range(_TRIES):
                try:
                    status = os.stat(self.collection.file(entry))
                except OSError as error:
                    square = Undecodable(wording.fault(error))
                    break
                if (status.st_size, files.mtime_ns(status)) == (entry.size, entry.mtime_ns):
                    break
                entry = replace(entry, size=status.st_size, mtime_ns=files.mtime_ns(status))
                square = self._decode([entry])[0]
            else:
                square = Undecodable("changed while it was read")
            read[place] = entry, square
        return read

    def _decode(self, entries: list[Entry]) -> list[Square | Undecodable]:
        return self.decoders.squares([self.collection.file(entry) for entry in entries], self.side)


def _encode_rows(
    missing: list[int], batches: _Batches, draft: Draft, segments: Segments, spent: _Spent, strict: bool
) -> Work[list[Skipped]]:
    """Encode the missing rows of the draft, saving them by segments; return what could not be."""
    begun = time.monotonic()
    parts = (
        (start, [(row, draft.entries[row]) for row in missing[start : start + BATCH]])
        for start in range(0, len(missing), BATCH)
    )
    skipped: list[Skipped] = []
    unsaved: list[int] = []
    done = 0
    results = parallel.each(batches.encode, parts)
    try:
        for batch in results:
            skipped += [images.refuse(entry.path, str(reason), strict=strict) for entry, reason in batch.bad]
            if batch.logits is not None:
                draft.fill(batch.rows, batch.entries, batch.logits)
                unsaved += batch.rows
            if len(unsaved) >= SIZE:
                segments.add(draft, unsaved)
                unsaved = []
            spent.decoding += batch.decoding
            spent.network += batch.network
            spent.differing += [] if batch.differing is None else [batch.differing]
            done += len(batch.rows) + len(batch.bad)
            yield Progress("encoding", done, len(missing), {"images/s": done / (time.monotonic() - begun)}, "images")
    finally:
        results.close()
        segments.add(draft, unsaved)
    return skipped


def _logits(hasher: Hasher, squares: list[Square], side: int) -> NDArray[np.float32]:
    """Return the logits of up to a batch, always computed as a whole one.

    The kernels that are chosen may depend on the size of a batch; so a code never depends on its neighbours.
    """
    batch = np.zeros((BATCH, side, side, 3), np.uint8)
    batch[: len(squares)] = squares
    logits = hasher.logits(batch)[: len(squares)]
    if not np.isfinite(logits).all():
        raise CorruptError("the model computes numbers that are not finite", hint="train it again")
    return logits
