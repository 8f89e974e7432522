"""Which images a shard has, and what `encode` makes of one."""

import os
from pathlib import Path

import h5py
import pytest

from ganhash_cli.engine import codes, images
from ganhash_cli.engine.encoder import EncodeReport, encode
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.shards import Shard
from ganhash_cli.engine.skipped_lists import skipped_list
from ganhash_cli.errors import CorruptError, InputError, UsageError
from linear_hash import LinearHash, made_up
from pictures import paint, paint_classes, refuse_to_list


def run(folder: Path, shard: str, out: Path, **options: bool) -> EncodeReport:
    part = images.shard_of(images.collect(folder), Shard.parse(shard))
    return finish(encode(made_up(), part, out, runtime=LinearHash(), **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_classes(tmp_path / "folder")


def test_every_image_is_in_one_shard(folder: Path) -> None:
    whole = images.collect(folder)
    parts = [images.shard_of(whole, Shard(number, 5)).entries for number in range(1, 6)]
    assert sorted(entry.path for part in parts for entry in part) == [entry.path for entry in whole.entries]


def test_a_new_file_moves_no_other(folder: Path) -> None:
    before = images.shard_of(images.collect(folder), Shard(2, 3)).entries
    for number in range(9):
        paint(folder / "aaa" / f"{number}.png", (9, 9, 9), seed=number)
    after = images.shard_of(images.collect(folder), Shard(2, 3)).entries
    assert [entry.path for entry in after if not entry.path.startswith(b"aaa/")] == [entry.path for entry in before]


def test_a_folder_that_cannot_be_listed_is_told_of_by_every_shard(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_list(monkeypatch, folder / "red", PermissionError(13, "Permission denied"))
    whole = images.collect(folder)
    for number in range(1, 6):
        assert [bad.path for bad in images.shard_of(whole, Shard(number, 5)).skipped] == [b"red"]


def test_the_shard_of_a_path_is_the_same_on_every_machine_and_in_every_version() -> None:
    found = [next(n for n in range(1, 17) if Shard(n, 16).holds(path)) for path in (b"a.png", b"b/c.jpg", b"\xff.png")]
    assert found == [7, 12, 5]


def test_shards_are_of_about_one_size() -> None:
    sizes = [sum(Shard(number, 16).holds(b"%d.jpg" % image) for image in range(16_000)) for number in range(1, 17)]
    assert 850 < min(sizes) <= max(sizes) < 1150


@pytest.mark.parametrize(
    "text", ["", "3", "3/", "/16", "0/16", "17/16", "-1/16", "3/16/2", "a/b", "1/0", "1/1001", "1/٣"]
)
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--shard {text}"):
        Shard.parse(text)


def test_the_part_says_which_it_is(folder: Path, tmp_path: Path) -> None:
    run(folder, "2/3", tmp_path / "part-2.h5")
    with codes.open_codes(tmp_path / "part-2.h5") as stored:
        assert stored.header.shard == Shard(2, 3)
        assert all(Shard(2, 3).holds(path) for path in stored.paths())


def test_what_is_encoded_whole_names_no_shard(folder: Path, tmp_path: Path) -> None:
    finish(encode(made_up(), images.collect(folder), tmp_path / "codes.h5", runtime=LinearHash()))
    with codes.open_codes(tmp_path / "codes.h5") as stored:
        assert stored.header.shard is None


def test_a_shard_without_images_is_a_part_without_rows(tmp_path: Path) -> None:
    paint(tmp_path / "folder" / "a.png", (9, 9, 9), seed=1)
    empty = next(number for number in range(1, 5) if not Shard(number, 4).holds(b"a.png"))
    assert run(tmp_path / "folder", f"{empty}/4", tmp_path / "part.h5").images == 0
    with codes.open_codes(tmp_path / "part.h5") as stored:
        assert (len(stored), stored.header.shard) == (0, Shard(empty, 4))


def test_a_folder_without_images_has_no_shards(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no usable image"):
        run(tmp_path / "folder", "1/4", tmp_path / "part.h5")


def test_a_bad_file_is_skipped_in_its_own_shard_only(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "link.png").symlink_to("nowhere")
    reports = [run(folder, f"{number}/3", tmp_path / f"{number}.h5") for number in (1, 2, 3)]
    assert sorted(each.path for report in reports for each in report.skipped) == [b"bad.png", b"link.png"]
    for number, report in enumerate(reports, start=1):
        assert skipped_list(tmp_path / f"{number}.h5").exists() == bool(report.skipped)


def test_again_only_what_is_new_in_the_shard_is_encoded(folder: Path, tmp_path: Path) -> None:
    before = run(folder, "1/2", tmp_path / "part.h5")
    for number in range(9):
        paint(folder / "new" / f"{number}.png", (9, 9, 9), seed=number)
    after = run(folder, "1/2", tmp_path / "part.h5")
    assert after.kept == before.encoded
    assert after.encoded == sum(Shard(1, 2).holds(b"new/%d.png" % number) for number in range(9))


@pytest.mark.parametrize("other", ["2/3", "1/2", None])
def test_the_part_of_another_shard_is_not_written_over(other: str | None, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.h5"
    run(folder, "1/3", out)
    before = out.read_bytes()
    whole = images.collect(folder)
    collection = images.shard_of(whole, Shard.parse(other)) if other else whole
    with pytest.raises(UsageError, match=r"holds the codes of shard 1/3, not of"):
        finish(encode(made_up(), collection, out, runtime=LinearHash()))
    assert out.read_bytes() == before
    assert run(folder, "2/3", out, overwrite=True).kept == 0


def test_what_a_stopped_run_has_of_another_shard_stays(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.h5"
    part = images.shard_of(images.collect(folder), Shard(1, 3))
    work = encode(made_up(), part, out, runtime=LinearHash())
    next(work)
    work.close()
    with pytest.raises(UsageError, match=r"part\.h5\.work holds the codes of shard 1/3, not of shard 2/3"):
        run(folder, "2/3", out)
    assert run(folder, "1/3", out).kept == len(part.entries)


def test_a_file_of_all_images_is_not_made_a_part(folder: Path, tmp_path: Path) -> None:
    finish(encode(made_up(), images.collect(folder), tmp_path / "codes.h5", runtime=LinearHash()))
    with pytest.raises(UsageError, match=r"holds the codes of all images, not of shard 1/3"):
        run(folder, "1/3", tmp_path / "codes.h5")


def test_a_damaged_shard_number_is_refused(folder: Path, tmp_path: Path) -> None:
    run(folder, "2/3", tmp_path / "part.h5")
    with h5py.File(tmp_path / "part.h5", "a") as file:
        del file.attrs["shards"]
    with pytest.raises(CorruptError), codes.open_codes(tmp_path / "part.h5"):
        pass


def test_names_on_a_list_are_sharded_too(folder: Path) -> None:
    names = [os.fsencode(path) for path in folder.rglob("*.png")]
    whole = images.from_names(names)
    parts = [images.shard_of(whole, Shard(number, 3)).entries for number in (1, 2, 3)]
    assert sum(map(len, parts)) == len(names)
