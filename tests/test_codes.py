"""codes.h5 comes back as it was written, and anything else under that name is refused before it is read."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ganhash_cli.engine import codes
from ganhash_cli.engine.codes_format import COLUMNS, Header, Rows, seal
from ganhash_cli.errors import CorruptError, InputError, StorageError

HEADER = Header(48, "ab" * 32, b"/photos/\xff", 64, "folder/", ("cat", "dög"))
NAMES = [b"a b.png", b"cat/1.png", b"cat/\xff.png", "ü.png".encode(), b"z\n.png"]


def rows(count: int = 5, labels: list[tuple[int, ...]] | None = None) -> Rows:
    random = np.random.default_rng(0)
    return Rows(
        random.integers(0, 256, (count, 8), np.uint8),
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


def test_a_changed_byte_of_the_codes_is_found(stored: Path) -> None:
    with h5py.File(stored) as file:
        offset = file["codes"].id.get_offset()
    content = bytearray(stored.read_bytes())
    content[offset] ^= 1
    stored.write_bytes(content)
    with pytest.raises(CorruptError, match="checksum of codes"):
        codes.verify(stored)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, codes.open_codes(tmp_path / "codes.h5"):
        pass
    assert "ganhash encode folder/" in caught.value.hint


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="regular"), codes.open_codes(tmp_path):
        pass


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(stored: Path, share: float) -> None:
    content = stored.read_bytes()
    stored.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptError, match="not a sound codes file"):
        codes.verify(stored)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "codes.h5").write_bytes(b"hello" * 1000)
    with pytest.raises(CorruptError), codes.open_codes(tmp_path / "codes.h5"):
        pass


def reseal(file: h5py.File) -> None:
    facts = {name: file.attrs[name] for name in file.attrs if name != "sha256"}
    file.attrs["sha256"] = np.bytes_(seal(facts))


def put(file: h5py.File, name: str, data: Any, **options: Any) -> None:
    """Replace a dataset and give it the right checksum, as an attacker would."""
    del file[name]
    made = file.create_dataset(name, data=data, **options)
    file.attrs[f"sha256_{name}"] = np.bytes_(hashlib.sha256(made[...].tobytes()).hexdigest().encode())
    reseal(file)


def external_storage(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(b"x" * 40)
    del file["codes"]
    file.create_dataset("codes", (5, 8), "u1", external=[(str(secret), 0, 40)])


def external_link(file: h5py.File) -> None:
    del file["size"]
    file["size"] = h5py.ExternalLink("other.h5", "size")


def soft_link(file: h5py.File) -> None:
    del file["size"]
    file["size"] = h5py.SoftLink("/mtime_ns")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((5, 8), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "codes", (5, 8))
    del file["codes"]
    file.create_virtual_dataset("codes", layout)


def never_allocated(file: h5py.File) -> None:
    del file["codes"]
    file.create_dataset("codes", (1 << 40, 8), "u1")


def bomb(file: h5py.File) -> None:
    del file["path_bytes"]
    file.create_dataset("path_bytes", (1 << 40,), "u1", chunks=(1 << 20,), compression="gzip")


def large_chunk(file: h5py.File) -> None:
    put(file, "path_bytes", np.zeros(9 << 20, np.uint8), chunks=(9 << 20,), compression="gzip")


def twice_deflated(file: h5py.File) -> None:
    data = np.zeros(64, np.uint8)
    space, creation = h5py.h5s.create_simple(data.shape), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(data.shape)
    creation.set_deflate(1)
    creation.set_deflate(1)
    del file["path_bytes"]
    made = h5py.h5d.create(file.id, b"path_bytes", h5py.h5t.NATIVE_UINT8, space, creation)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def other_filter(file: h5py.File) -> None:
    put(file, "path_bytes", np.zeros(64, np.uint8), chunks=(64,), compression="lzf")


def packed_codes(file: h5py.File) -> None:
    put(file, "codes", file["codes"][:], chunks=(5, 8))


def unknown_part(file: h5py.File) -> None:
    file["more"] = [1]


def missing_part(file: h5py.File) -> None:
    del file["size"]


def group(file: h5py.File) -> None:
    del file["size"]
    file.create_group("size")


def other_type(file: h5py.File) -> None:
    put(file, "size", file["size"][:].astype("<i8"))


def text_column(file: h5py.File) -> None:
    del file["path_bytes"]
    file.create_dataset("path_bytes", data=["a", "b"])


def too_few_sizes(file: h5py.File) -> None:
    put(file, "size", file["size"][:4])


def too_few_offsets(file: h5py.File) -> None:
    put(file, "path_offsets", file["path_offsets"][:5])


def falling_offsets(file: h5py.File) -> None:
    offsets = file["path_offsets"][:]
    offsets[[1, 2]] = offsets[[2, 1]]
    put(file, "path_offsets", offsets)


def offsets_past_the_end(file: h5py.File) -> None:
    offsets = file["path_offsets"][:]
    offsets[-1] += 1
    put(file, "path_offsets", offsets)


def offsets_not_from_zero(file: h5py.File) -> None:
    offsets = file["path_offsets"][:]
    offsets[0] = 1
    put(file, "path_offsets", offsets)


def offsets_without_labels(file: h5py.File) -> None:
    file["label_offsets"] = np.zeros(6, "<u8")
    file.attrs["sha256_label_offsets"] = np.bytes_(b"0" * 64)
    del file["labels"], file.attrs["sha256_labels"]
    reseal(file)


def other_bits(file: h5py.File) -> None:
    file.attrs["bits"] = 128
    reseal(file)


def other_schema(file: h5py.File) -> None:
    file.attrs["schema"] = 2
    reseal(file)


def unsealed_header(file: h5py.File) -> None:
    file.attrs["fingerprint"] = np.bytes_(b"cd" * 32)


def unknown_attribute(file: h5py.File) -> None:
    file.attrs["more"] = 1


def missing_attribute(file: h5py.File) -> None:
    del file.attrs["root"]


def text_of_no_length(file: h5py.File) -> None:
    file.attrs["root"] = "variable"


def attribute_of_a_dataset(file: h5py.File) -> None:
    file["size"].attrs["unit"] = "bytes"


ATTACKS: dict[Callable[[h5py.File], None], str] = {
    external_storage: "codes is not stored in the file itself",
    external_link: "size is a link",
    soft_link: "size is a link",
    virtual: "codes is not stored in the file itself",
    never_allocated: "codes declares",
    bomb: "path_bytes declares",
    large_chunk: "path_bytes declares",
    twice_deflated: "path_bytes is packed",
    other_filter: "path_bytes is packed",
    packed_codes: "codes is packed",
    unknown_part: "'more'",
    missing_part: "size is missing",
    group: "size is not a plain dataset",
    other_type: "size has the type int64",
    text_column: "path_bytes has the type object",
    too_few_sizes: "4 of size",
    too_few_offsets: "5 of path_offsets",
    falling_offsets: "path_offsets does not rise",
    offsets_past_the_end: "path_offsets ends",
    offsets_not_from_zero: "path_offsets does not rise",
    offsets_without_labels: "labels is missing",
    other_bits: "cannot be 8 bytes wide",
    other_schema: "format ganhash-codes 2",
    unsealed_header: "checksum of its header",
    unknown_attribute: "attribute more",
    missing_attribute: "attribute root",
    text_of_no_length: "attribute root is of the wrong kind",
    attribute_of_a_dataset: "size is not a plain dataset",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_file_outside_the_schema_is_refused(stored: Path, attack: Callable[[h5py.File], None]) -> None:
    with h5py.File(stored, "r+") as file:
        attack(file)
    with pytest.raises(CorruptError, match=re.escape(ATTACKS[attack])), codes.open_codes(stored):
        pass


def test_an_edit_that_keeps_the_schema_is_accepted(stored: Path) -> None:
    with h5py.File(stored, "r+") as file:
        put(file, "size", file["size"][:])
    codes.verify(stored)


@pytest.mark.parametrize("name", [b"/etc/passwd", b"../a.png", b"a/../../b", b"a\0.png", b""])
def test_a_path_out_of_the_root_is_refused(tmp_path: Path, name: bytes) -> None:
    codes.write(tmp_path / "c.h5", HEADER, replace(rows(1), paths=[name]))
    with codes.open_codes(tmp_path / "c.h5") as found, pytest.raises(CorruptError, match="unsafe"):
        found.path_of(0)


def test_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    codes.write(tmp_path / "c.h5", HEADER, rows(1, [(7,)]))
    with codes.open_codes(tmp_path / "c.h5") as found, pytest.raises(CorruptError, match="label"):
        found.labels_of(0)


def test_a_damaged_chunk_of_names_is_found_when_it_is_read(stored: Path) -> None:
    with h5py.File(stored) as file:
        offset = file["path_bytes"].id.get_chunk_info(0).byte_offset
    content = bytearray(stored.read_bytes())
    content[offset + 4] ^= 1
    stored.write_bytes(content)
    with codes.open_codes(stored) as found, pytest.raises(CorruptError):
        found.path_of(0)


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
