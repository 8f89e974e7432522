"""`ganhash train --tensorboard`: event files that TensorBoard reads as one run, whatever broke it off."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganhash_cli.engine import board, epochs
from ganhash_cli.engine.progress import Progress
from test_encode_command import Printed, run

INSTALLED = importlib.util.find_spec("tensorboard") is not None
pytestmark = pytest.mark.skipif(not INSTALLED, reason="tensorboard is not installed: 'ganhash[dev]' brings it")
TRAIN = ("-b", "smallconv", "-B", "width=8", "--bits", "12", "--epochs", "2", "--batch", "12", "--size", "32")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what TensorBoard shows of a folder, by tag: steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Any = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def record(folder: Path, steps: range, value: float) -> None:
    with board.recording(folder) as note:
        note(Progress("reading images", 1, 2, {}, "images"))
        for step in steps:
            note(Progress("training tiny", step, 9, {"loss": value + step, "mAP": 0.5}, "steps"))


def test_losses_and_validation_map_are_written_under_the_model(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "train", str(coloured), *TRAIN, "--no-fakes", "--tensorboard")[0] == 0
    found = scalars(tmp_path / "model" / "tensorboard")
    assert [step for step, _ in found["triplet"]] == list(range(1, len(found["triplet"]) + 1))
    history = epochs.read(tmp_path / "model")
    steps = [value for _, value in found["triplet"]]
    assert np.mean(steps[len(steps) // 2 :]) == pytest.approx(history.losses["triplet"][-1])
    assert found["mAP"][-1][1] == pytest.approx(history.validation_map[-1])
    assert all(value > 0 for _, value in found["images/s"])


def test_they_are_written_where_they_are_wanted_and_another_run_shows_none_of_the_first(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("train", str(coloured), *TRAIN, "--no-fakes", "--tensorboard-folder", "runs/a")
    assert run(capsys, *given)[0] == 0
    first = [step for step, _ in scalars(tmp_path / "runs" / "a")["triplet"]]
    assert run(capsys, *given, "--epochs", "1", "--overwrite")[0] == 0
    second = [step for step, _ in scalars(tmp_path / "runs" / "a")["triplet"]]
    assert (first, second) == ([1, 2, 3, 4, 5, 6], [1, 2, 3])
    assert not (tmp_path / "model" / "tensorboard").exists()


def test_overwriting_a_model_removes_what_was_written_of_it(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, "train", str(coloured), *TRAIN, "--no-fakes", "--tensorboard")
    run(capsys, "train", str(coloured), *TRAIN, "--no-fakes", "--overwrite")
    assert not (tmp_path / "model" / "tensorboard").exists()


def test_what_a_kill_lost_is_hidden_when_the_run_goes_on(tmp_path: Path) -> None:
    record(tmp_path, range(1, 8), value=100)
    record(tmp_path, range(4, 10), value=0)  # the last checkpoint was of step 3
    assert scalars(tmp_path)["loss"] == [(1, 101), (2, 102), (3, 103), *((step, step) for step in range(4, 10))]


def test_where_nothing_is_trained_nothing_is_written(tmp_path: Path) -> None:
    record(tmp_path / "board", range(0), value=0)
    assert not (tmp_path / "board").exists()
