"""A codes file made to do harm is refused with exit 6, before its data is read, in little time and memory."""

import hashlib
import os
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
from ganhash_cli.engine.codes_format import seal
from ganhash_cli.errors import CorruptError
from linear_hash import write_bundle
from pictures import paint_classes
from reliability_card import record
from test_codes import HEADER, rows
from test_encode_command import Printed, run

Attack = Callable[[h5py.File], None]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A sound file of five images, to be harmed."""
    path = tmp_path / "codes.h5"
    codes.write(path, HEADER, rows(labels=[(0,), (), (1,), (0,), (1,)]))
    return path


def reseal(file: h5py.File) -> None:
    facts = {name: file.attrs[name] for name in file.attrs if name != "sha256"}
    file.attrs["sha256"] = np.bytes_(seal(facts))


def put(file: h5py.File, name: str, data: Any, **options: Any) -> None:
    """Replace a dataset and give it the right checksum, as an attacker would."""
    del file[name]
    made = file.create_dataset(name, data=data, **options)
    file.attrs[f"sha256_{name}"] = np.bytes_(hashlib.sha256(made[...].tobytes()).hexdigest().encode())
    reseal(file)


def add(file: h5py.File, name: str, data: Any) -> None:
    """Add a dataset with the right checksum."""
    file[name] = data
    file.attrs[f"sha256_{name}"] = np.bytes_(hashlib.sha256(data.tobytes()).hexdigest().encode())
    reseal(file)


def text(content: bytes) -> Any:
    return np.frombuffer(content, np.uint8)


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


def chunk_without_room_for_its_checksum(file: h5py.File) -> None:
    del file["confidence"]
    made = file.create_dataset("confidence", (5,), "u1", chunks=(5,), compression="gzip", fletcher32=True)
    made.id.write_direct_chunk((0,), b"x")


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
    file.attrs["schema"] = 99
    reseal(file)


def other_arithmetic(file: h5py.File) -> None:
    file.attrs["numeric"] = np.bytes_(b"float13")
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


def reference(file: h5py.File) -> None:
    del file["size"]
    file.create_dataset("size", (5,), h5py.ref_dtype)


def variable_length(file: h5py.File) -> None:
    del file["path_bytes"]
    file.create_dataset("path_bytes", (5,), h5py.vlen_dtype(np.uint8))


def compound(file: h5py.File) -> None:
    put(file, "size", np.zeros(5, [("a", "<u4"), ("b", "<u4")]))


def other_byte_order(file: h5py.File) -> None:
    put(file, "size", file["size"][:].astype(">u8"))


def enumeration(file: h5py.File) -> None:
    put(file, "confidence", np.zeros(5, np.uint8), dtype=h5py.enum_dtype({"low": 0}, basetype="u1"))


def odd_precision(file: h5py.File) -> None:
    kind = h5py.h5t.STD_U8LE.copy()
    kind.set_precision(3)
    del file["confidence"]
    h5py.h5d.create(file.id, b"confidence", kind, h5py.h5s.create_simple((5,)))


def one_number(file: h5py.File) -> None:
    put(file, "size", np.uint64(5))


def no_space(file: h5py.File) -> None:
    del file["size"]
    file["size"] = h5py.Empty("<u8")


def flat_codes(file: h5py.File) -> None:
    put(file, "codes", file["codes"][:].ravel())


def deep_codes(file: h5py.File) -> None:
    put(file, "codes", file["codes"][:].reshape(5, 8, 1))


def too_few_codes(file: h5py.File) -> None:
    put(file, "codes", file["codes"][:4])


def cycle(file: h5py.File) -> None:
    del file["size"]
    file["size"] = file["/"]


def deflated_many_times_over(file: h5py.File) -> None:
    del file["path_bytes"]
    file.create_dataset("path_bytes", data=np.zeros(1 << 22, np.uint8), chunks=(1 << 22,), compression="gzip")
    content = file["path_bytes"].id.read_direct_chunk((0,))[1]
    del file["path_bytes"]
    made = file.create_dataset("path_bytes", (1 << 33,), "u1", chunks=(1 << 22,), compression="gzip")
    made.id.write_direct_chunk((0,), content)


def never_written_chunks(file: h5py.File) -> None:
    del file["path_offsets"]
    file.create_dataset("path_offsets", (1 << 40,), "<u8", chunks=(1 << 17,), compression="gzip")


def sparse(file: h5py.File) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    del file["codes"]
    h5py.h5d.create(file.id, b"codes", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((1 << 28, 8)), creation)


def scaled(file: h5py.File) -> None:
    put(file, "size", file["size"][:], chunks=(5,), scaleoffset=0)


def many_parts(file: h5py.File) -> None:
    for number in range(2000):
        file[f"part {number}"] = number


def many_attributes(file: h5py.File) -> None:
    for number in range(2000):
        file.attrs[f"attribute {number}"] = number


def long_text(file: h5py.File) -> None:
    file.attrs["root"] = np.bytes_(b"/" + b"x" * 60_000)


def attribute_of_many(file: h5py.File) -> None:
    file.attrs["bits"] = np.full(1000, 48)


def attribute_that_refers(file: h5py.File) -> None:
    file.attrs["root"] = file["codes"].ref


def attribute_of_nothing(file: h5py.File) -> None:
    file.attrs["root"] = h5py.Empty("S4")


def fraction_of_a_bit(file: h5py.File) -> None:
    file.attrs["bits"] = 48.5


def negative_bits(file: h5py.File) -> None:
    file.attrs["bits"] = -1
    reseal(file)


def endless_bits(file: h5py.File) -> None:
    file.attrs["bits"] = 1 << 62
    reseal(file)


def root_with_an_end(file: h5py.File) -> None:
    file.attrs["root"] = np.bytes_(b"/photos\0/x")
    reseal(file)


def offsets_far_past_the_end(file: h5py.File) -> None:
    put(file, "path_offsets", np.array([0, 1, 2, 3, 4, 1 << 63], "<u8"))


def offsets_that_wrap_around(file: h5py.File) -> None:
    put(file, "path_offsets", np.array([0, (1 << 64) - 1, 2, 3, 4, len(file["path_bytes"])], "<u8"))


def endless_path(file: h5py.File) -> None:
    put(file, "path_bytes", np.full(1 << 17, ord("a"), np.uint8), chunks=(1 << 17,))
    put(file, "path_offsets", np.array([0, 1, 2, 3, 4, 1 << 17], "<u8"))


def more_labels_than_classes(file: h5py.File) -> None:
    add(file, "label_offsets", np.array([0, 3, 3, 3, 4, 5], "<u8"))


def label_offsets_past_the_end(file: h5py.File) -> None:
    add(file, "label_offsets", np.array([0, 1, 2, 3, 4, 6], "<u8"))


def too_few_label_offsets(file: h5py.File) -> None:
    add(file, "label_offsets", np.array([0, 5], "<u8"))


def names_of_no_class(file: h5py.File) -> None:
    put(file, "class_names", text(b'{"cat": 1}'))


def numbers_for_names(file: h5py.File) -> None:
    put(file, "class_names", text(b"[1, 2]"))


def names_without_end(file: h5py.File) -> None:
    put(file, "class_names", text(b"[" * 100_000))


def names_in_no_language(file: h5py.File) -> None:
    put(file, "class_names", text(b'["caf\xe9", "b"]'))


def names_by_the_million(file: h5py.File) -> None:
    put(file, "class_names", np.zeros((16 << 20) + 1, np.uint8), chunks=(1 << 20,), compression="gzip")


STRUCTURE: dict[Attack, str] = {
    external_storage: "codes is not stored in the file itself",
    external_link: "size is a link",
    soft_link: "size is a link",
    virtual: "codes is not stored in the file itself",
    never_allocated: "codes declares",
    bomb: "path_bytes declares",
    large_chunk: "path_bytes declares",
    twice_deflated: "path_bytes is packed",
    other_filter: "path_bytes is packed",
    chunk_without_room_for_its_checksum: "confidence has a part that is shorter than its checksum",
    packed_codes: "codes is packed",
    unknown_part: "'more'",
    missing_part: "size is missing",
    group: "size is not a plain dataset",
    other_type: "size has the type int64",
    text_column: "path_bytes has the type object",
    unknown_attribute: "attribute more",
    missing_attribute: "attribute root",
    text_of_no_length: "attribute root is of the wrong kind",
    attribute_of_a_dataset: "size is not a plain dataset",
    reference: "size has the type object",
    variable_length: "path_bytes has the type object",
    compound: "size has the type",
    other_byte_order: "size has the type >u8",
    enumeration: "confidence has a type that only looks like",
    odd_precision: "confidence has a type that only looks like",
    one_number: "size has the type",
    no_space: "size has the type",
    flat_codes: "codes has the type",
    deep_codes: "codes has the type",
    cycle: "size is not a plain dataset",
    deflated_many_times_over: "path_bytes declares",
    never_written_chunks: "path_offsets declares",
    scaled: "size is packed",
    many_parts: "more than there are",
    many_attributes: "one of too many",
    attribute_of_many: "attribute bits is of the wrong kind",
    attribute_that_refers: "attribute root is of the wrong kind",
    attribute_of_nothing: "attribute root is of the wrong kind",
    fraction_of_a_bit: "attribute bits is of the wrong kind",
    names_by_the_million: "class_names declares",
}
"""Attacks that the structure of the file shows."""

CONTENT: dict[Attack, str] = {
    too_few_sizes: "4 of size",
    too_few_offsets: "5 of path_offsets",
    falling_offsets: "path_offsets does not rise",
    offsets_past_the_end: "path_offsets ends",
    offsets_not_from_zero: "path_offsets does not rise",
    offsets_without_labels: "labels is missing",
    other_bits: "cannot be 8 bytes wide",
    other_schema: "format ganhash-codes 99",
    other_arithmetic: "computed in 'float13'",
    unsealed_header: "checksum of its header",
    sparse: "268435456 codes, but 5 of size",
    too_few_codes: "4 codes, but 5 of size",
    long_text: "checksum of its header",
    negative_bits: "bits must be 1 to",
    endless_bits: "bits must be 1 to",
    root_with_an_end: "its root is no path",
    offsets_far_past_the_end: "path_offsets",
    offsets_that_wrap_around: "path_offsets does not rise",
    endless_path: "path_offsets rises by more than",
    more_labels_than_classes: "label_offsets rises by more than 2",
    label_offsets_past_the_end: "label_offsets ends at 6",
    too_few_label_offsets: "2 of label_offsets",
    names_of_no_class: "no list of texts",
    numbers_for_names: "no list of texts",
    names_without_end: "recursion",
    names_in_no_language: "utf-8",
}
"""Attacks that show only where something small is read: the header, or offsets."""


def harm(path: Path, attack: Attack) -> None:
    with h5py.File(path, "r+") as file:
        attack(file)


@pytest.mark.parametrize("attack", STRUCTURE | CONTENT, ids=lambda attack: attack.__name__)
def test_a_file_outside_the_schema_is_exit_6_with_its_reason(capsys: Printed, stored: Path, attack: Attack) -> None:
    """S3: each attack is refused, with exit 6 and its reason."""
    harm(stored, attack)
    code, _, error = run(capsys, "verify", str(stored))
    assert code == 6
    assert (STRUCTURE | CONTENT)[attack] in error


@pytest.mark.parametrize("attack", STRUCTURE, ids=lambda attack: attack.__name__)
def test_what_the_structure_shows_is_refused_before_any_data_is_read(
    stored: Path, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(stored, attack)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda *_: pytest.fail("data was read"))
    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", lambda *_: pytest.fail("an attribute was read"))
    with pytest.raises(CorruptError, match=re.escape(STRUCTURE[attack])), codes.open_codes(stored):
        pass


def test_every_verb_that_reads_codes_refuses_them(
    capsys: Printed, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stored.parent)
    write_bundle(Path("model"))
    folder = paint_classes(Path("folder"), each=1)
    harm(stored, virtual)
    for arguments in (["info", "codes.h5"], ["query", str(folder / "red/00.png")], ["encode", str(folder)]):
        assert run(capsys, *arguments)[0] == 6


@pytest.mark.timeout(60)
def test_no_other_file_is_opened(stored: Path) -> None:
    """Opening a pipe that nobody writes to would never return."""
    for attack in (external_storage, external_link, virtual):
        codes.write(stored, HEADER, rows())
        for name in ("secret", "other.h5"):
            (stored.parent / name).unlink(missing_ok=True)
        harm(stored, attack)
        for name in ("secret", "other.h5"):
            (stored.parent / name).unlink(missing_ok=True)
            os.mkfifo(stored.parent / name)
        with pytest.raises(CorruptError), codes.open_codes(stored):
            pass


BOMBS = (
    never_allocated,
    bomb,
    deflated_many_times_over,
    never_written_chunks,
    sparse,
    many_parts,
    names_by_the_million,
)


def test_bombs_cost_little_time_and_memory(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from ganhash_cli.engine import codes
from ganhash_cli.errors import CorruptError
before = resource.getrusage(resource.RUSAGE_SELF)
for path in map(Path, sys.argv[1:]):
    try:
        codes.verify(path)
        sys.exit(f"{path} was read")
    except CorruptError:
        pass
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime - before.ru_utime, after.ru_maxrss - before.ru_maxrss)
"""
    paths = [tmp_path / f"{attack.__name__}.h5" for attack in BOMBS]
    for path, attack in zip(paths, BOMBS, strict=True):
        codes.write(path, HEADER, rows(labels=[(0,)] * 5))
        harm(path, attack)
    command = [sys.executable, "-c", program, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 2
    assert kilobytes < 100_000


def rebuilt(path: Path, **options: Any) -> None:
    """Write the same content as another kind of HDF5 file."""
    with h5py.File(path) as file:
        data = {name: file[name][...] for name in file}
        facts = dict(file.attrs)
    with h5py.File(path, "w", **options) as file:
        for name, value in data.items():
            file[name] = value
        for name, value in facts.items():
            file.attrs[name] = value


def test_a_user_block_is_refused(stored: Path) -> None:
    rebuilt(stored, userblock_size=512)
    with stored.open("r+b") as stream:
        stream.write(b"#!/bin/sh\n")
    with pytest.raises(CorruptError, match="first 512 bytes"), codes.open_codes(stored):
        pass


def test_an_attribute_larger_than_any_of_ours_is_not_read(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt(stored, libver="latest")
    with h5py.File(stored, "r+", libver="latest") as file:
        file.attrs["root"] = np.bytes_(b"/" * (1 << 20))
    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", lambda *_: pytest.fail("an attribute was read"))
    with pytest.raises(CorruptError, match="attribute root"), codes.open_codes(stored):
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


@pytest.mark.parametrize(("name", "label"), [(b"../a.png", 0), (b"a.png", 7), (b"a.png", -2)])
def test_verifying_finds_what_only_reading_a_row_would_show(tmp_path: Path, name: bytes, label: int) -> None:
    codes.write(tmp_path / "c.h5", HEADER, replace(rows(1, [(label,)]), paths=[name]))
    with pytest.raises(CorruptError, match=r"out of range|outside its root"):
        codes.verify(tmp_path / "c.h5")


FLIPS = """
import random, sys
from pathlib import Path
from ganhash_cli.engine import codes
from ganhash_cli.errors import CorruptError
path = Path(sys.argv[1])
sound = path.read_bytes()

def everything():
    codes.verify(path)
    with codes.open_codes(path) as stored:
        columns = [stored.column(name).tobytes() for name in stored.columns]
        return stored.header, stored.codes.tobytes(), stored.paths(), columns

truth, chance, refused = everything(), random.Random(0), 0
used = [at for at, byte in enumerate(sound) if byte]  # most of the file only fills a page
for _ in range(int(sys.argv[2])):
    content = bytearray(sound)
    content[chance.choice(used)] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    try:
        if everything() != truth:
            sys.exit("a wrong bit was believed")
    except CorruptError:
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_wrong_bit_anywhere_is_refused_or_changes_nothing(stored: Path, count: int) -> None:
    """S4: no wrong bit is believed, and none crashes HDF5."""
    command = [sys.executable, "-c", FLIPS, str(stored), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > count // 2
    record("S4 codes", "codes files with one wrong bit", files=count, refused=int(done.stdout), believed=0, crashes=0)
