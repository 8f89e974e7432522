"""What a person sees of a training while it runs: bars, figures, the time left, in any terminal."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from ganhash_cli import console
from ganhash_cli.engine import board
from ganhash_cli.engine.progress import Progress, Rate, Work
from ganhash_cli.errors import Interrupted
from linear_hash import write_bundle
from terminals import show
from test_encode_command import Printed, run

TRAINING = """
import time
from ganhash_cli import console
from ganhash_cli.engine.progress import Progress

def work():
    yield Progress("reading images", 36, 36, {}, "images")
    for step in range(1, 7):
        time.sleep(0.15)
        figures = {"triplet": 0.1234, "entropy": 0.9}
        if step > 3:
            figures["mAP"] = 0.5678
        yield Progress("training smallconv", step, 6, {**figures, "images/s": 432.1}, "steps")
    yield Progress("writing the model", 1, 1)

console.follow(work())
"""


def watch(columns: int, **environ: str) -> str:
    code, shown = show([sys.executable, "-c", TRAINING], columns=columns, environ=environ)
    assert code == 0, shown
    return shown


def lines(shown: str) -> list[str]:
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_terminal_shows_bar_count_time_left_and_the_figures_below() -> None:
    shown = lines(watch(80))
    assert [line for line in shown if re.match(r"training smallconv ━+ +\d+ % \d/6 steps +\d:\d\d:\d\d .*left", line)]
    assert "triplet 0.1234  entropy 0.9  images/s 432.1" in [line.strip() for line in shown]
    assert "triplet 0.1234  entropy 0.9  mAP 0.5678  images/s 432.1" in [line.strip() for line in shown]
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("columns", [20, 40])
def test_a_narrow_terminal_shows_how_far_it_is(columns: int) -> None:
    shown = lines(watch(columns))
    progress = [line for line in shown if line.startswith("training sm")]
    assert progress
    assert all(len(line) <= columns for line in progress)
    assert ["100" in progress[-1], "left" in progress[-1]] == [True, columns == 40]


def test_a_dumb_terminal_gets_lines_and_no_escape() -> None:
    shown = watch(20, TERM="dumb")
    assert "\x1b" not in shown
    assert "training smallconv:  6/6 steps  triplet 0.1234" in shown


def test_no_color_means_no_colour() -> None:
    shown = watch(80, NO_COLOR="1")
    assert not re.findall(r"\x1b\[(?!0?m|1m|2m)[\d;]*m", shown)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = iter([0.0, 1.0, 2.0, 20.0, 21.0])
    rate = Rate(clock=lambda: next(now))
    assert [rate.after(units) for units in (10, 30, 0, 50)] == [10, 20, 0, pytest.approx(50)]


def test_tensorboard_that_is_not_installed_is_exit_9_before_anything_is_read(
    coloured: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr(board, "find_spec", lambda _: None)
    code, out, error = run(capsys, "train", str(coloured), "--tensorboard")
    assert (code, out, "hint: pip install 'ganhash[tensorboard]'" in error) == (9, "", True)
    assert not Path("model").exists()


def test_progress_is_shown_to_others_too() -> None:
    from ganhash_cli import console

    def work():
        yield Progress("one", 1, 1)
        return "done"

    seen: list[Progress] = []
    assert (console.follow(work(), seen.append), [each.stage for each in seen]) == ("done", ["one"])


@pytest.mark.parametrize(
    "arguments", [("info", "model"), ("plugins", "list"), ("query", "--nonsense"), ("info", "none")]
)
@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_twenty_columns_hold_any_answer(arguments: tuple[str, ...], environ: dict[str, str]) -> None:
    write_bundle(Path("model"))
    code, shown = show([sys.executable, "-m", "ganhash_cli", *arguments], columns=20, environ=environ)
    assert code == {"--nonsense": 2, "none": 4}.get(arguments[-1], 0)
    assert "Traceback" not in shown
    if "TERM" in environ:
        assert "\x1b" not in shown
    assert not re.findall(r"\x1b\[(?:\d+;)*[349][0-7][\d;]*m", shown)


def test_without_a_terminal_a_stage_of_one_step_is_named_before_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Work[None]:
        yield Progress("writing hasher.onnx", 0, 1)
        assert capsys.readouterr().err == "writing hasher.onnx\n"
        yield Progress("writing hasher.onnx", 1, 1)

    console.follow(work())
    assert capsys.readouterr().err == "writing hasher.onnx:  1/1  0 s\n"


def test_who_stops_a_command_is_told_which_step_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Work[None]:
        yield Progress("writing hasher.onnx", 0, 1)
        os.kill(os.getpid(), signal.SIGINT)
        yield Progress("writing hasher.onnx", 1, 1)

    with pytest.raises(Interrupted):
        console.follow(work())
    assert "stopping after this step of writing hasher.onnx, to save the state; once more" in capsys.readouterr().err
