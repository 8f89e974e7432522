"""Images → codes.h5: only new and changed files are encoded, and a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import codes, decoding, distinct, files, images
from ganhash_cli.engine import runtime as runtimes
from ganhash_cli.engine.bits import Numeric
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header, path_record
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.draft import Draft
from ganhash_cli.engine.images import Collection, Entry, Skipped
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.runtime import Runtime
from ganhash_cli.engine.segments import SIZE, Segments, same_making
from ganhash_cli.errors import CorruptError, MismatchError, UsageError

BATCH = 32
PROBE = 256  # images on which a runtime is compared with the usual one
_TRIES = 3  # to read a file that changes while it is read

Square = NDArray[np.uint8]


class Hasher(Protocol):
    """What turns (N, side, side, 3) RGB bytes into (N, bits) logits: `runtime.Runtime`, or a stand-in."""

    def logits(self, images: Square, /) -> NDArray[np.float32]:
        """Return one row of logits an image."""
        ...


@dataclass(frozen=True)
class EncodeReport:
    """What an encode did: found = encoded + kept + skipped; `dropped` rows are those of files that are gone.

    `differing` is how many of a million bits differ from ONNX Runtime's in float32, None where that computed them all.
    """

    out: Path
    bits: int
    encoded: int
    kept: int
    dropped: int
    distinct: int
    seconds: float
    differing: float | None
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
    numeric: Numeric = "float32",
) -> Work[EncodeReport]:
    """Write the codes of a collection to `out`, its rows in the byte order of the paths.

    Codes of unchanged files are kept from `out` and from a stopped run. The runtime called `runtime_name` computes the
    others in the arithmetic `numeric`; `runtime` stands in its place. Raises `UsageError` where `out` holds another
    root or shard, `MismatchError` where it holds codes of another model or arithmetic, `InputError` where no image is
    usable; a shard may hold none.
    """
    started = time.monotonic()
    refused = [images.refuse(bad.path, bad.reason, strict=strict) for bad in collection.skipped]
    class_names = collection.class_names if collection.labelled else ()
    header = Header(
        *(bundle.bits, bundle.fingerprint, collection.root, bundle.side, bundle.source),
        *(class_names, numeric, collection.shard),
    )
    with files.lock(out):
        draft, segments = Draft(header, collection), Segments(out)
        before = [] if overwrite or not out.exists() else _adopt_output(out, draft)
        segments.adopt_into(draft)
        kept = int(draft.done.sum())
        missing = np.flatnonzero(~draft.done).tolist()
        differing = None
        if missing:
            opened = runtime or runtimes.open_runtime(bundle, runtime_name, numeric)
            if isinstance(opened, Runtime) and opened.name != "onnx":
                some = [collection.file(draft.entries[row]) for row in missing[:PROBE]]
                differing = _differing(opened, bundle, some)
            refused += yield from _encode_rows(missing, opened, collection, draft, segments, strict)
        if not draft.done.any() and collection.shard is None:  # a shard of few images may hold none
            raise images.nothing_usable(collection, refused)
        rows = draft.rows(np.flatnonzero(draft.done).tolist(), labelled=collection.labelled)
        codes.write(out, header, rows)
        _list_skipped(out, refused)
        segments.remove()
    return EncodeReport(
        out=out,
        bits=bundle.bits,
        encoded=len(rows.paths) - kept,
        kept=kept,
        dropped=sum(not draft.knows(path) for path in before),
        distinct=len(distinct.group(rows.codes)),
        seconds=time.monotonic() - started,
        differing=differing,
        skipped=tuple(refused),
    )


def place(bundle: Bundle, collection: Collection, usual: Path) -> Path:
    """Return where a folder's codes are kept: the usual file, or where that is taken one named after the folder.

    Raises `UsageError` where both hold others, which are never replaced.
    """
    named = usual.with_name(f"{os.fsdecode(os.path.basename(collection.root)) or 'root'}.{usual.name}")
    for path in (usual, named):
        if not path.exists():
            return path
        with codes.open_codes(path) as stored:
            made = (stored.header.root, stored.header.fingerprint, stored.header.bits)
            if made == (collection.root, bundle.fingerprint, bundle.bits):
                return path
    raise UsageError(
        f"{usual} and {named} hold the codes of other images or of another model",
        hint="encode the folder into a file of its own with `ganhash encode FOLDER -o FILE`, and name that file",
    )


def skipped_list(out: Path) -> Path:
    """Return the file beside `out` that lists what was skipped."""
    return out.with_name(f"{out.name}.skipped.jsonl")


def _differing(runtime: Runtime, bundle: Bundle, some: list[bytes]) -> float | None:
    """Return how many of a million bits of some images differ from those of ONNX Runtime in float32."""
    squares = [square for square in decoding.squares(some, bundle.side) if not isinstance(square, Undecodable)]
    if not squares:
        return None
    usual = runtimes.open_runtime(bundle, "onnx")
    batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    flips = [
        (_logits(runtime, batch, bundle.side) >= 0) != (_logits(usual, batch, bundle.side) >= 0) for batch in batches
    ]
    return 1e6 * float(np.concatenate(flips).mean())


def _adopt_output(out: Path, draft: Draft) -> list[bytes]:
    """Take over what `out` holds already, and return its paths; refuse an output of something else."""
    with codes.open_codes(out) as stored:
        if stored.header.root != draft.header.root:
            raise UsageError(
                f"{out} holds the codes of {os.fsdecode(stored.header.root)}, not of {os.fsdecode(draft.header.root)}",
                hint="write to another file with -o, or replace this one with --overwrite",
            )
        if stored.header.shard != draft.header.shard:
            wanted = f"shard {draft.header.shard}" if draft.header.shard else "all images"
            found = f"shard {stored.header.shard}" if stored.header.shard else "all images"
            raise UsageError(
                f"{out} holds the codes of {found}, not of {wanted}",
                hint="write to another file with -o, or replace this one with --overwrite",
            )
        if not same_making(stored.header, draft.header):
            other = "another model" if stored.header.numeric == draft.header.numeric else stored.header.numeric
            raise MismatchError(f"{out} holds codes of {other}", hint="replace them with --overwrite, or use -o")
        draft.adopt(stored)
        return stored.paths()


def _encode_rows(
    missing: list[int],
    hasher: Hasher,
    collection: Collection,
    draft: Draft,
    segments: Segments,
    strict: bool,
) -> Work[list[Skipped]]:
    """Encode the missing rows of the draft, saving them by segments; return what could not be."""
    side, started = draft.header.side, time.monotonic()
    squares = decoding.squares((collection.file(draft.entries[row]) for row in missing), side)
    skipped: list[Skipped] = []
    unsaved: list[int] = []
    try:
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            rows, entries, good = [], [], []
            for row, decoded in zip(part, islice(squares, len(part)), strict=True):
                entry, square = _settle(collection, draft.entries[row], decoded, side)
                if isinstance(square, Undecodable):
                    skipped.append(images.refuse(entry.path, str(square), strict=strict))
                    continue
                rows.append(row)
                entries.append(entry)
                good.append(square)
            if good:
                draft.fill(rows, entries, _logits(hasher, good, side))
                unsaved += rows
            if len(unsaved) >= SIZE:
                segments.add(draft, unsaved)
                unsaved = []
            done = start + len(part)
            rate = done / (time.monotonic() - started)
            yield Progress("encoding", done, len(missing), {"images/s": rate}, "images")
    finally:
        segments.add(draft, unsaved)
    return skipped


def _settle(
    collection: Collection, entry: Entry, square: Square | Undecodable, side: int
) -> tuple[Entry, Square | Undecodable]:
    """Make sure that what was decoded is the file as `entry` describes it; read it again where it has changed.

    The entry is older than the pixels, so a file that still looks like it has not changed in between.
    """
    for _ in range(_TRIES):
        try:
            status = os.stat(collection.file(entry))
        except OSError as error:
            return entry, Undecodable(error.strerror or str(error))
        now = replace(entry, size=status.st_size, mtime_ns=status.st_mtime_ns)
        if now == entry:
            return entry, square
        entry = now
        try:
            square = decoding.square(collection.file(entry), side)
        except Undecodable as reason:
            square = reason
    return entry, Undecodable("changed while it was read")


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


def _list_skipped(out: Path, skipped: list[Skipped]) -> None:
    """Write what was skipped, one JSON object a line; remove the list of an earlier run where nothing was."""
    path = skipped_list(out)
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with files.atomic_write(path) as stream:
        for bad in sorted(skipped, key=lambda bad: bad.path):
            record = {**path_record(bad.path), "reason": bad.reason}
            stream.write(json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n")
