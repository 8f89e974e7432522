"""Files that a user names to be written: they replace what the same command wrote before, and nothing else."""

import os
from pathlib import Path

import pytest

from linear_hash import write_bundle
from pictures import COLOURS, paint, paint_classes
from test_encode_command import Printed, run

EVERY = [
    (["query", "folder/red/00.png", "--sheet"], "sheet.png"),
    (["query", "folder/red/00.png", "--html"], "hits.html"),
    (["dedup", "folder", "--html"], "groups.html"),
    (["evaluate", "--queries", "asked", "--plot"], "curve.png"),
    (["evaluate", "--queries", "asked", "--csv"], "curve.csv"),
    (["report", "-o"], "page.html"),
    (["export", "--for", "vespa", "-o"], "lines.ndjson"),
    (["export", "--for", "opensearch", "-o"], "lines.ndjson"),
]


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """A model, the codes of a folder, and labelled queries of other pixels."""
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))
    paint_classes(Path("folder"), each=3)
    for number, (name, colour) in enumerate(COLOURS.items()):
        paint(Path("asked") / name / "new.png", colour, seed=1000 + number)
    assert run(capsys, "encode", "folder")[0] == 0


@pytest.mark.parametrize(("command", "output"), EVERY)
def test_a_file_of_the_user_is_not_replaced(command: list[str], output: str, capsys: Printed) -> None:
    Path(output).write_bytes(b"precious")
    code, _, error = run(capsys, *command, output)
    assert (code, Path(output).read_bytes()) == (2, b"precious")
    assert f"{output} is there already" in error
    assert "name another file" in error


@pytest.mark.parametrize(("command", "output"), EVERY)
def test_the_same_command_replaces_what_it_wrote(command: list[str], output: str, capsys: Printed) -> None:
    Path(output).touch()  # as `mktemp` leaves it
    assert run(capsys, *command, output)[0] == 0
    written = Path(output).read_bytes()
    assert run(capsys, *command, output)[0] == 0
    assert len(Path(output).read_bytes()) == pytest.approx(len(written), rel=0.1)


@pytest.mark.parametrize(("command", "output"), EVERY)
def test_a_name_of_another_kind_is_refused(command: list[str], output: str, capsys: Printed) -> None:
    code, _, error = run(capsys, *command, "out.jpg")
    assert (code, Path("out.jpg").exists()) == (2, False)
    assert f"out{Path(output).suffix}" in error


@pytest.mark.parametrize(("command", "output"), EVERY)
def test_a_folder_is_no_file_to_write(command: list[str], output: str, capsys: Printed) -> None:
    Path(output).mkdir()
    code, _, error = run(capsys, *command, output)
    assert code == 2
    assert f"{output} is a folder" in error


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("command", "output"),
    [
        *EVERY,
        *((["encode", "folder", "--overwrite", "-o"], name) for name in ("codes", "pipe.h5")),
        (["merge", "codes.h5", "--overwrite", "-o"], "pipe.h5"),
    ],
)
def test_a_pipe_stays_a_pipe(command: list[str], output: str, capsys: Printed) -> None:
    os.mkfifo(output)
    code, _, error = run(capsys, *command, output)
    assert (code, Path(output).is_fifo()) == (2, True)
    assert f"{output} is not a regular file" in error


def test_the_picture_that_was_asked_for_is_not_drawn_over(capsys: Printed) -> None:
    asked = Path("folder/red/00.png")
    before = asked.read_bytes()
    assert run(capsys, "query", str(asked), "--sheet", str(asked))[0] == 2
    assert asked.read_bytes() == before


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("command", [["encode", "folder"], ["merge", "codes.h5"]])
def test_a_picture_is_no_codes_file_to_replace(command: list[str], more: list[str], capsys: Printed) -> None:
    picture = Path("folder/red/00.png")
    before = picture.read_bytes()
    code, _, error = run(capsys, *command, "-o", str(picture), *more)
    assert (code, picture.read_bytes()) == (2, before)
    assert "--overwrite" not in error


@pytest.mark.parametrize("name", ["codes.h5", "codes.hdf5", "codes.H5"])
def test_damaged_codes_are_replaced_where_that_is_asked(name: str, capsys: Printed) -> None:
    whole = Path("codes.h5").read_bytes()
    Path(name).write_bytes(b"\0" * 100)
    assert run(capsys, "encode", "folder", "--overwrite", "-o", name)[0] == 0
    assert Path(name).read_bytes() == whole
