"""What a codes file holds: its columns and attributes, and how images become them."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import wording
from ganhash_cli.engine.bits import Codes, Numeric
from ganhash_cli.engine.shards import Shard
from ganhash_cli.errors import CorruptError, MismatchError, UsageError

FORMAT = b"ganhash-codes"
SCHEMA = 2
ELSEWHERE = "write to another file with -o, or replace this one with --overwrite"


@dataclass(frozen=True)
class Column:
    """What one dataset must be, at `most` so many bytes; a `mapped` one lies in one uncompressed piece."""

    dtype: str
    rank: int = 1
    required: bool = True
    mapped: bool = False
    most: int | None = None


COLUMNS = {
    "codes": Column("u1", rank=2, mapped=True),
    "path_bytes": Column("u1"),
    "path_offsets": Column("<u8"),
    "size": Column("<u8"),
    "mtime_ns": Column("<i8"),
    "confidence": Column("u1"),
    "labels": Column("<i4", required=False),
    "label_offsets": Column("<u8", required=False),
    "class_names": Column("u1", required=False, most=16 << 20),  # read whole on opening
}


@dataclass(frozen=True)
class Header:
    """What all codes of a file have in common; paths are relative to `root`, `side` is in pixels.

    `numeric` is the arithmetic they were computed in; `shard` is None where the file is whole.
    """

    bits: int
    fingerprint: str
    root: bytes
    side: int
    trained_on: str
    class_names: tuple[str, ...] = ()
    numeric: Numeric = "float32"
    shard: Shard | None = None

    @property
    def maker(self) -> tuple[str, int, int, Numeric]:
        """What made the codes, the model and the arithmetic; those of two makers are not compared."""
        return self.fingerprint, self.bits, self.side, self.numeric


@dataclass(frozen=True)
class Rows:
    """N images: (N, W) packed codes, their paths, what tells whether a file has changed, and their labels.

    `confidence` is 255 tanh(|z| / 2) of the logit z nearest to zero: 0 where that bit was undecided.
    """

    codes: Codes
    paths: Sequence[bytes]
    size: NDArray[np.uint64]
    mtime_ns: NDArray[np.int64]
    confidence: NDArray[np.uint8]
    labels: Sequence[tuple[int, ...]] | None = None


def attributes(columns: Iterable[str], *, sharded: bool = False) -> dict[str, type]:
    """Return the attributes of a file with these columns: each a text (`bytes`) or a number (`int`)."""
    return {
        **dict.fromkeys(("schema", "bits", "side", *(("shard", "shards") if sharded else ())), int),
        **dict.fromkeys(("format", "fingerprint", "numeric", "root", "trained_on", "sha256"), bytes),
        **{f"sha256_{name}": bytes for name in columns},
    }


def pack(header: Header, rows: Rows) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the columns of a file and its attributes."""
    packed = {"codes": rows.codes, **_pack_paths(rows.paths)}
    packed |= {"size": rows.size, "mtime_ns": rows.mtime_ns, "confidence": rows.confidence}
    if rows.labels is not None:
        packed |= _pack_labels(rows.labels)
        packed["class_names"] = pack_class_names(header)
    columns = {name: data.astype(COLUMNS[name].dtype, copy=False) for name, data in packed.items()}
    return columns, facts(header, {name: digest(data) for name, data in columns.items()})


def require_one_maker(one: Header, name: object, other: Header, other_name: object, hint: str) -> None:
    """Raise `MismatchError` where codes under two headers were made by two models, or in two arithmetics."""
    if replace(one, numeric=other.numeric).maker != other.maker:
        makers = f"the model {one.fingerprint[:12]}, but {other_name} by {other.fingerprint[:12]}"
        raise MismatchError(f"{name} was made by {makers}", hint)
    if one.numeric != other.numeric:
        raise MismatchError(f"{name} was computed in {one.numeric}, but {other_name} in {other.numeric}", hint)


def require_fit(found: Header, holder: object, wanted: Header) -> None:
    """Refuse codes of another root, shard, model or arithmetic in the place of those that are wanted.

    Raises `UsageError` or `MismatchError`.
    """
    if found.root != wanted.root:
        raise UsageError(
            f"{holder} holds the codes of {os.fsdecode(found.root)}, not of {os.fsdecode(wanted.root)}", hint=ELSEWHERE
        )
    if found.shard != wanted.shard:
        held, asked = (f"shard {shard}" if shard else "all images" for shard in (found.shard, wanted.shard))
        raise UsageError(f"{holder} holds the codes of {held}, not of {asked}", hint=ELSEWHERE)
    anew = "replace them with --overwrite, or use -o"
    if replace(found, numeric=wanted.numeric).maker != wanted.maker:
        raise MismatchError(f"{holder} holds codes of another model", hint=anew)
    if found.numeric != wanted.numeric:
        precision, _, by = found.numeric.partition("-")
        keeping = f"--precision {precision}{by and f' --runtime {by}'}"
        raise MismatchError(f"{holder} holds codes of {found.numeric}", hint=f"keep to it with {keeping}, {anew}")


def facts(header: Header, digests: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the attributes of a file whose columns have these digests."""
    unsealed: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "bits": header.bits,
        "side": header.side,
        "fingerprint": header.fingerprint.encode(),
        "numeric": header.numeric.encode(),
        "root": header.root,
        "trained_on": header.trained_on.encode(errors="surrogateescape"),
        **({"shard": header.shard.number, "shards": header.shard.count} if header.shard else {}),
        **{f"sha256_{name}": value for name, value in digests.items()},
    }
    return {**unsealed, "sha256": seal(unsealed)}


def pack_class_names(header: Header) -> NDArray[np.uint8]:
    """Return the column `class_names`; `UsageError` where it is longer than readers take."""
    packed = np.frombuffer(json.dumps(header.class_names).encode(), np.uint8)
    most = COLUMNS["class_names"].most
    if most is not None and len(packed) > most:
        raise UsageError(
            f"the names of {wording.counted(len(header.class_names), 'class', 'classes')} take {len(packed):,} bytes,"
            f" but a file of codes holds {most:,}",
            hint="give images that belong together one short label, and leave captions out of the list",
        )
    return packed


def digest(data: NDArray[Any]) -> bytes:
    """Return the SHA-256 of an array's bytes in hexadecimal."""
    return digest_of_parts([data])


def digest_of_parts(parts: Iterable[NDArray[Any]]) -> bytes:
    """Return the SHA-256 of the bytes of arrays that follow each other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest().encode()


def seal(facts: dict[str, Any]) -> bytes:
    """Return the SHA-256 over all other attributes, which is the attribute `sha256`."""
    plain = {name: value.decode("latin-1") if isinstance(value, bytes) else int(value) for name, value in facts.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest().encode()


def again(holder: object) -> str:
    """Return what makes a codes file anew, or brings codes into an index, where `holder` is no file."""
    if not isinstance(holder, Path):
        return "push the codes there anew"
    return f"make it anew: `ganhash encode FOLDER -o {shlex.quote(os.fspath(holder))} --overwrite`"


def inside(path: bytes, holder: object) -> bytes:
    """Return a path relative to the root; `CorruptError` where it leads out of it, as `holder` has no right to."""
    if not path or path.startswith(b"/") or b"\0" in path or b".." in path.split(b"/"):
        raise CorruptError(f"{holder} is unsafe: it names {path!r}, outside its root", again(holder))
    return path


def require_padding(codes: Codes, bits: int, holder: object) -> None:
    """Refuse, by `CorruptError`, (N, W) codes with more than zeros behind `bits`: they would count in distances."""
    whole = bits // 8
    behind = np.packbits(np.arange(8 * whole, 8 * codes.shape[1]) >= bits)
    if (codes[:, whole:] & behind).any():
        raise CorruptError(f"{holder} is damaged: a code goes on behind its {bits} bits", again(holder))


def _pack_paths(paths: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    blob = np.frombuffer(b"".join(paths), np.uint8)
    return {"path_bytes": blob, "path_offsets": _offsets([len(path) for path in paths])}


def _pack_labels(labels: Sequence[tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Lay out one label an image, -1 for none, or where an image has several all of them behind offsets."""
    if all(len(numbers) < 2 for numbers in labels):
        return {"labels": np.array([numbers[0] if numbers else -1 for numbers in labels], np.int32)}
    flat = np.array([number for numbers in labels for number in numbers], np.int32)
    return {"labels": flat, "label_offsets": _offsets([len(numbers) for numbers in labels])}


def _offsets(lengths: list[int]) -> NDArray[np.uint64]:
    offsets = np.zeros(len(lengths) + 1, np.uint64)
    np.cumsum(lengths, out=offsets[1:], dtype=np.uint64)
    return offsets
