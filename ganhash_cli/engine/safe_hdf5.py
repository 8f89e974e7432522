"""HDF5 that is written whole, and checked against a closed schema before any of it is read; imports h5py alone.

HDF5 on its own reads, and writes, any file that the process may touch: through external links, external storage
and virtual datasets. A few kilobytes can also declare terabytes. None of that has a place in our files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # HDF5 reads it when it is loaded: no filter from outside

import h5py as h5py
import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import files
from ganhash_cli.engine.codes_format import Column
from ganhash_cli.errors import CorruptError

_MAX_CHUNK_BYTES = 8 << 20
_MAX_EXPANSION = 1100  # deflate alone reaches 1032
_MAX_TEXT_BYTES = 64 << 10
_CHECKSUM_BYTES = 4  # of Fletcher-32
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def check(file: h5py.File, columns: Mapping[str, Column], size: int) -> None:
    """Refuse, by `CorruptError`, an open file of `size` bytes whose datasets are not those listed."""
    if file.userblock_size:
        raise CorruptError(f"something else stands in its first {file.userblock_size} bytes")
    if len(file) > len(columns):
        raise CorruptError(f"it holds {len(file)} parts, more than there are")
    for name in file:
        if name not in columns:
            raise CorruptError(f"it holds {name!r}, which has no place in it")
        if type(file.get(name, getlink=True)) is not h5py.HardLink:
            raise CorruptError(f"{name} is a link to somewhere else")
    missing = [name for name, column in columns.items() if column.required and name not in file]
    if missing:
        raise CorruptError(f"{missing[0]} is missing")
    stored = sum(_check_dataset(name, file[name], columns[name], size) for name in file)
    if stored > size:
        raise CorruptError(f"its parts add up to {stored} bytes, but it has {size}")


Layout = Callable[[str, tuple[int, ...]], dict[str, Any]]


def write(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, bytes | int],
    layout: Layout = lambda name, shape: {},
) -> None:
    """Write a file atomically, each column as `layout` says; equal content gives equal bytes.

    HDF5 builds it in memory: on a full disk it would crash, or leave rows of zeros that look sound.
    """
    with new_file(path.name, driver="core", backing_store=False) as file:
        for name, data in columns.items():
            create(file, name, data.shape, data.dtype, layout, data)
        set_attributes(file, attributes)
        file.flush()
        image = file.id.get_file_image()
    with files.atomic_write(path) as stream:
        stream.write(image)


def new_file(name: str | IO[bytes] | RawIOBase, **options: Any) -> h5py.File:
    """Open a new HDF5 file, in which every dataset begins at a page."""
    return h5py.File(name, "w", alignment_threshold=1, alignment_interval=4096, **options)


def create(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    layout: Layout,
    data: NDArray[Any] | None = None,
) -> h5py.Dataset:
    """Create a dataset with its `data` or to be filled."""
    return file.create_dataset(name, shape, dtype, data, track_times=False, **layout(name, shape))


def set_attributes(file: h5py.File, attributes: Mapping[str, bytes | int]) -> None:
    """Write the attributes: texts at their fixed length, numbers."""
    for name, value in attributes.items():
        file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value


def mapped(stream: IO[bytes], dataset: Any) -> NDArray[Any]:
    """Return a dataset that lies in one uncompressed piece, as `check` demands of a `mapped` column, without a copy."""
    if not dataset.size:
        return np.empty(dataset.shape, dataset.dtype)
    found = np.memmap(stream, dataset.dtype, "r", offset=dataset.id.get_offset(), shape=dataset.shape)
    return np.asarray(found)


def check_attributes(file: h5py.File, attributes: Mapping[str, type]) -> None:
    """Refuse a file whose attributes are not exactly these: fixed-length texts (`bytes`), numbers (`int`)."""
    different = sorted(set(file.attrs) ^ set(attributes)) if len(file.attrs) < 1000 else ["one of too many"]
    if different:
        raise CorruptError(f"its attribute {different[0]} is missing or has no place in it")
    for name, wanted in attributes.items():
        stored = h5py.h5a.open(file.id, name.encode())
        kind = stored.get_type()
        text = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
        fits = text if wanted is bytes else isinstance(kind, h5py.h5t.TypeIntegerID)
        if not fits or stored.shape != () or kind.get_size() > _MAX_TEXT_BYTES:
            raise CorruptError(f"its attribute {name} is of the wrong kind")


def _check_dataset(name: str, dataset: Any, column: Column, size: int) -> int:
    """Check one dataset and return the bytes it takes in the file."""
    if not isinstance(dataset, h5py.Dataset) or len(dataset.attrs):
        raise CorruptError(f"{name} is not a plain dataset")
    wanted = np.dtype(column.dtype)
    if dataset.dtype != wanted or len(dataset.shape or ()) != column.rank:
        raise CorruptError(f"{name} has the type {dataset.dtype} and the shape {dataset.shape}")
    if not dataset.id.get_type().equal(h5py.h5t.py_create(wanted)):
        raise CorruptError(f"{name} has a type that only looks like {wanted}")
    creation = dataset.id.get_create_plist()
    layout = creation.get_layout()
    if creation.get_external_count() or layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise CorruptError(f"{name} is not stored in the file itself")
    declared = math.prod(map(int, dataset.shape)) * dataset.dtype.itemsize
    stored: int = dataset.id.get_storage_size()
    if column.most is not None and declared > column.most:
        raise CorruptError(f"{name} declares {declared} bytes, more than {column.most}")
    if layout == h5py.h5d.CHUNKED:
        _check_chunks(name, dataset, column, declared, stored)
    elif stored != declared or (declared and (dataset.id.get_offset() or size) + declared > size):
        raise CorruptError(f"{name} declares {declared} bytes that the file does not have")
    return stored


def _check_chunks(name: str, dataset: Any, column: Column, declared: int, stored: int) -> None:
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
    if column.mapped or len(set(filters)) < len(filters) or not _FILTERS.issuperset(filters):
        raise CorruptError(f"{name} is packed in a way that is not ours")
    if h5py.h5z.FILTER_FLETCHER32 in filters and dataset.id.chunk_iter(_is_cut_short):
        raise CorruptError(f"{name} has a part that is shorter than its checksum")
    chunk = math.prod(map(int, dataset.chunks)) * dataset.dtype.itemsize
    if chunk > _MAX_CHUNK_BYTES or declared > _MAX_EXPANSION * stored:
        raise CorruptError(f"{name} declares {declared} bytes in chunks of {chunk}, but holds {stored}")


def _is_cut_short(chunk: Any) -> bool | None:
    """Whether a chunk has no room for its checksum, which HDF5 takes off its end unseen; None to look at the next."""
    return True if chunk.size < _CHECKSUM_BYTES else None
