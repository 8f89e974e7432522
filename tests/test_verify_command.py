"""`ganhash verify` finds one wrong bit anywhere in fakes, a model or codes, and names what holds it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest

from ganhash_cli.engine import codes, images, sample
from ganhash_cli.engine.codes_format import COLUMNS
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.files import json_digest, sha256, write_json
from ganhash_cli.engine.progress import finish
from linear_hash import LinearHash, write_bundle
from pictures import paint_classes
from test_codes import HEADER, rows
from test_codes_files import put
from test_encode_command import Printed, run
from test_fakes import describe, made, pictures


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with fakes, a model and codes, none of them trained for long."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(Path("model"))
    folder = paint_classes(Path("folder"), each=2)
    finish(encode(bundle, images.collect(folder), Path("codes.h5"), runtime=LinearHash()))
    made(Path("fakes"), pictures(4), [0, 1, 1, 2])
    record = json.loads(Path("fakes/fakes.json").read_text())
    describe(Path("fakes"), record | {"generator_sha256": sha256(Path("fakes/generator.safetensors"))})


def flip(path: str, at: int = -1) -> None:
    """Change one bit of a file, or write one to an empty file."""
    content = bytearray(Path(path).read_bytes() or b"\0")
    content[at] ^= 1
    Path(path).write_bytes(content)


def flip_in(column: str) -> None:
    """Change one bit of a stored dataset of codes.h5, as it lies on the disk."""
    with h5py.File("codes.h5") as file:
        dataset = file[column].id
        offset = dataset.get_offset() or dataset.get_chunk_info(0).byte_offset + 4
    flip("codes.h5", offset)


def told(printed: Printed, *path: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = run(printed, "verify", *path, "--json")
    return code, [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("fakes", {"path": "fakes", "kind": "fakes", "files": 7, "wrong": []}),
        ("model", {"path": "model", "kind": "model", "files": 4, "wrong": []}),
        ("codes.h5", {"path": "codes.h5", "kind": "codes", "datasets": 8, "wrong": []}),
    ],
)
def test_what_is_sound_is_counted(capsys: Printed, path: str, record: dict[str, Any]) -> None:
    assert told(capsys, path) == (0, [{"schema": 1, **record}])


def test_a_person_reads_one_line_for_each(capsys: Printed) -> None:
    code, out, error = run(capsys, "verify", "-q")
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "fakes: fakes, 7 files checked, sound",
        "model: model, 4 files checked, sound",
        "codes.h5: codes, 8 datasets checked, sound",
    ]


def test_without_a_path_what_stands_here_is_checked(capsys: Printed) -> None:
    Path("codes.h5").unlink()
    assert [record["kind"] for record in told(capsys)[1]] == ["fakes", "model"]


@pytest.mark.parametrize(
    "file",
    ["coat/000000.png", "a%2Fb/000000.png", "grid.png", "generator.safetensors", "fakes.json"],
)
def test_a_wrong_bit_in_fakes_is_exit_6_and_names_the_file(capsys: Printed, file: str) -> None:
    flip(f"fakes/{file}", at=-3)
    code, out, error = run(capsys, "verify", "fakes")
    assert code == 6
    assert f"fakes/{file}" in error
    assert "1 wrong" in out


@pytest.mark.parametrize("file", ["weights.safetensors", "hasher.onnx", "training.sha256", "bundle.json"])
def test_a_wrong_bit_in_a_model_is_exit_6_and_names_the_file(capsys: Printed, file: str) -> None:
    flip(f"model/{file}", at=0 if file in ("weights.safetensors", "training.sha256") else -5)
    code, out, error = run(capsys, "verify", "model")
    assert code == 6
    assert f"model/{file}" in error
    assert "1 wrong" in out


@pytest.mark.parametrize("key", ["digests", "class_names", "bits"])
def test_a_description_that_lacks_something_is_exit_6(capsys: Printed, key: str) -> None:
    record = json.loads(Path("model/bundle.json").read_text())
    del record[key], record["sha256"]
    write_json(Path("model/bundle.json"), record | {"sha256": json_digest(record)})
    code, _, error = run(capsys, "verify", "model")
    assert (code, "model/bundle.json is incomplete" in error) == (6, True)


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "label_offsets"])
def test_a_wrong_bit_in_codes_is_exit_6_and_names_the_dataset(capsys: Printed, column: str) -> None:
    flip_in(column)
    code, _, error = run(capsys, "verify", "codes.h5")
    assert (code, column in error) == (6, True)


@pytest.mark.parametrize(
    ("path", "damage", "hint"),
    [
        ("codes.h5", "", "ganhash encode FOLDER --overwrite"),
        ("my t.h5", "", "ganhash encode FOLDER -o 'my t.h5' --overwrite"),
        ("other", "hasher.onnx", "ganhash train folder/ --model other --overwrite"),
    ],
)
def test_the_hint_makes_the_damaged_file_anew_and_no_other(capsys: Printed, path: str, damage: str, hint: str) -> None:
    Path("codes.h5" if path.endswith("h5") else "model").rename(path)
    Path(path, damage).write_bytes(Path(path, damage).read_bytes()[:-4])
    assert f"hint: make it again: {hint}\n" in run(capsys, "verify", path)[2]


def test_a_missing_file_is_exit_6(capsys: Printed) -> None:
    Path("fakes/coat/000000.png").unlink()
    code, _, error = run(capsys, "verify", "fakes")
    assert (code, "fakes/coat/000000.png is missing" in error) == (6, True)


def test_everything_wrong_is_listed_and_the_rest_checked_all_the_same(capsys: Printed) -> None:
    for path in ("fakes/coat/000000.png", "fakes/a%2Fb/000000.png", "model/hasher.onnx"):
        flip(path)
    code, records = told(capsys)
    assert code == 6
    assert [(record["kind"], len(record["wrong"])) for record in records] == [("fakes", 2), ("model", 1), ("codes", 0)]


def test_the_error_counts_what_it_does_not_name(capsys: Printed) -> None:
    for column in ("size", "mtime_ns", "codes"):
        flip_in(column)
    assert "and 2 more" in run(capsys, "verify", "codes.h5")[2]


def test_a_label_without_a_name_is_found_though_its_checksum_is_right(capsys: Printed) -> None:
    codes.write(Path("codes.h5"), HEADER, rows(2, [(0,), (7,)]))
    code, _, error = run(capsys, "verify", "codes.h5")
    assert (code, "a label is out of range" in error) == (6, True)


@pytest.mark.parametrize("more", [[], ["--untrusted"]])
def test_a_bit_behind_a_code_is_found_though_its_checksum_is_right(capsys: Printed, more: list[str]) -> None:
    written = rows(2)
    written.codes[1, 7] = 1
    codes.write(Path("codes.h5"), HEADER, written)
    code, _, error = run(capsys, "verify", "codes.h5", *more)
    assert (code, "a code goes on behind its 48 bits" in error) == (6, True)


def test_a_path_out_of_the_root_is_found_though_its_checksum_is_right(capsys: Printed) -> None:
    with h5py.File("codes.h5", "r+") as file:
        blob = file["path_bytes"][:]
        blob[0] = ord("/")
        put(file, "path_bytes", blob)
    code, _, error = run(capsys, "verify", "codes.h5")
    assert (code, "outside its root" in error) == (6, True)


@pytest.mark.parametrize(("damaged", "ended"), [(False, 4), (True, 6)])
def test_one_unfinished_place_keeps_nothing_else_from_being_checked(capsys: Printed, damaged: bool, ended: int) -> None:
    Path("fakes/fakes.json").unlink()
    Path("fakes/.work").mkdir()
    if damaged:
        flip("model/hasher.onnx")
    code, out, error = run(capsys, "verify")
    assert [line.split(":")[0] for line in out.splitlines() if line[0] != " "] == ["model", "codes.h5"]
    assert (code, "fakes is unfinished" in error) == (ended, True)


@pytest.mark.parametrize("path", ["nowhere", "folder", "letter.txt", "model/bundle.json", "unfinished"])
def test_something_else_is_exit_4(capsys: Printed, path: str) -> None:
    Path("letter.txt").write_text("dear")
    Path("unfinished/.work").mkdir(parents=True)
    write_json(Path("unfinished/.work/plan.json"), {})
    code, out, error = run(capsys, "verify", path)
    assert (code, out, "hint:" in error) == (4, "", True)


def test_nothing_here_is_exit_4(capsys: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, _, error = run(capsys, "verify")
    assert (code, "there are no fakes, no model and no codes here" in error) == (4, True)


@pytest.mark.parametrize("name", ["codes.h5", "codes.hdf5", "codes.H5"])
@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\nbroken", b"no codes"])
def test_a_file_called_codes_is_damaged_and_not_something_else(capsys: Printed, name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    assert [run(capsys, verb, name)[0] for verb in ("verify", "info")] == [6, 6]


def test_codes_under_any_name_are_known_by_how_they_begin(capsys: Printed) -> None:
    Path("codes.h5").rename("old codes")
    assert run(capsys, "verify", "old codes")[0] == 0


def test_query_checks_the_codes_only_where_asked_to(capsys: Printed) -> None:
    flip_in("mtime_ns")
    assert run(capsys, "query", "folder/red/00.png")[0] == 0
    code, out, error = run(capsys, "query", "folder/red/00.png", "--check")
    assert (code, out, "mtime_ns" in error) == (6, "", True)


def test_query_finds_sound_codes_sound(capsys: Printed) -> None:
    assert run(capsys, "query", "folder/red/00.png", "--check", "-k", "1")[0] == 0


def test_verify_loads_nothing_large() -> None:
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        "try: main(['verify'])\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'faiss', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("folder", "folder"),
        ("my photos", "'my photos'"),
        ("gone", "IMAGES"),
        ("names on stdin", "IMAGES"),
        (sample.TRAINED_ON, ""),
    ],
)
def test_the_command_that_makes_a_model_anew_names_the_images_it_was_trained_on(
    source: str, words: str, capsys: Printed
) -> None:
    Path("my photos").mkdir()
    write_bundle(Path("new"), source=source)
    flip("new/weights.safetensors")
    wanted = " ".join(["ganhash train", *([words] if words else []), "--model new --overwrite"])
    assert f"make it again: {wanted}\n" in run(capsys, "verify", "new")[2]
