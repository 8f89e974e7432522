"""codes.h5 written block by block, in memory that does not grow with it, and put in place only when it is whole."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import codes, codes_format, files, safe_hdf5
from ganhash_cli.engine.chunks import Packer
from ganhash_cli.engine.codes_format import COLUMNS, Header
from ganhash_cli.engine.safe_hdf5 import h5py


class Columns:
    """The columns of a file that is being written, each from its beginning to its end."""

    def __init__(self, file: h5py.File, spool: Spool, packer: Packer, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._spool, self._packer = spool, packer
        self._data = {name: codes.create_column(file, name, shape) for name, shape in shapes.items()}
        self._at = dict.fromkeys(shapes, 0)
        self._held = {name: [np.empty(0, COLUMNS[name].dtype)] for name in shapes}  # too little for a chunk
        self._digests = {name: hashlib.sha256() for name in shapes}

    def append(self, name: str, block: NDArray[Any]) -> None:
        """Write the next elements of a column; raises `OSError` where the disk does not take them."""
        start, end = self._at[name], self._at[name] + len(block)
        plain = np.ascontiguousarray(block, COLUMNS[name].dtype)
        self._digests[name].update(plain.data)
        self._at[name] = end
        if self._data[name].chunks:
            self._append_packed(name, plain)
        elif len(block):  # HDF5 has no place for nothing
            self._data[name][start:end] = plain
        self._spool.require_sound()

    def _append_packed(self, name: str, plain: NDArray[Any]) -> None:
        data, held = self._data[name], self._held[name]
        held.append(plain)
        (length,), count = data.chunks, sum(map(len, held))
        if count < length and self._at[name] < len(data):
            return
        ready, first = np.concatenate(held), self._at[name] - count
        whole = count if self._at[name] == len(data) else count - count % length
        for at in range(0, whole, length):
            self._packer.put(data, first + at, ready[at : min(at + length, whole)])
        self._held[name] = [ready[whole:]]

    def append_ragged(self, name: str, offsets: str, flat: NDArray[Any], lengths: NDArray[np.int64]) -> None:
        """Write pieces of a column, `lengths` long each, (n,), and where each of them ends."""
        ends = np.cumsum(lengths) + self._at[name]
        self.append(name, flat)
        self.append(offsets, ends)

    def finish(self) -> dict[str, bytes]:
        """Write what is under way and return the SHA-256 of each column; `ValueError` where one is not full."""
        self._packer.flush()
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
        with safe_hdf5.new_file(spool) as file, closing(Packer()) as packer:
            columns = Columns(file, spool, packer, shapes)
            yield columns
            safe_hdf5.set_attributes(file, codes_format.facts(header, columns.finish()))
        spool.require_sound()
