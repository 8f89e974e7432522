"""`ganhash generate` says what it made, what it used, and how it ended."""

import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from ganhash_cli import app
from ganhash_cli.commands import generate
from ganhash_cli.engine import fakes, gan, sample
from ganhash_cli.engine.fakes import Fakes
from pictures import COLOURS, paint

QUICK = ["-g", "tiny", "--steps", "2", "--batch", "4", "--features", "smallconv"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _same_for_every_test: None) -> None:
    torch.set_num_threads(1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run `ganhash generate` in this process; return exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        app.main(["generate", *(str(argument) for argument in arguments)])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def _fail_at_step_2(state: Any, *_: object) -> dict[str, float]:
    if state.step == 2:
        raise RuntimeError
    return {}


def test_it_ends_by_saying_what_there_is_and_how_good(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, coloured, *QUICK)
    assert code == 0
    for text in ("36 fakes by tiny", "fakes/grid.png", "Fréchet distance", "36 real images", "classifier", "minutes"):
        assert text in out


def test_who_makes_fakes_that_train_would_not_use_reads_it_before_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        paint(tmp_path / "flat" / f"{number}.png", COLOURS["red"], number)
    _, _, error = run(capsys, tmp_path / "flat", *QUICK, "--count", "4")
    said = error.find("uses fakes of these only with --loss contrastive")
    assert 0 < said < error.find("reading images")


@pytest.mark.parametrize(
    ("diversity", "verdict", "praised"), [(0.8, "mode collapse: ", True), (0.2, "trained too briefly: ", False)]
)
def test_bad_fakes_are_called_so_at_the_end(
    diversity: float, verdict: str, praised: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"frechet_distance": 900.0, "frechet_images": [500, 500], "precision": 0.9, "recall": 0.01}
    figures["diversity"] = diversity
    record = {"quality": figures, "count": 500, "generator": {"name": "tiny"}, "settings": {"features": "smallconv"}}
    generate._report(cast(Fakes, SimpleNamespace(record=record, folder=Path("fakes"))), 1.0, json=False)
    out = capsys.readouterr().out
    assert (out.splitlines()[-1].startswith(verdict), "precision 0.900" in out) == (True, praised)


def test_json_gives_the_same_as_one_object(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, coloured, *QUICK, "--json", "--count", "5")
    record = json.loads(out)
    assert (record["fakes"], record["count"]) == ("fakes", 5)
    assert {"frechet_distance", "accuracy", "minutes"} <= set(record)


def test_without_images_the_bundled_sample_is_used_and_named(
    coloured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Few:
        def __enter__(self) -> Path:
            return coloured

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(sample, "training_folder", Few)
    code, _, err = run(capsys, *QUICK)
    assert (code, "bundled sample" in err) == (0, True)
    assert json.loads(Path("fakes/fakes.json").read_text())["source"] == sample.TRAINED_ON


@pytest.mark.parametrize(("end", "options"), [(b"\n", []), (b"\0", ["-0"])])
def test_names_may_come_on_stdin(
    coloured: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    end: bytes,
    options: list[str],
) -> None:
    names = end.join(os.fsencode(path) for path in sorted(coloured.rglob("*.png"))[:3])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(names)))
    code, out, _ = run(capsys, "-", *options, *QUICK)
    assert (code, "3 fakes" in out, Path("fakes/000002.png").exists()) == (0, True, True)


def test_the_same_command_again_says_that_it_is_done(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, coloured, *QUICK)
    code, out, err = run(capsys, coloured, *QUICK)
    assert (code, "already done" in err, "36 fakes" in out) == (0, True, True)


def test_fakes_of_an_earlier_version_with_fewer_figures_are_reported_without_them(
    coloured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, coloured, *QUICK)
    description = Path("fakes/fakes.json")
    record = json.loads(description.read_text())
    del record["quality"]["precision"], record["quality"]["recall"], record["settings"]["boundary"]
    record[fakes.SEAL] = fakes._seal(record)
    description.write_text(json.dumps(record))
    code, out, err = run(capsys, coloured, *QUICK)
    assert (code, "already done" in err, "36 fakes" in out, "precision" in out) == (0, True, True, False)


def test_a_second_run_over_the_workspace_itself_does_not_take_the_fakes_for_images(
    coloured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(coloured, "photos")
    run(capsys, ".", *QUICK)
    code, out, err = run(capsys, ".", *QUICK)
    assert (code, "already done" in err, "36 fakes" in out) == (0, True, True)


def test_a_damaged_checkpoint_is_told_of_and_the_run_goes_on(
    coloured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gan, "_step", _fail_at_step_2)
        patch.setattr(gan, "CHECKPOINT_SECONDS", 0.0)
        run(capsys, coloured, *QUICK, "--steps", "3")
    _, checkpoint = sorted(Path("fakes/.work/checkpoints").iterdir())
    checkpoint.write_bytes(b"damaged")
    code, out, err = run(capsys, coloured, *QUICK, "--steps", "3")
    assert (code, "36 fakes" in out) == (0, True)
    assert f"warning: {checkpoint}: the checksum is wrong" in err


def test_another_command_over_fakes_is_exit_2_with_a_hint(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, coloured, *QUICK)
    code, _, err = run(capsys, coloured, *QUICK, "--seed", "9")
    assert (code, "--overwrite" in err) == (2, True)
    assert run(capsys, coloured, *QUICK, "--seed", "9", "--overwrite")[0] == 0


def test_a_skipped_file_is_named_and_ends_in_exit_3(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (coloured / "red" / "bad\x1b.png").write_bytes(b"no image")
    code, out, err = run(capsys, coloured, *QUICK)
    assert (code, "bad\\x1b.png" in err, "36 fakes" in out) == (3, True, True)


def test_options_reach_the_generator(coloured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, coloured, *QUICK, "-G", "width=4", "--out", "elsewhere")
    record = json.loads(Path("elsewhere/fakes.json").read_text())
    assert record["generator"]["options"]["width"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--steps", "3", "--minutes", "1"], 2, "exclude"),
        (["-g", "sngam"], 2, "did you mean 'sngan'"),
        (["-G", "bsae=3"], 2, "did you mean 'base'"),
        (["-G", "base"], 2, "NAME=VALUE"),
        (["--size", "12"], 2, "from 28 to 128"),
        (["--augment", "rotate"], 2, "translation"),
        (["--features", "smalconv"], 2, "did you mean 'smallconv'"),
        (["empty"], 4, "no usable image"),
        (["absent"], 4, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, says: str, coloured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    source = [] if arguments[0] in ("empty", "absent") else [str(coloured)]
    ended, out, err = run(capsys, *source, *arguments)
    assert (ended, out) == (code, "")
    assert says in err
    assert not Path("fakes").exists()
