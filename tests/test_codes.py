"""codes.h5 comes back as it was written, and a damaged one is refused; attacks/ has what means harm."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ganhash_cli.engine import codes, codes_format
from ganhash_cli.engine.bits import width
from ganhash_cli.engine.codes_format import COLUMNS, Header, Rows
from ganhash_cli.engine.shards import MOST, Shard
from ganhash_cli.errors import CorruptError, InputError, MismatchError, StorageError

HEADER = Header(48, "ab" * 32, b"/photos/\xff", 64, "folder/", ("cat", "dög"))
NAMES = [b"a b.png", b"cat/1.png", b"cat/\xff.png", "ü.png".encode(), b"z\n.png"]


def rows(count: int = 5, labels: list[tuple[int, ...]] | None = None) -> Rows:
    random = np.random.default_rng(0)
    packed = random.integers(0, 256, (count, 8), np.uint8)
    packed[:, 6:] = 0  # behind the 48 bits
    return Rows(
        packed,
        (NAMES * 1000)[:count],
        random.integers(0, 1 << 40, count, np.uint64),
        random.integers(-(1 << 60), 1 << 60, count, np.int64),
        random.integers(0, 256, count, np.uint8),
        labels,
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "codes.h5"
    codes.write(path, HEADER, rows(labels=[(0,), (), (1,), (0,), (1,)]))
    return path


@pytest.mark.parametrize("count", [0, 1, 5, 3000])
def test_what_was_written_comes_back(tmp_path: Path, count: int) -> None:
    written = rows(count)
    codes.write(tmp_path / "c.h5", HEADER, written)
    with codes.open_codes(tmp_path / "c.h5") as found:
        assert found.header == replace(HEADER, class_names=())
        assert np.array_equal(found.codes, written.codes)
        assert found.paths() == [found.path_of(row) for row in range(count)] == list(written.paths)
        for name in ("size", "mtime_ns", "confidence"):
            assert np.array_equal(found.column(name), getattr(written, name))


@pytest.mark.parametrize("labels", [[(0,), (), (1,)], [(0, 1), (), (1,)], [(), (), ()]])
def test_labels_come_back_by_name(tmp_path: Path, labels: list[tuple[int, ...]]) -> None:
    codes.write(tmp_path / "c.h5", HEADER, rows(3, labels))
    with codes.open_codes(tmp_path / "c.h5") as found:
        wanted = [tuple(HEADER.class_names[number] for number in numbers) for numbers in labels]
        assert [found.labels_of(row) for row in range(3)] == wanted


@contextmanager
def refused_as_damaged(path: Path, message: str) -> Iterator[None]:
    """Expect a `CorruptError` about a codes file that says how to make it anew."""
    with pytest.raises(CorruptError, match=f"{re.escape(str(path))} is {message}") as caught:
        yield
    assert caught.value.hint == f"make it anew: `ganhash encode FOLDER -o '{path}' --overwrite`"


@pytest.fixture
def spaced(tmp_path: Path) -> Path:
    """A place whose name a shell would take for two."""
    return tmp_path / "my codes.h5"


@pytest.mark.parametrize("labels", [[(0,), (), (1,), (0,)], [(0, 1), (), (1,), (), (0, 1)], None])
def test_the_labels_of_some_rows_are_those_of_each(tmp_path: Path, labels: list[tuple[int, ...]] | None) -> None:
    count = len(labels or range(4))
    codes.write(tmp_path / "c.h5", HEADER, rows(count, labels))
    with codes.open_codes(tmp_path / "c.h5") as found:
        each = [found.labels_of(row) for row in range(count)]
        for start, end in combinations(range(count + 1), 2):
            assert found.labels_between(start, end) == each[start:end]


@pytest.mark.parametrize("label", [-2, 2])
@pytest.mark.parametrize("more", [(), (0,)])
def test_a_label_without_a_name_is_damage(
    spaced: Path, monkeypatch: pytest.MonkeyPatch, label: int, more: tuple[int, ...]
) -> None:
    monkeypatch.setattr(codes, "_BLOCK", 2)
    codes.write(spaced, HEADER, rows(4, [(0,), (1,), (0, *more), (label,)]))
    with codes.open_codes(spaced) as found:
        assert found.labels_of(2) == tuple(HEADER.class_names[number] for number in (0, *more))
        with refused_as_damaged(spaced, "damaged: a label of row 3 or after it is out of range$"):
            found.labels_of(3)
        with refused_as_damaged(spaced, "damaged: a label is out of range$"):
            found.verify()


@pytest.mark.parametrize("bits", [1, 12, 48, 61, 64, 65])
def test_no_bit_stands_behind_a_code(bits: int) -> None:
    packed = np.zeros((3, width(bits)), np.uint8)
    for place in range(8 * packed.shape[1]):
        packed[1, place // 8] = 0x80 >> place % 8
        with nullcontext() if place < bits else pytest.raises(CorruptError, match=f"goes on behind its {bits} bits"):
            codes_format.require_padding(packed, bits, "c.h5")
        packed[1] = 0


@pytest.mark.parametrize("row", [0, 4])
def test_a_bit_behind_a_code_is_damage(spaced: Path, monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    monkeypatch.setattr(codes, "_BLOCK", 2)
    written = rows()
    written.codes[row, 6] = 0x80
    codes.write(spaced, HEADER, written)
    with refused_as_damaged(spaced, "damaged: a code goes on behind its 48 bits$"):
        codes.verify(spaced)


def test_a_whole_file_is_verified_block_by_block(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most, plain = 0, codes._slice

    def watched(dataset: h5py.Dataset, start: int, end: int | None) -> Any:
        nonlocal most
        if dataset.name not in ("/class_names", "/path_bytes"):
            most = max(most, len(dataset[start:end]))
        return plain(dataset, start, end)

    monkeypatch.setattr(codes, "_BLOCK", 2)
    monkeypatch.setattr(codes, "_PATHS", 1)
    monkeypatch.setattr(codes, "_slice", watched)
    codes.verify(stored)
    assert most == 2


@pytest.mark.parametrize("path", [b"", b"/a", b"a\0b", b"..", b"../a", b"b/../../a"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_path_that_is_none_is_found_among_good_ones(spaced: Path, path: bytes, at: int) -> None:
    names = [b"a", b"b"]
    names.insert(at, path)
    codes.write(spaced, HEADER, replace(rows(3), paths=names))
    with codes.open_codes(spaced) as found:
        with refused_as_damaged(spaced, "unsafe: it names " + re.escape(repr(path))):
            found.paths_of(0, 3)
        good = [row for row in range(3) if row != at]
        assert [found.paths_of(row, row + 1) for row in good] == [[b"a"], [b"b"]]


def test_codes_of_one_maker_are_told_from_those_of_two() -> None:
    def require(other: Header) -> None:
        codes_format.require_one_maker(HEADER, "a.h5", other, "b.h5", "encode anew")

    require(replace(HEADER, root=b"/elsewhere", class_names=()))
    with pytest.raises(
        MismatchError, match=f"^a.h5 was made by the model {'ab' * 6}, but b.h5 by {'cd' * 6}$"
    ) as caught:
        require(replace(HEADER, fingerprint="cd" * 32))
    assert caught.value.hint == "encode anew"
    with pytest.raises(MismatchError, match=r"^a.h5 was computed in float32, but b.h5 in bfloat16$") as caught:
        require(replace(HEADER, numeric="bfloat16"))
    assert caught.value.hint == "encode anew"


def test_a_path_that_leads_elsewhere_is_named(spaced: Path) -> None:
    codes.write(spaced, HEADER, replace(rows(2), paths=[b"a", b"../b"]))
    with codes.open_codes(spaced) as found:
        assert found.path_of(0) == b"a"
        with refused_as_damaged(spaced, r"unsafe: it names b'../b', outside its root$"):
            found.path_of(1)


def test_what_to_do_about_damage_depends_on_who_holds_the_codes() -> None:
    assert codes.again(Path("c.h5")) == "make it anew: `ganhash encode FOLDER -o c.h5 --overwrite`"
    assert codes.again("postgresql://host/db") == "push the codes there anew"


def test_a_file_of_another_size_than_was_encoded_is_changed(tmp_path: Path) -> None:
    for name, size in (("same", 3), ("other", 4)):
        (tmp_path / name).write_bytes(bytes(size))
    header, names = replace(HEADER, root=bytes(tmp_path)), [b"gone", b"other", b"same"]
    codes.write(tmp_path / "c.h5", header, replace(rows(3), paths=names, size=np.full(3, 3, np.uint64)))
    with codes.open_codes(tmp_path / "c.h5") as found:
        assert [found.changed(row) for row in range(3)] == [False, True, False]


@pytest.mark.parametrize("labels", [[(0,), (), (1,), (0,)], [(0, 1), (), (1,), (), (0, 1)], [(), ()], None])
def test_the_rows_of_a_label_are_those_that_have_it(tmp_path: Path, labels: list[tuple[int, ...]] | None) -> None:
    count = len(labels or [()])
    codes.write(tmp_path / "c.h5", HEADER, rows(count, labels))
    with codes.open_codes(tmp_path / "c.h5") as found:
        for label in (*HEADER.class_names, "cow"):
            wanted = [row for row in range(count) if label in found.labels_of(row)]
            assert (found.rows_of(label).tolist(), found.rows_of(label).dtype) == (wanted, np.int64)


def test_the_digest_changes_with_any_column(tmp_path: Path) -> None:
    written = rows()
    others = [replace(written, size=written.size + 1), replace(written, paths=[*NAMES[1:], b"other"])]
    digests = set()
    for number, each in enumerate([written, written, *others]):
        codes.write(tmp_path / f"{number}.h5", HEADER, each)
        with codes.open_codes(tmp_path / f"{number}.h5") as found:
            digests.add(found.digest)
    assert len(digests) == 3


def test_rows_that_lie_together_are_not_unpacked_anew(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = h5py.File.__getitem__
    monkeypatch.setattr(h5py.File, "__getitem__", lambda file, name: opened.append(name) or plain(file, name))
    with codes.open_codes(stored) as found:
        before = len(opened)
        for row in range(len(found)):
            found.path_of(row), found.labels_of(row)
        assert len(opened) == before, "a dataset that is opened anew has an empty cache"


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        codes.write(tmp_path / name, HEADER, rows(3000))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_codes_are_mapped_at_the_start_of_a_page(stored: Path) -> None:
    with h5py.File(stored) as file:
        offset, content = file["codes"].id.get_offset(), file["codes"][:].tobytes()
    assert offset % 4096 == 0
    assert stored.read_bytes()[offset : offset + 40] == content


def test_a_replaced_file_is_read_to_its_end_as_it_was(stored: Path) -> None:
    with codes.open_codes(stored) as found:
        codes.write(stored, HEADER, rows(0))
        assert found.paths() == NAMES


def test_a_sound_file_is_verified(stored: Path) -> None:
    codes.verify(stored)


def test_a_changed_byte_of_the_codes_is_found(spaced: Path) -> None:
    codes.write(spaced, HEADER, rows())
    with h5py.File(spaced) as file:
        offset = file["codes"].id.get_offset()
    content = bytearray(spaced.read_bytes())
    content[offset] ^= 1
    spaced.write_bytes(content)
    with refused_as_damaged(spaced, "damaged: the checksum of codes is wrong$"):
        codes.verify(spaced)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, codes.open_codes(tmp_path / "codes.h5"):
        pass
    assert "ganhash encode folder/" in caught.value.hint


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"), codes.open_codes(tmp_path):
        pass


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(stored: Path, share: float) -> None:
    content = stored.read_bytes()
    stored.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptError, match="not a sound codes file"):
        codes.verify(stored)


@pytest.mark.parametrize("read", [codes.verify, codes.read_header])
def test_a_file_of_another_kind_is_refused(spaced: Path, read: Callable[[Path], object]) -> None:
    spaced.write_bytes(b"hello" * 1000)
    with refused_as_damaged(spaced, "not a sound codes file: it does not begin as an HDF5 file does$"):
        read(spaced)


@pytest.mark.parametrize("read", [codes.verify, codes.read_header])
def test_a_photograph_is_no_damaged_codes_file(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    with pytest.raises(InputError, match=r"photo\.png is no codes file$"):
        read(tmp_path / "photo.png")


def test_a_damaged_chunk_of_names_is_found_when_it_is_read(spaced: Path) -> None:
    codes.write(spaced, HEADER, rows())
    with h5py.File(spaced) as file:
        offset = file["path_bytes"].id.get_chunk_info(0).byte_offset
    content = bytearray(spaced.read_bytes())
    content[offset + 4] ^= 1
    spaced.write_bytes(content)
    with codes.open_codes(spaced) as found:
        for read in (lambda: found.path_of(0), found.verify):
            with refused_as_damaged(spaced, "not a sound codes file: path_bytes: "):
                read()


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        codes.write(tmp_path / "file" / "codes.h5", HEADER, rows())


def test_every_column_of_the_format_has_a_checksum(stored: Path) -> None:
    with h5py.File(stored) as file:
        present = {name for name in COLUMNS if name in file}
        assert present == {name.removeprefix("sha256_") for name in file.attrs if name.startswith("sha256_")}


def test_hdf5_is_told_to_load_no_filter_before_it_is_loaded() -> None:
    program = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'h5py':\n"
        "            sys.exit(os.environ.get('HDF5_PLUGIN_PRELOAD') != '::')\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import ganhash_cli.engine.codes\n"
        "sys.exit('h5py was not imported')"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_column_tells_its_length_and_what_it_takes_in_the_file(stored: Path) -> None:
    with codes.open_codes(stored) as found:
        assert [found.length(name) for name in ("codes", "path_offsets", "class_names")] == [
            5,
            6,
            len(r'["cat", "d\u00f6g"]'),
        ]
        assert found.stored_bytes("codes") == 5 * 8
        assert 0 < found.stored_bytes("mtime_ns") < 5 * 8 + 100


def test_the_header_is_read_without_the_rows(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes.safe_hdf5, "mapped", lambda *_: pytest.fail("the codes were read"))
    assert codes.read_header(stored) == (HEADER, 5)


def test_a_shard_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for shard in (Shard(3, 2), Shard(0, 2), Shard(1, MOST + 1)):
        codes.write(tmp_path / "c.h5", replace(HEADER, shard=shard), rows())
        with pytest.raises(CorruptError, match=f"it says it is shard {shard}, which cannot be"):
            codes.read_header(tmp_path / "c.h5")


def test_the_largest_number_of_shards_is_accepted(tmp_path: Path) -> None:
    codes.write(tmp_path / "c.h5", replace(HEADER, shard=Shard(MOST, MOST)), rows())
    assert codes.read_header(tmp_path / "c.h5")[0].shard == Shard(MOST, MOST)


def test_a_name_with_two_dots_in_it_leads_nowhere_else(tmp_path: Path) -> None:
    names = [b"a..b.png", b"c/..d/e.png", b"...", b"f/g..", b"h"]
    codes.write(tmp_path / "c.h5", HEADER, replace(rows(), paths=names))
    with codes.open_codes(tmp_path / "c.h5") as found:
        found.verify()
        assert found.paths() == names


def test_a_file_larger_than_any_of_ours_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "c.h5").open("wb") as stream:
        stream.truncate((64 << 30) + 1)
    with pytest.raises(CorruptError, match="larger than 64 GiB"), codes.open_codes(tmp_path / "c.h5"):
        pass


def test_a_file_that_may_not_be_read_is_an_input_error(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match="cannot be read: Permission denied"), codes.open_codes(stored):
        pass


def refused(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_out_of_memory_is_not_taken_for_damage(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    with codes.open_codes(stored) as found:
        monkeypatch.setattr(h5py.Dataset, "__getitem__", full)
        with pytest.raises(MemoryError):
            found.column("size")
