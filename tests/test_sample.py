"""The bundled sample: what it holds, and that writing it never harms what is there."""

from collections import Counter
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from ganhash_cli.engine import sample
from ganhash_cli.engine.images import from_folder
from ganhash_cli.errors import UsageError


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "new" / "place"
    sample.write(folder)
    return folder


@pytest.fixture(scope="module")
def images(written: Path) -> list[Image.Image]:
    return [Image.open(BytesIO(file.read_bytes())) for file in written.rglob("*.png")]


def test_the_parts_hold_100_50_and_10_images_of_each_of_10_classes(written: Path) -> None:
    counts = Counter(tuple(file.relative_to(written).parts[:2]) for file in written.rglob("*.png"))
    by_part = {
        part: [count for (name, _), count in counts.items() if name == part] for part in ("train", "database", "query")
    }
    assert by_part == {"train": [100] * 10, "database": [50] * 10, "query": [10] * 10}


def test_nothing_but_the_three_parts_is_left_in_the_folder(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == ["database", "query", "train"]


def test_no_two_images_have_equal_pixels(images: list[Image.Image]) -> None:
    assert max(Counter(image.tobytes() for image in images).values()) == 1


def test_every_image_is_grey_and_28_pixels_square(images: list[Image.Image]) -> None:
    assert {(image.mode, image.size) for image in images} == {("L", (28, 28))}


def test_its_sub_folders_are_the_classes(written: Path) -> None:
    assert from_folder(written / "query").class_names == tuple(
        sorted(
            [
                "t-shirt",
                "trouser",
                "pullover",
                "dress",
                "coat",
                "sandal",
                "shirt",
                "sneaker",
                "bag",
                "ankle-boot",
            ]
        )
    )


def test_an_empty_folder_is_filled_and_the_count_returned(tmp_path: Path) -> None:
    assert sample.write(tmp_path) == 1600


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        sample.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        sample.write(tmp_path / "sample")


def test_the_training_folder_holds_the_training_part_and_goes_away() -> None:
    with sample.training_folder() as folder:
        collection = from_folder(folder)
    assert (len(collection.entries), len(collection.class_names), folder.exists()) == (1000, 10, False)


def test_the_archive_is_small_and_its_licence_lies_beside_it() -> None:
    folder = files("ganhash_cli") / "sample"
    assert len((folder / "fashion-mnist.zip").read_bytes()) <= 1_500_000
    assert "Copyright (c) 2017 Zalando SE" in (folder / "LICENSE").read_text()
