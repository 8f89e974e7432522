"""`ganhash encode` from the outside: what it prints, and how it ends."""

import io
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ganhash_cli import app
from ganhash_cli.engine import codes, codes_format, sample
from linear_hash import BITS, write_bundle
from pictures import paint_classes

Printed = pytest.CaptureFixture[str]


def run(printed: Printed, *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        app.main(list(arguments))
    out, error = printed.readouterr()
    return int(ended.value.code or 0), out, error


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model and 36 images to work in."""
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))
    paint_classes(Path("folder"))


def say_on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_folder_becomes_codes(capsys: Printed) -> None:
    code, out, _ = run(capsys, "encode", "folder/")
    assert code == 0
    assert out.startswith(f"codes.h5: 36 images, {BITS} bits, ")
    assert "36 encoded, 0 kept, 0 dropped, 0 skipped, of 36 found" in out
    with codes.open_codes(Path("codes.h5")) as stored:
        assert len(stored) == 36


def test_one_image_is_told_of_in_the_singular(capsys: Printed) -> None:
    code, out, _ = run(capsys, "encode", "folder/blue/00.png")
    assert (code, f"codes.h5: 1 image, {BITS} bits, 1 distinct code\n" in out) == (0, True)


def test_the_output_goes_where_it_is_told(capsys: Printed) -> None:
    assert run(capsys, "encode", "folder/", "-o", "deep/down.h5")[0] == 0
    codes.verify(Path("deep/down.h5"))


def test_json_is_one_object(capsys: Printed) -> None:
    _, out, _ = run(capsys, "encode", "folder", "--json")
    record = json.loads(out)
    assert (record["images"], record["encoded"], record["output"]) == (36, 36, "codes.h5")


def test_json_says_where_the_time_went(capsys: Printed) -> None:
    record = json.loads(run(capsys, "encode", "folder", "--json")[1])
    stages = (record["decoding_seconds"], record["network_seconds"])
    assert record["threads"] >= 1
    assert all(0 <= seconds <= record["threads"] * record["seconds"] for seconds in stages)
    assert sum(stages) > 0


def test_verbose_names_the_limit(capsys: Printed) -> None:
    _, _, error = run(capsys, "encode", "folder", "-v")
    found = re.search(r"threads: decoding (\d+)%, the network (\d+)%, the rest (\d+)% of their time", error)
    assert found
    assert 98 <= sum(map(int, found.groups())) <= 102
    assert "limit is" not in run(capsys, "encode", "folder", "--overwrite")[2]


def test_a_second_run_keeps_everything(capsys: Printed) -> None:
    run(capsys, "encode", "folder")
    assert "0 encoded, 36 kept" in run(capsys, "encode", "folder")[1]


def test_a_bad_file_is_skipped_with_its_reason(capsys: Printed) -> None:
    Path("folder/bad.png").write_bytes(b"no image")
    code, out, error = run(capsys, "encode", "folder")
    assert code == 3
    assert "1 skipped, of 37 found" in out
    assert "skipped folder/bad.png: not an image of a known format" in error
    assert "codes.h5.skipped.jsonl" in error


def test_a_few_of_many_bad_files_are_named(capsys: Printed) -> None:
    for number in range(9):
        Path(f"folder/bad{number}.png").write_bytes(b"no image")
    _, _, error = run(capsys, "encode", "folder")
    assert error.count("warning: skipped") == 5
    assert "9 skipped in all" in error


def test_strict_stops_at_a_bad_file(capsys: Printed) -> None:
    Path("folder/bad.png").write_bytes(b"no image")
    code, _, error = run(capsys, "encode", "folder", "--strict")
    assert (code, "bad.png" in error, Path("codes.h5").exists()) == (4, True, False)


def test_a_folder_without_images_is_exit_4(capsys: Printed) -> None:
    Path("empty").mkdir()
    code, _, error = run(capsys, "encode", "empty")
    assert (code, "holds no usable image" in error) == (4, True)


def test_no_model_says_how_to_make_one(capsys: Printed) -> None:
    code, _, error = run(capsys, "encode", "folder", "--model", "none")
    assert (code, "ganhash train" in error) == (4, True)


def test_a_damaged_model_is_exit_6(capsys: Printed) -> None:
    content = bytearray(Path("model/hasher.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    Path("model/hasher.onnx").write_bytes(content)
    assert run(capsys, "encode", "folder")[0] == 6


def test_another_root_is_exit_2_with_a_hint(capsys: Printed) -> None:
    run(capsys, "encode", "folder")
    code, _, error = run(capsys, "encode", "folder/red")
    assert (code, "--overwrite" in error) == (2, True)


def test_one_image_of_a_folder_does_not_take_the_place_of_its_codes(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("folder")
    run(capsys, "encode", ".", "-m", "../model", "-o", "../codes.h5")
    code, _, error = run(capsys, "encode", "red/00.png", "-m", "../model", "-o", "../codes.h5")
    assert (code, "35 images not among" in error, "--overwrite" in error) == (2, True, True)


def test_overwrite_takes_another_root(capsys: Printed) -> None:
    run(capsys, "encode", "folder")
    code, out, _ = run(capsys, "encode", "folder/red", "--overwrite")
    assert (code, "12 images" in out) == (0, True)


def test_other_labels_of_images_that_are_kept_are_told_of(capsys: Printed) -> None:
    rows = [f"{path.relative_to('folder')},{path.parent.name}" for path in sorted(Path("folder").rglob("*.png"))]
    run(capsys, "encode", "folder")
    Path("folder/list.csv").write_text("\n".join(["path,label", *rows]))
    assert "other labels" not in run(capsys, "encode", "folder/list.csv")[2]
    Path("folder/list.csv").write_text("\n".join(["path,label", *rows[:-2], *(f"{row}dish" for row in rows[-2:])]))
    code, out, error = run(capsys, "encode", "folder/list.csv")
    assert (code, "36 kept" in out, "2 images had other labels in codes.h5" in error) == (0, True, True), error


def test_codes_of_another_arithmetic_are_exit_5_with_the_options_that_go_on(capsys: Printed) -> None:
    run(capsys, "encode", "folder", "--precision", "bfloat16")
    code, _, error = run(capsys, "encode", "folder")
    options = re.search(r"--precision bfloat16 --runtime \w+", error)
    assert (code, options is not None) == (5, True), error
    assert "36 kept" in run(capsys, "encode", "folder", *(options[0].split() if options else []))[1]


@pytest.mark.parametrize("name", ["codes.h5", "./codes.h5", "absolute"])
def test_a_shard_does_not_take_the_name_of_all_codes_however_that_is_written(capsys: Printed, name: str) -> None:
    name = os.path.abspath("codes.h5") if name == "absolute" else name
    assert run(capsys, "encode", "folder", "--shard", "1/2", "-o", name)[0] == 2
    assert not Path("codes.h5").exists()


def test_another_model_is_exit_5_with_a_hint(capsys: Printed) -> None:
    run(capsys, "encode", "folder")
    write_bundle(Path("other"), seed=1)
    code, _, error = run(capsys, "encode", "folder", "--model", "other")
    assert (code, "--overwrite" in error) == (5, True)


def test_a_truncated_codes_file_is_exit_6(capsys: Printed) -> None:
    run(capsys, "encode", "folder")
    content = Path("codes.h5").read_bytes()
    Path("codes.h5").write_bytes(content[: len(content) // 2])
    code, _, error = run(capsys, "encode", "folder")
    assert (code, "--overwrite" in error) == (6, True)
    assert run(capsys, "encode", "folder", "--overwrite")[0] == 0


def test_a_place_that_cannot_be_written_is_exit_7(capsys: Printed) -> None:
    Path("file").write_bytes(b"")
    assert run(capsys, "encode", "folder", "-o", "file/codes.h5")[0] == 7


@pytest.mark.parametrize(("source", "told"), [(sample.TRAINED_ON, True), ("folder/", False)])
def test_a_model_of_the_sample_is_told_of(capsys: Printed, source: str, told: bool) -> None:
    write_bundle(Path("trained"), source=source)
    _, _, error = run(capsys, "encode", "folder", "--model", "trained")
    assert ("bundled sample" in error) is told


def test_a_csv_brings_its_labels(capsys: Printed) -> None:
    Path("list.csv").write_text("path,label\nfolder/red/00.png,warm\n")
    run(capsys, "encode", "list.csv")
    with codes.open_codes(Path("codes.h5")) as stored:
        assert (stored.paths(), stored.labels_of(0)) == ([b"folder/red/00.png"], ("warm",))


@pytest.mark.parametrize(("end", "options"), [(b"\n", []), (b"\0", ["-0"])])
def test_names_come_from_stdin(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch, end: bytes, options: list[str]
) -> None:
    say_on_stdin(monkeypatch, b"folder/red/01.png" + end + b"folder/blue/02.png" + end)
    assert run(capsys, "encode", "-", *options)[0] == 0
    with codes.open_codes(Path("codes.h5")) as stored:
        assert stored.paths() == [b"folder/blue/02.png", b"folder/red/01.png"]


def test_a_name_with_control_characters_is_shown_made_safe(capsys: Printed) -> None:
    Path(os.fsdecode(b"folder/\x1b[31m.png")).write_bytes(b"no image")
    _, _, error = run(capsys, "encode", "folder")
    assert "\x1b" not in error


def test_the_next_command_is_shown_made_safe(capsys: Printed) -> None:
    _, _, error = run(capsys, "encode", "folder", "-o", "\x1b[31m.h5")
    assert ("\x1b" in error, "next: ganhash query IMAGE --codes '\\x1b[31m.h5'" in error) == (False, True)


def test_class_names_that_no_reader_would_take_are_refused_before_an_image_is_read(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(codes_format.COLUMNS, "class_names", replace(codes_format.COLUMNS["class_names"], most=40))
    Path("folder/list.csv").write_text("path,label\nblue/00.png,a long caption of this image\nred/00.png,another\n")
    code, _, error = run(capsys, "encode", "folder/list.csv")
    assert (code, "the names of 2 classes take 43 bytes" in " ".join(error.split()), "short label" in error) == (
        2,
        True,
        True,
    )
    assert not Path("codes.h5").exists()
