"""A bundle is opened only where all that its description says fits together, and its files are those described."""

import json
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine import bundle
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.files import json_digest, write_json
from ganhash_cli.errors import CorruptError, InputError
from linear_hash import write_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "model", trained_on=["b", "a", "b"])
    return tmp_path / "model"


def reseal(folder: Path, *left_out: str, **changes: Any) -> None:
    """Change the description and give it the right checksum."""
    record = json.loads((folder / bundle.DESCRIPTION).read_text()) | changes
    for name in ("sha256", *left_out):
        del record[name]
    write_json(folder / bundle.DESCRIPTION, record | {"sha256": json_digest(record)})


def test_a_folder_without_a_description_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no trained model") as raised:
        Bundle.open(tmp_path)
    assert raised.value.hint == "make one with `ganhash train FOLDER`, which needs no labels"


@pytest.mark.parametrize("change", [{"format": "other"}, {"schema": 2}], ids=str)
def test_another_format_is_refused_with_the_one_wanted(folder: Path, change: dict[str, Any]) -> None:
    reseal(folder, **change)
    with pytest.raises(CorruptError, match="this ganhash reads ganhash-bundle 1"):
        Bundle.open(folder)


def test_a_description_that_is_changed_is_damaged(folder: Path) -> None:
    record = json.loads((folder / bundle.DESCRIPTION).read_text())
    write_json(folder / bundle.DESCRIPTION, record | {"source": "elsewhere"})
    with pytest.raises(CorruptError, match="its checksum is wrong"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["class_names", "bits"])
def test_a_description_that_lacks_something_is_incomplete(folder: Path, name: str) -> None:
    reseal(folder, name)
    with pytest.raises(CorruptError, match=f"incomplete.*{name}"):
        Bundle.open(folder)


def test_what_has_no_place_in_a_description_is_refused(folder: Path) -> None:
    reseal(folder, more=1)
    with pytest.raises(CorruptError, match=r"incomplete.*more"):
        Bundle.open(folder)


@pytest.mark.parametrize("change", [{"side": 17}, {"bits": 13}, {"backbone": {}}, {"digests": {}}], ids=str)
def test_a_fingerprint_that_is_not_of_the_model_is_refused(folder: Path, change: dict[str, Any]) -> None:
    reseal(folder, **change)
    with pytest.raises(CorruptError, match="fingerprint does not fit"):
        Bundle.open(folder)


def test_the_files_of_a_model_are_those_with_a_checksum(folder: Path) -> None:
    names = [bundle.WEIGHTS, bundle.ONNX, bundle.TRAINED_ON]
    found = Bundle.open(folder)
    assert found.files == tuple(folder / name for name in names)
    assert [found.verified(file) for file in found.files] == [file.read_bytes() for file in found.files]


def test_a_missing_file_is_named(folder: Path) -> None:
    found = Bundle.open(folder)
    found.weights.unlink()
    with pytest.raises(CorruptError, match=r"weights\.safetensors is missing"):
        found.verified(found.weights)


def test_a_changed_file_is_named(folder: Path) -> None:
    found = Bundle.open(folder)
    found.onnx.write_bytes(found.onnx.read_bytes() + b"\0")
    with pytest.raises(CorruptError, match=r"hasher\.onnx is damaged"):
        found.verified(found.onnx)


def test_the_training_images_come_back_each_once(folder: Path) -> None:
    assert (folder / bundle.TRAINED_ON).read_text() == "a\nb\n"
    assert Bundle.open(folder).training_images() == {"a", "b"}


def test_a_model_of_an_earlier_ganhash_tells_no_training_images(folder: Path) -> None:
    reseal(folder, "trained_on")
    found = Bundle.open(folder)
    assert found.training_images() is None
    assert [file.name for file in found.files] == [bundle.WEIGHTS, bundle.ONNX]


def test_a_training_that_is_not_finished_is_no_model_yet(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="holds a training that is not finished") as raised:
        Bundle.open(tmp_path)
    assert "the `ganhash train` command that began it" in (raised.value.hint or "")
