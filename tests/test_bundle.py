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


def refuse(folder: Path, message: str, hint: str = bundle._AGAIN) -> None:
    with pytest.raises(CorruptError, match=message) as raised:
        Bundle.open(folder)
    assert raised.value.hint == hint


def test_a_fingerprint_stays_what_it_is() -> None:
    """Another one for the same model would part all codes that there are from it."""
    found = bundle.fingerprint({"hasher.onnx": "00ff"}, {"name": "tiny"}, 48, 32)
    assert found == "2ebfdde35c3bd5c697e909b59d73db542b066e3bc8ec69b588091e599ab8e4d9"


@pytest.mark.parametrize(
    ("name", "fault", "place"),
    [
        ("model", "model does not exist", ""),
        ("other", "other does not exist", " --model other"),
        ("my model", "my model holds no trained model", " --model 'my model'"),
    ],
)
def test_where_no_model_is_a_command_is_named_that_makes_one_there(
    name: str, fault: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my model").mkdir()
    with pytest.raises(InputError, match=f"^{fault}$") as raised:
        Bundle.open(Path(name))
    assert raised.value.hint == f"make one with `ganhash train FOLDER{place}`, which needs no labels"


def test_another_schema_is_refused_with_the_one_wanted(folder: Path) -> None:
    reseal(folder, schema=2)
    refuse(folder, "has schema 2; this ganhash reads 1$", "use the ganhash that made it, or train again")


def test_a_description_of_something_else_describes_no_model(folder: Path) -> None:
    write_json(folder / bundle.DESCRIPTION, {})
    refuse(folder, "describes no model$")


def test_a_description_that_is_changed_is_damaged(folder: Path) -> None:
    record = json.loads((folder / bundle.DESCRIPTION).read_text())
    write_json(folder / bundle.DESCRIPTION, record | {"source": "elsewhere"})
    refuse(folder, "its checksum is wrong")


@pytest.mark.parametrize("name", ["class_names", "bits"])
def test_a_description_that_lacks_something_is_incomplete(folder: Path, name: str) -> None:
    reseal(folder, name)
    refuse(folder, f"incomplete.*{name}")


def test_what_has_no_place_in_a_description_is_refused(folder: Path) -> None:
    reseal(folder, more=1)
    refuse(folder, r"incomplete.*more")


@pytest.mark.parametrize("change", [{"side": 17}, {"bits": 13}, {"backbone": {}}, {"digests": {}}], ids=str)
def test_a_fingerprint_that_is_not_of_the_model_is_refused(folder: Path, change: dict[str, Any]) -> None:
    reseal(folder, **change)
    refuse(folder, "fingerprint does not fit")


def test_the_files_of_a_model_are_those_with_a_checksum(folder: Path) -> None:
    names = [bundle.WEIGHTS, bundle.ONNX, bundle.TRAINED_ON]
    found = Bundle.open(folder)
    assert found.files == tuple(folder / name for name in names)
    assert [found.verified(file) for file in found.files] == [file.read_bytes() for file in found.files]


def test_a_missing_file_is_named(folder: Path) -> None:
    found = Bundle.open(folder)
    found.weights.unlink()
    with pytest.raises(CorruptError, match=r"weights\.safetensors is missing") as raised:
        found.verified(found.weights)
    assert raised.value.hint == bundle._AGAIN


def test_a_file_that_may_not_be_read_is_an_input_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    found = Bundle.open(folder)
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InputError, match=r"hasher\.onnx cannot be read: Permission denied"):
        found.verified(found.onnx)
    with pytest.raises(InputError, match=r"bundle\.json cannot be read: Permission denied"):
        Bundle.open(folder)


def test_a_changed_file_is_named(folder: Path) -> None:
    found = Bundle.open(folder)
    found.onnx.write_bytes(found.onnx.read_bytes() + b"\0")
    with pytest.raises(CorruptError, match=r"hasher\.onnx is damaged") as raised:
        found.verified(found.onnx)
    assert raised.value.hint == bundle._AGAIN


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
    assert raised.value.hint == "the `ganhash train` command that began it goes on with it"
