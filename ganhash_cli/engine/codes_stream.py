"""codes.h5 written block by block, in memory that does not grow with it, and put in place only when it is whole."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import codes, codes_format, files, safe_hdf5
from ganhash_cli.engine.codes_format import COLUMNS, Header
from ganhash_cli.engine.safe_hdf5 import h5py


class Columns:
    """The columns of a file that is being written, each from its beginning to its end."""

    def __init__(self, file: h5py.File, spool: Spool, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._spool = spool
        self._data = {name: codes.create_column(file, name, shape) for name, shape in shapes.items()}
        self._at = dict.fromkeys(shapes, 0)
        self._digests = {name: hashlib.sha256() for name in shapes}

    def append(self, name: str, block: NDArray[Any]) -> None:
        """Write the next elements of a column; raises `OSError` where the disk does not take them."""
        start, end = self._at[name], self._at[name] + len(block)
        packed = np.ascontiguousarray(block, COLUMNS[name].dtype)
        if len(block):  # HDF5 has no place for nothing
            self._data[name][start:end] = packed
        self._digests[name].update(packed.data)
        self._at[name] = end
        self._spool.require_sound()

    def append_ragged(self, name: str, offsets: str, flat: NDArray[Any], lengths: NDArray[np.int64]) -> None:
        """Write pieces of a column, `lengths` long each, (n,), and where each of them ends."""
        ends = np.cumsum(lengths) + self._at[name]
        self.append(name, flat)
        self.append(offsets, ends)

    def digests(self) -> dict[str, bytes]:
        """Return the SHA-256 of each column; `ValueError` where one is not full."""
        for name, end in self._at.items():
            if end != len(self._data[name]):
                raise ValueError(f"{name} has {end} elements, not {len(self._data[name])}")
        return {name: digest.hexdigest().encode() for name, digest in self._digests.items()}


class Spool(io.RawIOBase):
    """A file for HDF5, which crashes where a write fails: it is told that all went well, and we raise the failure."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0
        self._failure: OSError | None = None

    def require_sound(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure:
            raise self._failure

    def write(self, data: Any, /) -> int:
        """Write all of `data` at the position."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], self._at + done)
        except OSError as error:
            self._failure = self._failure or error
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        """Read what was written."""
        read = os.preadv(self._descriptor, [buffer], self._at)
        self._at += read
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set the position."""
        end = os.fstat(self._descriptor).st_size
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: end}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length of the file."""
        wanted = self._at if size is None else size
        try:
            os.truncate(self._descriptor, wanted)
        except OSError as error:
            self._failure = self._failure or error
        return wanted


@contextmanager
def writing(path: Path, header: Header, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Columns]:
    """Give the columns of a new codes file to fill; `path` holds it only once they are full and on the disk.

    Raises `StorageError` where the disk is full.
    """
    with files.atomic_path(path) as temporary, temporary.open("w+b") as stream:
        spool = Spool(stream.fileno())
        with safe_hdf5.new_file(spool) as file:
            columns = Columns(file, spool, shapes)
            yield columns
            safe_hdf5.set_attributes(file, codes_format.facts(header, columns.digests()))
        spool.require_sound()
