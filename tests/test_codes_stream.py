"""A codes file that was written in pieces is the one that is written at once, whatever the pieces are."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from ganhash_cli.engine import codes, codes_format, codes_stream
from ganhash_cli.engine.codes_format import Header, Rows

HEADER = Header(64, "ab" * 32, b"/photos", 64, "folder/", ("cat", "dog"))
ROWS = Rows(
    np.arange(160, dtype=np.uint8).reshape(20, 8),
    [b"%02d.png" % number for number in range(20)],
    np.arange(20, dtype=np.uint64),
    np.arange(20, dtype=np.int64),
    np.arange(20, dtype=np.uint8),
    [(number % 2,) for number in range(20)],
)


@pytest.mark.parametrize("piece", [1, 3, 8, 16, 19, 20])
def test_pieces_make_the_chunks_that_the_whole_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(codes, "_CHUNK_BYTES", 64)  # 8 numbers of 64 bits, so that 20 are two chunks and a half
    columns, facts = codes_format.pack(HEADER, ROWS)
    codes.write_columns(tmp_path / "whole.h5", columns, facts)
    shapes = {name: data.shape for name, data in columns.items()}
    with codes_stream.writing(tmp_path / "pieces.h5", HEADER, shapes) as new:
        for name, data in columns.items():
            for start in range(0, len(data), piece):
                new.append(name, data[start : start + piece])
    codes.verify(tmp_path / "pieces.h5")
    with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(tmp_path / "pieces.h5") as pieces:
        assert dict(pieces.attrs) == dict(whole.attrs)
        for name in columns:
            assert np.array_equal(pieces[name][:], whole[name][:])
        for at in range(whole["size"].id.get_num_chunks()):
            assert pieces["size"].id.read_direct_chunk((8 * at,)) == whole["size"].id.read_direct_chunk((8 * at,))


def test_only_what_is_too_little_for_a_chunk_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "_CHUNK_BYTES", 64)
    put: list[tuple[int, int]] = []
    plain = codes_stream.Packer.put
    monkeypatch.setattr(
        codes_stream.Packer,
        "put",
        lambda self, data, start, part: put.append((start, len(part))) or plain(self, data, start, part),
    )
    with codes_stream.writing(tmp_path / "c.h5", HEADER, {"size": (20,)}) as new:
        for start, end, wanted in [(0, 5, []), (5, 8, [(0, 8)]), (8, 17, [(8, 8)]), (17, 20, [(16, 4)])]:
            put.clear()
            new.append("size", np.arange(start, end, dtype=np.uint64))
            assert put == wanted


def test_a_ragged_column_keeps_where_each_piece_ends(tmp_path: Path) -> None:
    with codes_stream.writing(tmp_path / "c.h5", HEADER, {"path_bytes": (6,), "path_offsets": (4,)}) as new:
        new.append("path_offsets", np.zeros(1, np.uint64))
        for flat, lengths in ((b"abc", [1, 2]), (b"def", [3])):
            new.append_ragged("path_bytes", "path_offsets", np.frombuffer(flat, np.uint8), np.array(lengths))
    with h5py.File(tmp_path / "c.h5") as file:
        assert file["path_offsets"][:].tolist() == [0, 1, 3, 6]
        assert file["path_bytes"][:].tobytes() == b"abcdef"


def test_a_spool_is_a_file_that_remembers_its_first_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("w+b") as stream:
        spool = codes_stream.Spool(stream.fileno())
        assert (spool.write(b"abcdef"), spool.tell()) == (6, 6)
        assert [spool.seek(1), spool.seek(2, os.SEEK_CUR), spool.seek(-4, os.SEEK_END)] == [1, 3, 2]
        buffer = bytearray(3)
        assert (spool.readinto(buffer), buffer, spool.tell()) == (3, b"cde", 5)
        assert (spool.truncate(), os.fstat(stream.fileno()).st_size) == (5, 5)
        assert (spool.truncate(3), spool.readinto(buffer), spool.tell()) == (3, 0, 5)
        spool.require_sound()
        failures = [OSError(28, "No space left on device"), OSError(5, "Input/output error")]

        def fail(*_: object) -> int:
            raise failures.pop(0)

        monkeypatch.setattr(codes_stream.os, "truncate", fail)
        monkeypatch.setattr(codes_stream.os, "pwrite", fail)
        assert (spool.truncate(9), spool.write(b"xy"), spool.tell()) == (9, 2, 7)
        with pytest.raises(OSError, match="No space left"):
            spool.require_sound()
