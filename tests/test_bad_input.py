"""What cannot teach, and what does not belong together, is refused from the command line with its own exit code."""

import os
from pathlib import Path

import pytest

from ganhash_cli.engine import codes, images, sampling
from ganhash_cli.engine.codes_format import Header
from linear_hash import write_bundle
from pictures import COLOURS, paint, paint_classes
from test_codes import rows
from test_encode_command import Printed, run

SMALL = ("-b", "smallconv", "-B", "width=8", "--bits", "12", "--size", "32")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def paint_some(**classes: int) -> None:
    """Paint so many images of each class; `none` is for those without."""
    for name, count in classes.items():
        for index in range(count):
            folder = "photos" if name == "none" else f"photos/{name}"
            paint(Path(folder) / f"{index}.png", COLOURS.get(name, (9, 9, 9)), seed=index)


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({"none": 4}, "have no labels"),
        ({"red": 4}, "found 1 class in 4 images"),
        ({"red": 1, "blue": 1}, "two images or more"),
        ({"red": 4, "blue": 1}, "two images or more"),
    ],
)
def test_images_that_teach_no_similarity_are_exit_4(capsys: Printed, classes: dict[str, int], says: str) -> None:
    paint_some(**classes)
    code, out, error = run(capsys, "train", "photos", "--loss", "triplet", *SMALL)
    assert (code, out) == (4, "")
    assert says in error
    assert "--loss itq" in error
    assert not Path("model/bundle.json").exists()


def test_classes_of_one_image_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    paint_some(red=2, blue=2, green=1)
    collection = images.collect(Path("photos"))
    sampling.tell_of_single_images(collection, collection.entries)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "1 of 3 classes have one image only, similar to nothing but itself: green"


def test_classes_of_more_images_are_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    paint_some(red=2, blue=2)
    collection = images.collect(Path("photos"))
    sampling.tell_of_single_images(collection, collection.entries)
    assert caplog.records == []


def test_labels_in_another_encoding_are_exit_2_with_their_line(capsys: Printed) -> None:
    paint_some(red=1)
    Path("list.csv").write_bytes(b"path,label\nphotos/red/0.png,caf\xe9\n")
    code, out, error = run(capsys, "train", "list.csv", *SMALL)
    assert (code, out) == (2, "")
    assert r"list.csv, line 2: the label 'caf\xe9' is not UTF-8" in error


@pytest.mark.parametrize("arguments", [["query", "photos/red/00.png"], ["encode", "photos"]])
def test_codes_of_another_length_are_exit_5(capsys: Printed, arguments: list[str]) -> None:
    write_bundle(Path("model"))
    paint_classes(Path("photos"), each=1)
    header = Header(48, "ab" * 32, os.fsencode(Path("photos").resolve()), 64, "photos")
    codes.write(Path("codes.h5"), header, rows())
    code, out, error = run(capsys, *arguments)
    assert (code, out, "hint:" in error) == (5, "", True)


@pytest.mark.parametrize("file", ["bundle.json", "hasher.onnx"])
@pytest.mark.parametrize("arguments", [["query", "photos/red/00.png"], ["encode", "photos", "-o", "new.h5"]])
def test_one_wrong_bit_in_a_model_is_exit_6(capsys: Printed, file: str, arguments: list[str]) -> None:
    write_bundle(Path("model"))
    paint_classes(Path("photos"), each=1)
    assert run(capsys, "encode", "photos")[0] == 0
    content = bytearray((Path("model") / file).read_bytes())
    content[len(content) // 2] ^= 1
    (Path("model") / file).write_bytes(content)
    code, out, error = run(capsys, *arguments)
    assert (code, out, f"model/{file}" in error) == (6, "", True)
    assert not Path("new.h5").exists()
