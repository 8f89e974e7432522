"""However often a folder was encoded, changed and interrupted, codes.h5 is as if it had been encoded once."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import forked
from ganhash_cli.engine import bits, codes, decoding, encoder, images, segments
from ganhash_cli.engine.decoders import Decoders
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.encoder import EncodeReport, encode
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.skipped_lists import skipped_list
from ganhash_cli.errors import (
    CorruptError,
    InputError,
    Interrupted,
    LockedError,
    MismatchError,
    StorageError,
    UsageError,
)
from linear_hash import BITS, SIDE, LinearHash, made_up
from pictures import paint, paint_classes, refuse_to_list

BUNDLE = made_up()


def run(folder: Path, out: Path, runtime: LinearHash | None = None, **options: bool) -> EncodeReport:
    work = encode(BUNDLE, images.collect(folder), out, runtime=runtime or LinearHash(), **options)
    return finish(work)


def interrupt(folder: Path, out: Path, after: int) -> None:
    """Encode and stop after that many steps."""
    work = encode(BUNDLE, images.collect(folder), out, runtime=LinearHash())
    for _ in range(after):
        next(work)
    with pytest.raises(Interrupted):
        work.throw(Interrupted(2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seventy-two images, so that a run takes three steps."""
    return paint_classes(tmp_path / "folder", each=24)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "codes.h5"


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "SIZE", 32)


@pytest.fixture
def reference(folder: Path, tmp_path: Path) -> bytes:
    """The file of an uninterrupted run over the folder as it stands."""
    run(folder, tmp_path / "reference.h5")
    return (tmp_path / "reference.h5").read_bytes()


def test_each_image_gets_the_code_of_its_logits(folder: Path, out: Path) -> None:
    run(folder, out)
    runtime = LinearHash()
    with codes.open_codes(out) as stored:
        for row, path in enumerate(stored.paths()):
            square = decoding.square(os.path.join(os.fsencode(folder), path), SIDE)
            logits = runtime.logits(square[None])
            assert stored.codes[row].tolist() == bits.pack(logits)[0].tolist()
            weakest = 255 * np.tanh(np.abs(logits).min() / 2)
            assert abs(float(stored.column("confidence")[row]) - weakest) <= 0.5


def test_rows_stand_in_the_byte_order_of_their_paths(tmp_path: Path, out: Path) -> None:
    for name in ("b.png", "B.png", "ä.png", "a/z.png", "a.png"):
        paint(tmp_path / "folder" / name, (9, 9, 9), seed=1)
    run(tmp_path / "folder", out)
    with codes.open_codes(out) as stored:
        assert stored.paths() == [b"B.png", b"a.png", b"a/z.png", b"b.png", "ä.png".encode()]


def test_the_file_says_where_its_codes_come_from(folder: Path, out: Path) -> None:
    run(folder, out)
    with codes.open_codes(out) as stored:
        found = stored.header
        assert (found.bits, found.side, found.fingerprint) == (BITS, SIDE, BUNDLE.fingerprint)
        assert (found.root, found.trained_on) == (os.fsencode(folder), "folder/")
        assert stored.labels_of(0) == ("blue",)


def test_a_single_image_is_enough(tmp_path: Path, out: Path) -> None:
    paint(tmp_path / "folder" / "a.png", (9, 9, 9), seed=1)
    assert run(tmp_path / "folder", out).images == 1


def test_the_counts_add_up(folder: Path, out: Path) -> None:
    (folder / "red" / "bad.png").write_bytes(b"no image")
    report = run(folder, out)
    counts = (report.found, report.encoded, report.kept, len(report.skipped), report.dropped)
    assert counts == (73, 72, 0, 1, 0)


def test_distinct_codes_are_counted(tmp_path: Path, out: Path) -> None:
    for name in ("a.png", "b.png"):
        paint(tmp_path / "folder" / name, (9, 9, 9), seed=1)
    paint(tmp_path / "folder" / "c.png", (200, 9, 9), seed=2)
    assert run(tmp_path / "folder", out).distinct == 2


def test_a_file_with_an_impossible_time_is_encoded_once(folder: Path, out: Path) -> None:
    os.utime(folder / "red" / "00.png", (10_413_792_000, 10_413_792_000))  # in 2300
    assert run(folder, out).encoded == 72
    assert run(folder, out).kept == 72


def test_codes_that_only_their_owner_may_read_and_a_link_to_them_stay_so(folder: Path, out: Path) -> None:
    run(folder, out)
    out.chmod(0o600)
    link = out.parent.parent / "codes.h5"
    link.symlink_to(out)
    (folder / "red" / "00.png").unlink()
    assert run(folder, link).kept == 71
    assert (link.is_symlink(), out.stat().st_mode & 0o777) == (True, 0o600)


def test_a_second_run_computes_nothing_and_changes_nothing(folder: Path, out: Path) -> None:
    run(folder, out)
    before, runtime = out.read_bytes(), LinearHash()
    report = run(folder, out, runtime)
    assert (report.encoded, report.kept, runtime.images) == (0, 72, 0)
    assert out.read_bytes() == before


def test_damaged_codes_are_not_kept_under_a_new_checksum(folder: Path, out: Path) -> None:
    run(folder, out)
    content = bytearray(out.read_bytes())
    with codes.open_codes(out) as stored:
        at = content.index(stored.codes.tobytes())
    content[at : at + 4] = bytes(byte ^ 1 for byte in content[at : at + 4])
    out.write_bytes(content)
    with pytest.raises(CorruptError, match=r"damaged: the checksum of codes is wrong$") as caught:
        run(folder, out)
    assert "--overwrite" in caught.value.hint
    assert out.read_bytes() == content


def test_overwrite_computes_everything_again(folder: Path, out: Path) -> None:
    run(folder, out)
    assert run(folder, out, overwrite=True).encoded == 72


def test_new_changed_and_gone_files_are_brought_up_to_date(folder: Path, out: Path, tmp_path: Path) -> None:
    run(folder, out)
    (folder / "red" / "00.png").unlink()
    paint(folder / "red" / "01.png", (1, 2, 3), seed=999)
    paint(folder / "amber" / "00.png", (200, 150, 0), seed=998)
    runtime = LinearHash()
    report = run(folder, out, runtime)
    assert (report.encoded, report.kept, report.dropped, runtime.images) == (2, 70, 1, 2)
    run(folder, tmp_path / "anew.h5")
    assert out.read_bytes() == (tmp_path / "anew.h5").read_bytes()


def test_rows_of_files_that_are_still_there_are_not_dropped(folder: Path, out: Path) -> None:
    run(folder, out)
    before = out.read_bytes()
    (folder / "red" / "01.png").unlink()
    (folder / "list.csv").write_text("path,label\nred/00.png,red\n")
    with pytest.raises(UsageError, match=r"71 images not among those named now, such as blue/00\.png") as caught:
        run(folder / "list.csv", out)
    assert ("-o" in caught.value.hint, "--overwrite" in caught.value.hint) == (True, True)
    assert out.read_bytes() == before
    assert run(folder / "list.csv", out, overwrite=True).images == 1


@pytest.mark.parametrize(
    ("error", "kept"), [(PermissionError(13, "Permission denied"), True), (FileNotFoundError(2, "No"), False)]
)
def test_rows_below_a_folder_that_cannot_be_read_for_now_are_kept(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, kept: bool
) -> None:
    shutil.copytree(folder / "red", folder / "red-too")
    run(folder, out)
    before = out.read_bytes()
    refuse_to_list(monkeypatch, folder / "red", error)
    report = run(folder, out)
    assert (report.kept, report.dropped, [bad.path for bad in report.skipped]) == (
        72 + 24 * kept,
        24 * (not kept),
        [b"red"],
    )
    assert (out.read_bytes() == before) is kept


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("listed", [True, False])
def test_rows_of_files_that_cannot_be_looked_at_for_now_are_kept(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, listed: bool, fault: int
) -> None:
    rows = [f"{path.relative_to(folder)},{path.stem}" for path in sorted(folder.rglob("*.png"))]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]))
    source = folder / "list.csv" if listed else folder
    run(source, out)
    before, status = out.read_bytes(), os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if b"/red/" in os.fsencode(path):
            raise OSError(fault, os.strerror(fault))
        return status(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    report = run(source, out)
    assert (report.kept, report.dropped, len(report.skipped)) == (72, 0, 24)
    assert out.read_bytes() == before


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_run_goes_on_to_the_same_bytes(folder: Path, out: Path, reference: bytes, after: int) -> None:
    interrupt(folder, out, after)
    assert not out.exists()
    runtime = LinearHash()
    report = run(folder, out, runtime)
    assert runtime.images == report.encoded == 72 - min(72, 32 * after)
    assert out.read_bytes() == reference


@pytest.mark.usefixtures("small_segments")
def test_a_run_interrupted_again_and_again_ends_with_the_same_bytes(folder: Path, out: Path, reference: bytes) -> None:
    for _ in range(2):
        interrupt(folder, out, after=1)
    run(folder, out)
    assert out.read_bytes() == reference


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("damage", ["truncated", "flipped", "other"])
def test_a_damaged_segment_is_encoded_again(folder: Path, out: Path, reference: bytes, damage: str) -> None:
    interrupt(folder, out, after=2)
    segment = next(iter(sorted(out.with_name("codes.h5.work").iterdir())))
    content = bytearray(segment.read_bytes())
    with codes.open_codes(segment) as stored:
        at = stored.column("size").size and content.index(stored.codes[:4].tobytes())
    content[at] ^= 1
    segment.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "other": b"x"}[damage])
    runtime = LinearHash()
    run(folder, out, runtime)
    assert runtime.images == 72 - 32
    assert out.read_bytes() == reference


@pytest.mark.usefixtures("small_segments")
def test_segments_of_another_model_are_replaced_only_where_that_is_asked(
    folder: Path, out: Path, reference: bytes
) -> None:
    other = replace(BUNDLE, fingerprint="f" * 64)
    work = encode(other, images.collect(folder), out, runtime=LinearHash(seed=1))
    next(work)
    work.close()
    before = forked.contents(out.parent)
    with pytest.raises(MismatchError, match=r"codes\.h5\.work holds codes of another model") as caught:
        run(folder, out)
    assert ("-o" in caught.value.hint, "--overwrite" in caught.value.hint) == (True, True)
    assert forked.contents(out.parent) == before
    assert run(folder, out, overwrite=True).encoded == 72
    assert out.read_bytes() == reference


@pytest.mark.usefixtures("small_segments")
def test_segments_of_another_folder_are_replaced_only_where_that_is_asked(
    folder: Path, out: Path, reference: bytes, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    interrupt(tmp_path / "copy", out, after=2)
    before = forked.contents(out.parent)
    with pytest.raises(UsageError, match=rf"codes\.h5\.work holds the codes of {tmp_path}/copy, not of"):
        run(folder, out)
    assert forked.contents(out.parent) == before
    assert run(folder, out, overwrite=True).encoded == 72
    assert out.read_bytes() == reference


def test_nothing_is_left_beside_the_output(folder: Path, out: Path) -> None:
    interrupt(folder, out, after=1)
    (out.with_name("codes.h5.work") / ".seg-000001.h5.4000000.tmp").write_bytes(b"killed while it was written")
    run(folder, out)
    assert [path.name for path in out.parent.iterdir()] == ["codes.h5"]


@pytest.mark.parametrize("name", ["notes.txt", "seg-mine.h5", "seg-1.h5"])
def test_files_of_others_beside_the_segments_stay(folder: Path, out: Path, name: str) -> None:
    interrupt(folder, out, after=1)
    theirs = out.with_name("codes.h5.work") / name
    theirs.write_text("mine")
    run(folder, out)
    assert list(theirs.parent.iterdir()) == [theirs]
    assert theirs.read_text() == "mine"


def test_bad_files_are_skipped_and_listed(folder: Path, out: Path) -> None:
    (folder / "red" / "bad.png").write_bytes(b"no image")
    (folder / os.fsdecode(b"a\xff.png")).write_bytes(b"")
    report = run(folder, out)
    assert (report.images, len(report.skipped)) == (72, 2)
    records = [json.loads(line) for line in skipped_list(out).read_text().splitlines()]
    assert records == [
        {"path": "a�.png", "path_b64": "Yf8ucG5n", "reason": "the file is empty"},
        {"path": "red/bad.png", "reason": "not an image of a known format"},
    ]


def test_the_list_of_skipped_files_goes_when_none_is_skipped_any_more(folder: Path, out: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    run(folder, out)
    (folder / "bad.png").unlink()
    run(folder, out)
    assert not skipped_list(out).exists()


@pytest.mark.parametrize("bad", [0, 1])
def test_a_folder_in_the_place_of_that_list_is_told_of(folder: Path, out: Path, reference: bytes, bad: int) -> None:
    for number in range(bad):
        (folder / f"bad-{number}.png").write_bytes(b"no image")
    skipped_list(out).mkdir(parents=True)
    with pytest.raises(StorageError, match=r"codes\.h5\.skipped\.jsonl: Is a directory"):
        run(folder, out)
    skipped_list(out).rmdir()
    assert run(folder, out).kept == 72
    assert (out.read_bytes(), out.with_name("codes.h5.work").exists()) == (reference, False)


def test_a_bad_file_costs_no_good_one_its_code(folder: Path, out: Path, reference: bytes) -> None:
    (folder / "red" / "05b.png").write_bytes(b"no image")
    run(folder, out)
    assert out.read_bytes() == reference


def test_strict_stops_at_a_bad_file_and_keeps_what_was_encoded(folder: Path, out: Path) -> None:
    (folder / "red" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        run(folder, out, strict=True)
    assert not out.exists()
    assert run(folder, out).kept == 64


@pytest.mark.parametrize("broken", [0, 3])
def test_nothing_usable_is_an_input_error(tmp_path: Path, out: Path, broken: int) -> None:
    (tmp_path / "folder").mkdir()
    for number in range(broken):
        (tmp_path / "folder" / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="no usable image"):
        run(tmp_path / "folder", out)
    assert not out.exists()


def test_another_root_needs_another_file(folder: Path, out: Path, tmp_path: Path) -> None:
    run(folder, out)
    shutil.copytree(folder, tmp_path / "copy")
    before = out.read_bytes()
    with pytest.raises(UsageError) as caught:
        run(tmp_path / "copy", out)
    assert "--overwrite" in caught.value.hint
    assert out.read_bytes() == before


def test_another_model_needs_another_file(folder: Path, out: Path) -> None:
    run(folder, out)
    other = replace(BUNDLE, fingerprint="f" * 64)
    with pytest.raises(MismatchError) as caught:
        finish(encode(other, images.collect(folder), out, runtime=LinearHash(seed=1)))
    assert "--overwrite" in caught.value.hint


def test_a_file_that_holds_no_codes_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is no codes file"):
        run(folder, tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_an_output_that_is_being_written_is_locked(folder: Path, out: Path) -> None:
    first = encode(BUNDLE, images.collect(folder), out, runtime=LinearHash())
    next(first)
    with pytest.raises(LockedError):
        run(folder, out)
    first.close()


def test_a_full_disk_keeps_the_old_file_and_the_segments(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, out)
    before = out.read_bytes()
    paint(folder / "new.png", (9, 9, 9), seed=5)
    written = codes.write

    def full(path: Path, *rest: Any) -> None:
        if path == out:
            raise StorageError(f"cannot write {path}")
        written(path, *rest)

    monkeypatch.setattr(codes, "write", full)
    with pytest.raises(StorageError):
        run(folder, out)
    assert out.read_bytes() == before
    monkeypatch.setattr(codes, "write", written)
    assert run(folder, out).kept == 73


def test_numbers_that_are_not_finite_are_no_codes(folder: Path, out: Path) -> None:
    runtime = LinearHash()
    runtime.matrix[0, 0] = np.nan
    with pytest.raises(CorruptError, match="finite"):
        run(folder, out, runtime)


def test_what_shares_a_batch_does_not_decide_its_size(tmp_path: Path, out: Path) -> None:
    class Strict(LinearHash):
        def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
            assert len(images) == encoder.BATCH
            return super().logits(images)

    paint_classes(tmp_path / "folder", each=11)
    assert run(tmp_path / "folder", out, Strict()).images == 33


def change_while_read(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> None:
    """Let the file be painted anew after each of the next decodes of it."""
    left = list(range(times))

    def repaint(path: bytes) -> None:
        if path == os.fsencode(file) and left:
            paint(file, (10 * left.pop(), 0, 200), seed=7, side=33 + len(left))

    squares = Decoders.squares

    def some(self: Decoders, paths: list[bytes], side: int) -> list[NDArray[np.uint8] | Undecodable]:
        results = squares(self, paths, side)
        for path in paths:
            repaint(path)
        return results

    monkeypatch.setattr(Decoders, "squares", some)


def test_a_file_that_changes_once_gets_new_size_and_new_code(
    folder: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        change_while_read(patch, folder / "red" / "03.png", times=1)
        run(folder, out)
    run(folder, tmp_path / "anew.h5")
    assert out.read_bytes() == (tmp_path / "anew.h5").read_bytes()


def test_a_file_that_keeps_changing_is_skipped(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_while_read(monkeypatch, folder / "red" / "03.png", times=100)
    report = run(folder, out)
    assert [(bad.path, bad.reason) for bad in report.skipped] == [(b"red/03.png", "changed while it was read")]


def test_a_file_that_goes_while_it_is_read_is_skipped(folder: Path, out: Path) -> None:
    collection = images.collect(folder)
    (folder / "red" / "03.png").unlink()
    report = finish(encode(BUNDLE, collection, out, runtime=LinearHash()))
    assert [bad.path for bad in report.skipped] == [b"red/03.png"]


def test_segments_are_saved_while_it_runs(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "SIZE", 32)
    work = encode(BUNDLE, images.collect(folder), out, runtime=LinearHash())
    next(work)
    assert [path.name for path in segments.Segments(out).folder.iterdir()] == ["seg-000000.h5"]
    work.close()


def test_csv_labels_are_stored_all(folder: Path, out: Path) -> None:
    (folder / "list.csv").write_text("path,label,label\nred/00.png,red,warm\nblue/00.png,,\n")
    run(folder / "list.csv", out)
    with codes.open_codes(out) as stored:
        assert [stored.labels_of(row) for row in range(2)] == [(), ("red", "warm")]
