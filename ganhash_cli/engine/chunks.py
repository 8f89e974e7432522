"""Elements of a packed column → HDF5's chunks, made by its own filters' rules but on all processors at once."""

from __future__ import annotations

import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import parallel
from ganhash_cli.engine.safe_hdf5 import h5py

DEFLATE = 1  # level


class Packer:
    """Packs chunks in threads; HDF5, which knows one thread only, is given them in the order they came."""

    def __init__(self) -> None:
        threads = parallel.threads()
        self._pool, self._most = ThreadPoolExecutor(threads), 2 * threads
        self._waiting: deque[tuple[h5py.Dataset, int, Future[bytes]]] = deque()

    def put(self, dataset: h5py.Dataset, start: int, elements: NDArray[Any]) -> None:
        """Let a chunk be packed and written, which begins at the element `start`; it is not copied."""
        self._waiting.append((dataset, start, self._pool.submit(packed, elements, dataset.chunks[0])))
        while len(self._waiting) > self._most:
            self._write()

    def flush(self) -> None:
        """Write what is under way."""
        while self._waiting:
            self._write()

    def close(self) -> None:
        """End the threads; what is not written yet is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def _write(self) -> None:
        dataset, start, content = self._waiting.popleft()
        dataset.id.write_direct_chunk((start,), content.result())


def packed(elements: NDArray[Any], length: int) -> bytes:
    """Return a chunk of `length` elements, zeros behind those given, shuffled, deflated and with its checksum."""
    whole = np.zeros(length, elements.dtype)
    whole[: len(elements)] = elements
    shuffled = whole.view(np.uint8).reshape(length, -1).T.tobytes()
    content = zlib.compress(shuffled, DEFLATE)
    return content + fletcher32(content).to_bytes(4, "little")


def fletcher32(content: bytes) -> int:
    """Return the checksum as HDF5 has it, H5_checksum_fletcher32: words of 16 bits, big-endian, sums modulo 65535."""
    words = np.frombuffer(content + b"\0" * (len(content) % 2), ">u2").astype(np.int64)
    weights = np.arange(len(words), 0, -1) % 65535
    low, high = int(words.sum()), int(words @ weights)
    return _folded(high) << 16 | _folded(low)


def _folded(total: int) -> int:
    """Return what adding the upper to the lower 16 bits leaves: 65535, not 0, of a multiple of it."""
    return (total - 1) % 65535 + 1 if total else 0
