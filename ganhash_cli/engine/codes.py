"""codes.h5: written whole, checked before anything is read, its codes mapped into memory, the rest on demand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, codes_format, files, outputs, safe_hdf5
from ganhash_cli.engine.chunks import DEFLATE
from ganhash_cli.engine.codes_format import COLUMNS, Header, Rows, again, inside, require_padding
from ganhash_cli.engine.safe_hdf5 import check, check_attributes, h5py
from ganhash_cli.engine.shards import MOST as MOST_SHARDS
from ganhash_cli.engine.shards import Shard
from ganhash_cli.errors import CorruptError, InputError

CHANGED = "changed since it was encoded"
_MAX_FILE_BYTES = 64 << 30
_CHUNK_BYTES = 256 << 10
_CACHE_BYTES = 8 << 20  # for each column, HDF5's own default
_BLOCK = 1 << 20  # rows, offsets or labels looked at in one go
_PATHS = 4096  # paths read in one go
_MAX_PATH_BYTES = (1 << 16) - 1


class StoredCodes:
    """An opened, checked codes file: its `header` and the mapped `codes` (N, W); the rest is read on demand."""

    def __init__(self, path: Path, stream: IO[bytes], file: h5py.File) -> None:
        self.path = path
        self._stream, self._made = stream, _made(stream)
        self.file_bytes = stream.seek(0, 2)
        self._file = file
        _check_schema(file, self.file_bytes)
        self.header = _read_header(file)
        self.codes_digest: str = file.attrs["sha256_codes"].decode()
        self.digest: str = file.attrs["sha256"].decode()  # over the digests of all columns: changes with any of them
        # Opened once: with a dataset that is closed goes its cache of chunks, and each row would unpack them anew.
        self._data = {name: file[name] for name in file}
        self._check_shapes()
        self.codes: bits.Codes = safe_hdf5.mapped(stream, file["codes"])

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def overwritten(self) -> bool:
        """Whether the bytes of the file are others now than when it was opened, and with them the mapped codes."""
        return _made(self._stream) != self._made

    @property
    def labelled(self) -> bool:
        """Whether images have labels."""
        return "labels" in self._data

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the datasets."""
        return tuple(self._file)

    def stored_bytes(self, name: str) -> int:
        """Return how many bytes a column takes in the file."""
        return int(self._data[name].id.get_storage_size())

    def column(self, name: str) -> NDArray[Any]:
        """Read a whole column, such as `size` or `confidence`, (N,)."""
        return self.read(name, 0, len(self._file[name]))

    def length(self, name: str) -> int:
        """Return the number of elements of a column."""
        return len(self._data[name])

    def path_of(self, row: int) -> bytes:
        """Return the path of a row, relative to the root."""
        start, end = self._path_offsets(row, row + 2).tolist()
        return inside(self.read("path_bytes", start, end).tobytes(), self.path)

    def changed(self, row: int) -> bool:
        """Whether the file of a row is there, but of another size than was encoded.

        Its time says less: a copy of a whole collection often has new ones.
        """
        try:
            size = os.stat(os.path.join(self.header.root, self.path_of(row))).st_size
        except OSError:
            return False
        return size != int(self.read("size", row, row + 1)[0])

    def paths(self) -> list[bytes]:
        """Return the paths of all rows."""
        return list(self._each_path())

    def labels_of(self, row: int) -> tuple[str, ...]:
        """Return the names of a row's labels."""
        return self.labels_between(row, row + 1)[0]

    def labels_between(self, start: int, end: int) -> list[tuple[str, ...]]:
        """Return the names of the labels of the rows from `start` to before `end`."""
        if not self.labelled:
            return [()] * (end - start)
        offsets = list(range(start, end + 1))
        if "label_offsets" in self._data:
            offsets = self.read("label_offsets", start, end + 1).tolist()
        numbers = self.read("labels", offsets[0], offsets[-1]).tolist()
        names = self.header.class_names
        if not all(-1 <= number < len(names) for number in numbers):
            raise CorruptError(
                f"{self.path} is damaged: a label of row {start} or after it is out of range", again(self.path)
            )
        return [
            tuple(names[number] for number in numbers[a - offsets[0] : b - offsets[0]] if number != -1)
            for a, b in pairwise(offsets)
        ]

    def rows_of(self, label: str) -> NDArray[np.int64]:
        """Return the rows that have a label, rising, (n,); none where nothing has it."""
        if not self.labelled or label not in self.header.class_names:
            return np.empty(0, np.int64)
        places = np.flatnonzero(self.column("labels") == self.header.class_names.index(label))
        if "label_offsets" not in self._data:
            return places
        return np.unique(np.searchsorted(self.column("label_offsets"), places.astype(np.uint64), side="right") - 1)

    def verify(self) -> None:
        """Read everything and compare it with its SHA-256 digests; `CorruptError` names what is wrong."""
        for name in self.columns:
            self.require_sound(name)
        self.require_sense()

    def require_sound(self, name: str) -> None:
        """Compare a column with its SHA-256, block by block; `CorruptError` where it differs."""
        data = self._file[name]
        with _damage(self.path):
            blocks = (_slice(data, start, start + _BLOCK) for start in range(0, len(data), _BLOCK))
            found = codes_format.digest_of_parts(blocks)
        self.require_digest(name, found)

    def require_digest(self, name: str, found: bytes) -> None:
        """Compare the SHA-256 of what was read of a column, in hexadecimal, with the one it was written with."""
        if found != self._file.attrs[f"sha256_{name}"]:
            raise CorruptError(f"{self.path} is damaged: the checksum of {name} is wrong", again(self.path))

    def require_sense(self) -> None:
        """Refuse a path that leads out of the root, a label without a name or a bit beyond the code, in any row."""
        for start in range(0, len(self), _BLOCK):
            require_padding(self.codes[start : start + _BLOCK], self.header.bits, self.path)
        for _ in self._each_path():
            pass
        if self.labelled:
            for start in range(0, len(self._file["labels"]), _BLOCK):
                block = self.read("labels", start, start + _BLOCK)
                if block.min() < -1 or block.max() >= len(self.header.class_names):
                    raise CorruptError(f"{self.path} is damaged: a label is out of range", again(self.path))

    def paths_of(self, start: int, end: int) -> list[bytes]:
        """Return the paths of the rows from `start` to before `end`."""
        return self.split(*self.flat_paths(start, end))

    def flat_paths(self, start: int, end: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        """Return the offsets of the rows from `start` to `end`, the last included, and the bytes between them."""
        offsets = self._path_offsets(start, end + 1)
        return offsets, self.read("path_bytes", int(offsets[0]), int(offsets[-1]))

    def split(self, offsets: NDArray[np.uint64], flat: NDArray[np.uint8]) -> list[bytes]:
        """Return the paths in what `flat_paths` gave; `CorruptError` where one leads out of the root."""
        ends = (offsets - offsets[0]).tolist()
        blob = flat.tobytes()
        paths = [blob[a:b] for a, b in pairwise(ends)]
        # Looked for in all of them at once first: path by path it takes longer than reading them.
        if b".." in blob or b"\0" in blob or (np.diff(offsets) == 0).any() or (flat[ends[:-1]] == ord("/")).any():
            for path in paths:
                inside(path, self.path)
        return paths

    def _each_path(self) -> Iterator[bytes]:
        for start in range(0, len(self), _PATHS):
            yield from self.paths_of(start, min(start + _PATHS, len(self)))

    def _path_offsets(self, start: int, end: int) -> NDArray[Any]:
        """Read some offsets and check these: to check all on opening takes seconds where there are 100 million."""
        with _damage(self.path):
            block = _slice(self._data["path_offsets"], start, end)
            _require_rising("path_offsets", block, _MAX_PATH_BYTES)
        return block

    def read(self, name: str, start: int, end: int) -> NDArray[Any]:
        """Read the elements of a column from `start` to before `end`."""
        with _damage(self.path):
            return _slice(self._data[name], start, end)

    def _check_shapes(self) -> None:
        lengths = {name: len(self._file[name]) for name in self._file}
        count, width = self._file["codes"].shape
        if width != bits.width(self.header.bits):
            raise CorruptError(f"codes of {self.header.bits} bits cannot be {width} bytes wide")
        multiple = "label_offsets" in lengths
        for name in ("size", "mtime_ns", "confidence", *(["labels"] if self.labelled and not multiple else [])):
            if lengths[name] != count:
                raise CorruptError(f"there are {count} codes, but {lengths[name]} of {name}")
        _check_ends(self._file["path_offsets"], count, lengths["path_bytes"])
        if multiple and not self.labelled:
            raise CorruptError("labels is missing")
        if multiple:
            offsets = self._file["label_offsets"]
            _check_ends(offsets, count, lengths["labels"])
            for start in range(0, count, _BLOCK):
                block = _slice(offsets, start, min(start + _BLOCK, count) + 1)
                _require_rising("label_offsets", block, len(self.header.class_names))


@contextmanager
def open_codes(path: Path, cache: int = _CACHE_BYTES) -> Iterator[StoredCodes]:
    """Open and check a codes file; it is held by its descriptor, so that replacing it meanwhile does no harm.

    Each column keeps at most `cache` bytes of what it has unpacked. Raises `InputError` where there is none and
    `CorruptError` where it is damaged or unsafe.
    """
    with _opened(path, cache) as (stream, file):
        with _damage(path):
            stored = StoredCodes(path, stream, file)
        yield stored


def read_header(path: Path) -> tuple[Header, int]:
    """Return the header of a codes file and its number of images; reads no row, whatever their number.

    Raises as `open_codes` does.
    """
    with _opened(path) as (stream, file), _damage(path):
        _check_schema(file, stream.seek(0, 2))
        return _read_header(file), len(file["codes"])


def write(path: Path, header: Header, rows: Rows) -> None:
    """Write a codes file atomically; equal content gives equal bytes."""
    write_columns(path, *codes_format.pack(header, rows))


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]], facts: Mapping[str, bytes | int]) -> None:
    """Write a codes file from the columns and attributes that `codes_format.pack` makes."""
    safe_hdf5.write(path, columns, facts, _layout)


def create_column(file: h5py.File, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
    """Create a column of this shape, to be filled."""
    return safe_hdf5.create(file, name, shape, np.dtype(COLUMNS[name].dtype), _layout)


def _layout(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    if COLUMNS[name].mapped or not shape[0]:
        return {}
    chunk = (min(shape[0], _CHUNK_BYTES // np.dtype(COLUMNS[name].dtype).itemsize),)
    return {"chunks": chunk, "shuffle": True, "compression": "gzip", "compression_opts": DEFLATE, "fletcher32": True}


def verify(path: Path) -> None:
    """Read a whole codes file and compare it with its SHA-256 digests; `CorruptError` names what differs."""
    with open_codes(path) as stored:
        stored.verify()


@contextmanager
def _opened(path: Path, cache: int = _CACHE_BYTES) -> Iterator[tuple[IO[bytes], h5py.File]]:
    if not path.exists():
        raise InputError(f"{path} does not exist", hint=f"make it with `ganhash encode folder/ -o {path}`")
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, and a codes file is wanted", hint="`ganhash encode` makes codes of images"
        )
    if not path.is_file():
        raise CorruptError(f"{path} is not a regular file", hint="name a file that `ganhash encode` made")
    with files.read_errors(path):
        stream = path.open("rb")
    with stream:
        # Who names a file so means codes, and should it be none, it is damaged.
        called_so = path.suffix.lower() in outputs.CODES.suffixes
        if not called_so and stream.read(len(outputs.HDF5_SIGNATURE)) != outputs.HDF5_SIGNATURE:
            raise InputError(
                f"{path} is no codes file", hint="name one that `ganhash encode` made, or make one of images"
            )
        with _damage(path):
            if stream.seek(0, 2) > _MAX_FILE_BYTES:
                raise CorruptError(f"it is larger than {_MAX_FILE_BYTES >> 30} GiB")
            file = h5py.File(stream, "r", locking=False, rdcc_nbytes=cache)
        with file:
            yield stream, file


def _made(stream: IO[bytes]) -> tuple[int, int]:
    """Return what changes when a file is written to; not its ctime, which also changes when another replaces it."""
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


def _check_schema(file: h5py.File, size: int) -> None:
    check(file, COLUMNS, size)
    check_attributes(file, _attributes(file))


def _attributes(file: h5py.File) -> dict[str, type]:
    return codes_format.attributes(file, sharded="shard" in file.attrs)


def _read_header(file: h5py.File) -> Header:
    facts = {name: file.attrs[name] for name in _attributes(file)}
    if (facts["format"], facts["schema"]) != (codes_format.FORMAT, codes_format.SCHEMA):
        raise CorruptError(f"it has the format {facts['format'].decode()} {facts['schema']}")
    if facts.pop("sha256") != codes_format.seal(facts):
        raise CorruptError("the checksum of its header is wrong")
    names = json.loads(_slice(file["class_names"], 0, None).tobytes()) if "class_names" in file else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptError("class_names is no list of texts")
    if (numeric := facts["numeric"].decode()) not in get_args(bits.Numeric):
        raise CorruptError(f"its codes were computed in {numeric!r}, which this ganhash does not know")
    if b"\0" in facts["root"]:
        raise CorruptError("its root is no path")
    shard = Shard(int(facts["shard"]), int(facts["shards"])) if "shard" in facts else None
    if shard and not 1 <= shard.number <= shard.count <= MOST_SHARDS:
        raise CorruptError(f"it says it is shard {shard}, which cannot be")
    return Header(
        bits=int(facts["bits"]),
        fingerprint=facts["fingerprint"].decode(),
        root=bytes(facts["root"]),
        side=int(facts["side"]),
        trained_on=facts["trained_on"].decode(errors="surrogateescape"),
        class_names=tuple(names),
        numeric=cast(bits.Numeric, numeric),
        shard=shard,
    )


def _check_ends(dataset: h5py.Dataset, count: int, end: int) -> None:
    """Refuse offsets that are not one more than `count`, the first 0 and the last `end`."""
    name = dataset.name.strip("/")
    if len(dataset) != count + 1:
        raise CorruptError(f"there are {count} codes, but {len(dataset)} of {name}")
    if _slice(dataset, 0, 1)[0]:
        raise CorruptError(f"{name} does not rise from 0")
    if (last := int(_slice(dataset, count, None)[0])) != end:
        raise CorruptError(f"{name} ends at {last}, not at {end}")


def _require_rising(name: str, block: NDArray[Any], longest: int) -> None:
    """Refuse offsets that fall, or rise by more than `longest` at once."""
    if (block[1:] < block[:-1]).any():
        raise CorruptError(f"{name} does not rise from 0")
    if np.diff(block).max(initial=0) > longest:
        raise CorruptError(f"{name} rises by more than {longest} at once")


_FAULTS = {
    "truncated file": "it is cut short",
    "file signature not found": "it does not begin as an HDF5 file does",
}
"""What HDF5 says, and what it means."""


def _slice(dataset: h5py.Dataset, start: int, end: int | None) -> NDArray[Any]:
    """Read a part of a column; an error names it, as HDF5's own do not."""
    try:
        data: NDArray[Any] = dataset[start:end]
    except OSError as error:
        raise CorruptError(f"{dataset.name.strip('/')}: {error}") from error
    return data


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn whatever reading a damaged file raises into a `CorruptError` that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError, ValueError and more on bad data
        fault = next((ours for theirs, ours in _FAULTS.items() if theirs in str(error)), str(error))
        raise CorruptError(f"{path} is not a sound codes file: {fault}", again(path)) from error
