"""The folder of fakes is whole or absent, its names are safe, and every image is vouched for."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganhash_cli.engine import fakes, grid, images
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.files import json_digest, write_json
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import CorruptError, InputError

NAMES = ("coat", "..", "a/b")


def pictures(count: int, channels: int = 1, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def made(folder: Path, pixels: NDArray[np.uint8], labels: list[int] | None = None) -> Fakes:
    staged = folder / fakes.WORK / "made"
    names = NAMES if labels is not None else ()
    written = fakes.write_images(staged, pixels, None if labels is None else np.array(labels), names)
    (staged / fakes.GRID).write_bytes(b"grid")
    (staged / fakes.WEIGHTS).write_bytes(b"weights")
    return fakes.complete(folder, staged, {"class_names": names, "training_digest": "abc"}, written)


def describe(folder: Path, record: dict[str, Any]) -> None:
    """Put another description in place, sealed as an attacker would."""
    del record["sha256"]
    write_json(folder / fakes.DESCRIPTION, record | {"sha256": json_digest(record)})


def test_fakes_lie_in_a_folder_for_each_class_whatever_its_name(tmp_path: Path) -> None:
    made(tmp_path, pictures(4), [0, 1, 1, 2])
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert found == ["%2E%2E/000000.png", "%2E%2E/000001.png", "a%2Fb/000000.png", "coat/000000.png", "grid.png"]


def test_fakes_without_classes_lie_side_by_side(tmp_path: Path) -> None:
    made(tmp_path, pictures(2))
    assert sorted(path.name for path in tmp_path.glob("0*.png")) == ["000000.png", "000001.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_files_hold_the_pixels(channels: int, tmp_path: Path) -> None:
    pixels = pictures(1, channels)
    made(tmp_path, pixels)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "000000.png")), pixels[0].squeeze())


@pytest.mark.parametrize(
    "name", ["coat", "..", ".", ".hidden", "a/b", "50%", " x ", "Größe", "日本", "a\x1b[31m", "con: 1", "~", "x" * 200]
)
def test_the_name_of_a_class_comes_back_from_a_safe_folder_name(name: str) -> None:
    folder = fakes.class_folder(name)
    assert fakes.class_name(folder) == name
    assert not set("/\\:\x1b") & set(folder)
    assert not folder.startswith(".")
    assert len(os.fsencode(folder)) < 256


def test_a_class_name_too_long_for_a_folder_is_refused() -> None:
    with pytest.raises(InputError, match="too long"):
        fakes.class_folder("x" * 300)


def test_opened_fakes_can_be_read_as_labelled_images(tmp_path: Path) -> None:
    pixels = pictures(4, side=32)
    made(tmp_path, pixels, [0, 1, 1, 2])
    loaded = finish(images.load(Fakes.open(tmp_path).collection, 32))
    names = [NAMES[entry.labels[0]] for entry in loaded.entries]
    assert names == ["..", "..", "a/b", "coat"]
    assert np.array_equal(loaded.array[3, :, :, :1], pixels[0])


def test_no_fakes_are_an_input_error_that_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Fakes.open(tmp_path)
    assert "ganhash generate" in caught.value.hint


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_one_harmed_image_is_found_on_opening(harm: str, tmp_path: Path) -> None:
    made(tmp_path, pictures(3))
    victim = tmp_path / "000001.png"
    content = bytearray(victim.read_bytes())
    content[-20] ^= 1
    victim.unlink()
    if harm == "changed":
        victim.write_bytes(content)
    with pytest.raises(CorruptError, match="000001"):
        Fakes.open(tmp_path)


@pytest.mark.parametrize("path", ["../stolen.png", "/etc/hostname"])
def test_a_description_cannot_name_a_file_outside(path: str, tmp_path: Path) -> None:
    made(tmp_path, pictures(1))
    record = json.loads((tmp_path / fakes.DESCRIPTION).read_text())
    record["images"][0]["path"] = path
    describe(tmp_path, record)
    with pytest.raises(CorruptError, match="outside"):
        Fakes.open(tmp_path)


@pytest.mark.parametrize("change", [{"schema": 99}, {"format": "other"}, {"images": [{"path": 1}]}])
def test_a_description_of_another_kind_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    made(tmp_path, pictures(1))
    describe(tmp_path, json.loads((tmp_path / fakes.DESCRIPTION).read_text()) | change)
    with pytest.raises(CorruptError, match=r"another kind|incomplete"):
        Fakes.open(tmp_path)


def test_a_changed_figure_in_the_description_is_found(tmp_path: Path) -> None:
    made(tmp_path, pictures(1))
    description = tmp_path / fakes.DESCRIPTION
    description.write_text(description.read_text().replace('"abc"', '"abd"'))
    with pytest.raises(CorruptError, match="checksum"):
        Fakes.read(tmp_path)


def test_a_description_from_before_there_was_a_seal_is_read(tmp_path: Path) -> None:
    made(tmp_path, pictures(1))
    record = json.loads((tmp_path / fakes.DESCRIPTION).read_text())
    del record["sha256"], record["grid_sha256"]
    (tmp_path / fakes.DESCRIPTION).write_text(json.dumps(record))
    assert list(Fakes.open(tmp_path).digests) == ["000000.png"]


def test_new_fakes_leave_nothing_of_the_old_ones_and_all_that_is_not_theirs(tmp_path: Path) -> None:
    made(tmp_path, pictures(4), [0, 1, 1, 2])
    (tmp_path / "coat" / "notes.txt").write_text("mine")
    made(tmp_path, pictures(1), [2])
    kept = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert kept == ["a%2Fb/000000.png", "coat/notes.txt", "fakes.json", "generator.safetensors", "grid.png"]


def test_fakes_stopped_before_the_end_never_look_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, pictures(2))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, pictures(3))
    with pytest.raises(InputError):
        Fakes.open(tmp_path)


def test_the_grid_shows_reals_above_fakes_of_each_class(tmp_path: Path) -> None:
    real, fake = np.full((4, 28, 28, 1), 10, np.uint8), np.full((6, 28, 28, 1), 200, np.uint8)
    labels = np.array([0, 0, 1, 1])
    grid.write(tmp_path / "grid.png", grid.by_class(real, labels, fake, np.array([0, 0, 0, 1, 1, 1]), ("a", "b")))
    with Image.open(tmp_path / "grid.png") as drawn:
        assert drawn.getpixel((0, 0)) == (0, 0, 0, 0)  # no paper, which would glare on a dark page
        canvas = np.asarray(drawn.convert("L"))
    first_column, last_column = canvas[:, -150], canvas[:, -60]
    assert _bars(first_column) == [10, 200, 10, 200]
    assert _bars(last_column) == [200, 200]


def _bars(column: NDArray[np.uint8]) -> list[int]:
    """Return the grey of each image that a column of the grid crosses."""
    starts = np.flatnonzero(np.diff(column.astype(int), prepend=-1))
    return [value for value in column[starts].tolist() if value in (10, 200)]


def test_a_grid_of_many_classes_shows_some_from_all_over() -> None:
    labels = np.arange(100)
    pixels = np.zeros((100, 8, 8, 3), np.uint8)
    names = [name for name, *_ in grid.by_class(pixels, labels, pixels, labels, tuple(map(str, labels)))]
    assert names == [str(label) for label in range(0, 100, 5)]


def test_a_grid_without_classes_has_bands_without_names() -> None:
    pixels = np.zeros((20, 8, 8, 3), np.uint8)
    assert [(name, len(fake)) for name, _, fake in grid.without_classes(pixels, pixels)] == [("", 16), ("", 4)]
