"""The parts of all shards become the file that one `encode` of everything would have written, or nothing."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cases import mostly_slow
from ganhash_cli.engine import codes, codes_stream, images, merger
from ganhash_cli.engine.bits import Numeric
from ganhash_cli.engine.codes_format import Header, Rows, seal
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.merger import MergeReport
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.shards import Shard
from ganhash_cli.engine.skipped_lists import skipped_list
from ganhash_cli.errors import CorruptError, InputError, Interrupted, MismatchError, StorageError, UsageError
from linear_hash import LinearHash, made_up
from pictures import paint, paint_classes


def encode_parts(collection: Collection, place: Path, count: int, seed: int = 0) -> list[Path]:
    parts = [place / f"part-{number:02d}.h5" for number in range(1, count + 1)]
    for number, part in enumerate(parts, start=1):
        shard = images.shard_of(collection, Shard(number, count))
        finish(encode(made_up(seed=seed), shard, part, runtime=LinearHash(seed)))
    return parts


def encode_whole(collection: Collection, out: Path) -> Path:
    finish(encode(made_up(), collection, out, runtime=LinearHash()))
    return out


def run(parts: list[Path], out: Path, **options: bool) -> MergeReport:
    return finish(merger.merge(parts, out, **options))


def require_alike(one: Path, other: Path) -> None:
    """Both must hold the same: the digest is over those of all columns and over the header."""
    codes.verify(one)
    with codes.open_codes(one) as a, codes.open_codes(other) as b:
        assert a.paths() == b.paths()
        assert (a.header, a.columns, a.digest) == (b.header, b.columns, b.digest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_classes(tmp_path / "folder", each=24)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "codes.h5"


@pytest.fixture
def parts(folder: Path, tmp_path: Path) -> list[Path]:
    return encode_parts(images.collect(folder), tmp_path, 3)


@pytest.mark.parametrize("count", mostly_slow([1, 2, 7, 40], 1, 2, 7))
def test_the_merged_file_holds_what_one_encode_writes(folder: Path, tmp_path: Path, out: Path, count: int) -> None:
    for name in ("B.png", "ä.png", "b..c.png", "red.png"):
        paint(folder / name, (9, 9, 9), seed=1)
    (folder / os.fsdecode(b"\xff.png")).write_bytes((folder / "B.png").read_bytes())
    collection = images.collect(folder)
    run(encode_parts(collection, tmp_path, count), out)
    require_alike(out, encode_whole(collection, tmp_path / "whole.h5"))


def test_the_order_in_which_parts_are_named_does_not_matter(parts: list[Path], tmp_path: Path) -> None:
    run(parts, tmp_path / "one.h5")
    run(parts[::-1], tmp_path / "other.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()


@pytest.mark.parametrize("several", [True, False])
def test_labels_of_a_table_come_through(folder: Path, tmp_path: Path, out: Path, several: bool) -> None:
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*.png"))]
    second = "warm" if several else ""
    rows = [f"{name},{name.parts[0] if i % 5 else ''},{second if i % 3 else ''}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["path,label,label", *rows]) + "\n")
    collection = images.collect(folder / "labels.csv")
    run(encode_parts(collection, tmp_path, 5), out)
    require_alike(out, encode_whole(collection, tmp_path / "whole.h5"))


def test_a_shard_without_labels_and_one_without_images_come_through(tmp_path: Path, out: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "cats/1.png"):
        paint(tmp_path / "folder" / name, (9, 9, 9), seed=1)
    collection = images.collect(tmp_path / "folder")
    run(encode_parts(collection, tmp_path, 9), out)
    require_alike(out, encode_whole(collection, tmp_path / "whole.h5"))


def test_no_image_with_a_code_is_no_row(tmp_path: Path, out: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bad.png").write_bytes(b"no image")
    assert run(encode_parts(images.collect(tmp_path / "folder"), tmp_path, 2), out).images == 0
    codes.verify(out)


def test_shards_that_saw_other_classes_are_merged_by_name(folder: Path, tmp_path: Path, out: Path) -> None:
    parts = encode_parts(images.collect(folder), tmp_path, 3)
    for number in range(6):
        paint(folder / "amber" / f"{number}.png", (200, 150, 0), seed=number)
    collection = images.collect(folder)
    finish(encode(made_up(), images.shard_of(collection, Shard(1, 3)), parts[0], runtime=LinearHash()))
    run(parts, out)
    with codes.open_codes(out) as stored:
        assert stored.header.class_names == ("amber", "blue", "green", "red")
        assert {
            stored.labels_of(row)[0].encode() == stored.path_of(row).split(b"/")[0] for row in range(len(stored))
        } == {True}


def test_a_later_encode_keeps_every_row(folder: Path, parts: list[Path], out: Path) -> None:
    run(parts, out)
    report = finish(encode(made_up(), images.collect(folder), out, runtime=LinearHash()))
    assert (report.encoded, report.kept, report.dropped) == (0, 72, 0)


def test_blocks_do_not_show(folder: Path, parts: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode_whole(images.collect(folder), tmp_path / "whole.h5")
    monkeypatch.setattr(merger, "_BLOCK_ROWS", 1)
    for rows in (1, 2, 5):
        monkeypatch.setattr(merger, "_LEAST_ROWS", rows)
        run(parts, tmp_path / f"{rows}.h5")
        require_alike(tmp_path / f"{rows}.h5", whole)


def test_the_lists_of_what_was_skipped_become_one(folder: Path, tmp_path: Path, out: Path) -> None:
    for name in (b"z.png", b"a.png", b"\xff.png", b"red/bad.png"):
        (folder / os.fsdecode(name)).write_bytes(b"no image")
    collection = images.collect(folder)
    assert run(encode_parts(collection, tmp_path, 3), out).skipped == 4
    encode_whole(collection, tmp_path / "whole.h5")
    assert skipped_list(out).read_bytes() == skipped_list(tmp_path / "whole.h5").read_bytes()


def test_what_every_part_skipped_is_listed_once(parts: list[Path], out: Path) -> None:
    folder, image = b'{"path": "red", "reason": "Permission denied"}\n', b'{"path": "a.png", "reason": "empty"}\n'
    for part, lines in zip(parts, (folder, folder + image, folder), strict=True):
        skipped_list(part).write_bytes(lines)
    assert run(parts, out).skipped == 2
    assert skipped_list(out).read_bytes() == image + folder


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"\xff", b"[]", b"7", b'"path"', b"{}", b'{"path": 7}', b'{"path_b64": "7"}', b"[" * 100_000],
    ids=lambda line: line[:20],
)
def test_a_list_that_is_none_is_named_before_anything_is_written(parts: list[Path], out: Path, line: bytes) -> None:
    skipped_list(parts[1]).write_bytes(b'{"path": "a.png"}\n' + line + b"\n")
    with pytest.raises(CorruptError, match=r"part-02\.h5\.skipped\.jsonl, line 2, names no file") as caught:
        run(parts, out)
    assert "remove the list" in caught.value.hint
    assert not out.exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_list_that_is_no_file_is_not_waited_for(parts: list[Path], out: Path, make: Callable[[Path], None]) -> None:
    make(skipped_list(parts[1]))
    with pytest.raises(CorruptError, match=r"part-02\.h5\.skipped\.jsonl is not a regular file"):
        run(parts, out)
    assert not out.exists()


def test_a_missing_shard_is_named(parts: list[Path], out: Path) -> None:
    with pytest.raises(InputError, match=r"of 3 shards 1 is missing: 2") as caught:
        run([parts[0], parts[2]], out)
    assert "--shard 2/3" in caught.value.hint
    assert not out.exists()


def test_a_part_that_is_not_there_is_named(parts: list[Path], out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"part-9.h5 does not exist"):
        run([*parts, tmp_path / "part-9.h5"], out)


def test_a_shard_that_is_named_twice_is_refused(parts: list[Path], out: Path) -> None:
    with pytest.raises(UsageError, match=r"part-01.h5 and .*part-01.h5 are both shard 1/3"):
        run([*parts, parts[0]], out)


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_half_written_part_is_named(parts: list[Path], out: Path, share: float) -> None:
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptError, match=r"part-02.h5 is not a sound codes file"):
        run(parts, out)
    assert not out.exists()


def test_a_flipped_bit_of_a_code_is_found(parts: list[Path], out: Path) -> None:
    content = bytearray(parts[1].read_bytes())
    with codes.open_codes(parts[1]) as stored:
        at = content.index(stored.codes.tobytes())
    content[at] ^= 1
    parts[1].write_bytes(content)
    with pytest.raises(CorruptError, match=r"part-02.h5 is damaged: the checksum of codes"):
        run(parts, out)


def test_a_whole_file_is_no_part(folder: Path, parts: list[Path], tmp_path: Path, out: Path) -> None:
    whole = encode_whole(images.collect(folder), tmp_path / "whole.h5")
    for chosen in ([whole], [*parts, whole], [whole, *parts]):
        with pytest.raises(UsageError, match=r"whole.h5 is no part"):
            run(chosen, out)


def test_parts_of_another_count_are_refused(folder: Path, parts: list[Path], tmp_path: Path, out: Path) -> None:
    (tmp_path / "four").mkdir()
    others = encode_parts(images.collect(folder), tmp_path / "four", 4)
    with pytest.raises(UsageError, match=r"is shard 4/4, but .* is 1/3"):
        run([*parts, others[3]], out)


def test_parts_of_another_model_are_refused(folder: Path, parts: list[Path], tmp_path: Path, out: Path) -> None:
    (tmp_path / "other").mkdir()
    others = encode_parts(images.collect(folder), tmp_path / "other", 3, seed=1)
    with pytest.raises(MismatchError, match=r"was made by the model 0000"):
        run([*parts[:2], others[2]], out)


def rewritten(part: Path, **changes: object) -> None:
    """Write a part anew with another header."""
    with codes.open_codes(part) as stored:
        header = replace(stored.header, **changes)
        rows = Rows(
            stored.codes.copy(),
            stored.paths(),
            *(stored.column(name) for name in ("size", "mtime_ns", "confidence")),
            [(stored.header.class_names.index(stored.labels_of(row)[0]),) for row in range(len(stored))],
        )
    codes.write(part, header, rows)


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        ("float32", "bfloat16-torch", "--precision float32"),
        ("bfloat16-openvino", "bfloat16-torch", "--precision bfloat16 --runtime openvino"),
    ],
)
def test_parts_of_another_arithmetic_are_refused(
    parts: list[Path], out: Path, first: Numeric, second: Numeric, asked: str
) -> None:
    rewritten(parts[0], numeric=first)
    rewritten(parts[1], numeric=second)
    with pytest.raises(MismatchError, match=rf"was computed in {second}, but .* in {first}") as caught:
        run(parts, out)
    assert caught.value.hint.endswith(asked)


def test_parts_of_another_folder_are_refused(parts: list[Path], out: Path) -> None:
    rewritten(parts[1], root=b"/elsewhere")
    with pytest.raises(UsageError, match=r"part-02.h5 holds images of /elsewhere, but"):
        run(parts, out)


def made(place: Path, *paths: list[bytes]) -> list[Path]:
    """Write parts of these paths, whatever shard they belong to."""
    parts = []
    for number, names in enumerate(paths, start=1):
        header = Header(12, "ab" * 32, b"/photos", 16, "folder/", shard=Shard(number, len(paths)))
        zeros = np.zeros(len(names))
        parts.append(place / f"part-{number}.h5")
        rows = Rows(np.zeros((len(names), 4), np.uint8), names, *map(zeros.astype, (np.uint64, np.int64, np.uint8)))
        codes.write(parts[-1], header, rows)
    return parts


def test_an_image_of_two_parts_is_named(tmp_path: Path, out: Path) -> None:
    with pytest.raises(CorruptError, match=r"two parts hold the code of b.png"):
        run(made(tmp_path, [b"a.png", b"b.png"], [b"b.png"]), out)
    assert not out.exists()


@pytest.mark.parametrize("paths", [[b"b.png", b"a.png"], [b"a.png", b"a.png"]])
def test_rows_that_do_not_rise_are_refused(paths: list[bytes], tmp_path: Path, out: Path) -> None:
    with pytest.raises(CorruptError, match=r"part-2.h5 is damaged: its paths do not rise"):
        run(made(tmp_path, [b"z.png"], paths), out)


def test_a_path_out_of_the_root_is_refused(tmp_path: Path, out: Path) -> None:
    with pytest.raises(CorruptError, match=r"part-2.h5 is unsafe"):
        run(made(tmp_path, [b"z.png"], [b"../a.png"]), out)


def test_a_bit_behind_a_code_is_refused(tmp_path: Path, out: Path) -> None:
    parts = made(tmp_path, [b"a.png"], [b"b.png"])
    with codes.open_codes(parts[1]) as stored:
        header, zeros = stored.header, np.zeros(1)
    rows = Rows(np.array([[0, 8, 0, 0]], np.uint8), [b"b.png"], *map(zeros.astype, (np.uint64, np.int64, np.uint8)))
    codes.write(parts[1], header, rows)
    with pytest.raises(CorruptError, match=r"part-2.h5 is damaged: a code goes on behind its 12 bits"):
        run(parts, out)
    assert not out.exists()


def test_an_output_is_not_replaced_unasked(parts: list[Path], out: Path) -> None:
    run(parts, out)
    with pytest.raises(UsageError, match="is there already"):
        run(parts, out)
    assert run(parts, out, overwrite=True).images == 72


def test_a_part_is_no_output(parts: list[Path]) -> None:
    with pytest.raises(UsageError, match="is one of the parts"):
        run(parts, parts[0], overwrite=True)


def test_an_interruption_leaves_nothing(parts: list[Path], out: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    work = merger.merge(parts, out)
    while next(work).stage != "merging":
        pass
    with pytest.raises(Interrupted):
        work.throw(Interrupted(2))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_disk_that_takes_no_more_fails_at_the_write_and_not_in_hdf5(
    parts: list[Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(codes_stream.os, "pwrite", full)
    with pytest.raises(StorageError, match="No space left"):
        run(parts, out)
    assert not out.exists()


def test_a_column_that_is_not_full_is_no_file(tmp_path: Path) -> None:
    header = Header(12, "ab" * 32, b"/photos", 16, "folder/")
    new = codes_stream.writing(tmp_path / "c.h5", header, {"codes": (3, 4)})
    with pytest.raises(ValueError, match="codes has 0 elements, not 3"), new:
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["path_bytes", "path_offsets", "size", "labels", "class_names", "confidence"])
def test_every_column_is_compared_with_its_checksum(parts: list[Path], out: Path, name: str) -> None:
    with h5py.File(parts[1], "r+") as file:
        file.attrs[f"sha256_{name}"] = np.bytes_(b"0" * 64)
        facts = {key: file.attrs[key] for key in file.attrs if key != "sha256"}
        file.attrs["sha256"] = np.bytes_(seal(facts))
    with pytest.raises(CorruptError, match=rf"part-02.h5 is damaged: the checksum of {name} is wrong"):
        run(parts, out)
    assert not out.exists()
