"""Chunks that are packed here are those that HDF5 itself would have written."""

from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from ganhash_cli.engine import chunks

FILTERS = {"shuffle": True, "compression": "gzip", "compression_opts": chunks.DEFLATE, "fletcher32": True}


@pytest.mark.parametrize("dtype", ["u1", "<i4", "<u8"])
@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
@pytest.mark.parametrize("high", [1, 200])
def test_a_packed_column_reads_back_and_is_stored_as_hdf5_stores_it(
    tmp_path: Path, dtype: str, count: int, high: int
) -> None:
    data = np.random.default_rng(count).integers(0, high, count).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file, closing(chunks.Packer()) as packer:
        ours = file.create_dataset("ours", (count,), dtype, chunks=(min(100, count),), **FILTERS)
        theirs = file.create_dataset("theirs", data=data, chunks=(min(100, count),), **FILTERS)
        for start in range(0, count, 100):
            packer.put(ours, start, data[start : start + 100])
        packer.flush()
        file.flush()
        assert (ours[:] == data).all()
        for start in range(0, count, 100):
            assert ours.id.read_direct_chunk((start,)) == theirs.id.read_direct_chunk((start,))


def test_a_checksum_that_is_a_multiple_of_65535_is_folded_as_hdf5_folds_it(tmp_path: Path) -> None:
    for content in (b"\xff\xff", b"\xff\xff" * 3, b"\0\0", b"\x80\0\x7f\xff", b"\x01", b"ab" * 65_600):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            data = np.frombuffer(content, "u1")
            stored = file.create_dataset("d", data=data, chunks=data.shape, fletcher32=True)
            file.flush()
            _, whole = stored.id.read_direct_chunk((0,))
        assert whole == content + chunks.fletcher32(content).to_bytes(4, "little"), content


def test_a_chunk_with_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("d", (100,), "u1", chunks=(100,), **FILTERS)
        content = bytearray(chunks.packed(np.arange(100, dtype="u1"), 100))
        content[-1] ^= 1
        stored.id.write_direct_chunk((0,), bytes(content))
        with pytest.raises(OSError, match="read"):
            stored[:]


def test_chunks_that_wait_are_no_more_than_twice_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks.parallel, "threads", lambda: 2)
    data = np.arange(1000, dtype="<u8")
    with h5py.File(tmp_path / "a.h5", "w") as file, closing(chunks.Packer()) as packer:
        stored = file.create_dataset("d", (1000,), "<u8", chunks=(100,), **FILTERS)
        for start in range(0, 1000, 100):
            packer.put(stored, start, data[start : start + 100])
        assert stored.id.get_num_chunks() == 10 - 2 * 2
        packer.flush()
        assert (stored[:] == data).all()


def test_what_waits_is_dropped_where_it_is_closed_first(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("d", (100,), "<u8", chunks=(100,), **FILTERS)
        with closing(chunks.Packer()) as packer:
            packer.put(stored, 0, np.arange(100, dtype="<u8"))
        assert stored.id.get_num_chunks() == 0
