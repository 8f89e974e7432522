"""The runner of the controlled experiment: disjoint parts, lines that tell everything, and no run done twice."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pictures import COLOURS, paint

RUNNER = Path(__file__).parents[1] / "examples" / "cifar10" / "experiment.py"
SMALL = ["--seeds", "0", "--bits", "8", "--images", "6", "--steps", "6", "--batch", "8", "--gan-steps", "3"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty small images of each of three classes, some of them in test/."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(20):
            part = "test" if index % 5 == 0 else "train"
            paint(tmp_path / "data" / part / name / f"{index:02}.png", colour, 100 * number + index)
    return tmp_path / "data"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The runner's names, for three queries and eight training images a class."""
    names = runpy.run_path(str(RUNNER))
    scope = names["main"].__globals__
    monkeypatch.setitem(scope, "QUERIES", 3)
    monkeypatch.setitem(scope, "TRAINING", 8)
    return scope


def start(runner: dict[str, Any], monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str) -> list[dict[str, Any]]:
    results = folder.parent / "results.jsonl"
    places = ["--work", str(folder.parent / "work"), "--results", str(results)]
    monkeypatch.setattr(sys, "argv", ["experiment.py", str(folder), *SMALL, *places, *more])
    runner["main"]()
    return [json.loads(line) for line in results.read_text().splitlines()]


def test_queries_training_images_and_database_are_disjoint_and_even(runner: dict[str, Any], folder: Path) -> None:
    (folder.parent / "work").mkdir()
    data = runner["Data"](folder, 32, folder.parent / "work")
    parts = [data.rows(0, 3), data.rows(3, 11), data.rows(11, None)]
    assert [len(part) for part in parts] == [9, 24, 27]
    assert len(np.unique(np.concatenate(parts))) == 60
    assert all(np.ptp(np.bincount(data.labels[part])) == 0 for part in parts)


@pytest.mark.slow
def test_every_arm_leaves_a_line_for_each_protocol_and_is_not_run_again(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = start(runner, monkeypatch, folder, "--arms", "ABCDEFI")
    assert [(line["arm"], line["protocol"]) for line in lines] == [(arm, p) for arm in "ABCDEFI" for p in ("P1", "P1'")]
    assert all(0 < line["map"] <= 1 and line["digests"]["weights"] for line in lines)
    assert len({line["digests"]["weights"] for line in lines}) == 7
    assert {line["arm"] for line in lines if "fakes" in line} == {"E", "F"}
    assert all(line["fakes"]["accuracy_ceiling"] > 0 for line in lines if "fakes" in line)
    assert start(runner, monkeypatch, folder, "--arms", "ABCDEFI") == lines


def test_the_same_arm_and_seed_end_with_the_same_weights(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(runner, monkeypatch, folder, "--arms", "A")
    both = start(runner, monkeypatch, folder, "--arms", "A", "--experiment", "again")
    assert [line["digests"] for line in both] == [line["digests"] for line in [*first, *first]]
    assert [line["map"] for line in both] == [line["map"] for line in [*first, *first]]


@pytest.mark.slow
def test_a_remedy_changes_its_settings_and_stands_in_its_lines(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = start(runner, monkeypatch, folder, "--arms", "A", "--validate", "--remedies", "none", "trivial")
    assert [(line["remedy"], line["settings"]["augment"]) for line in lines] == [
        ("none", "crop"),
        ("trivial", "trivial"),
    ]
    assert len({line["digests"]["weights"] for line in lines}) == 2


@pytest.mark.slow
def test_labelled_fakes_need_no_teacher_where_they_are_what_they_were_drawn_for(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    share_out = runner["sampling"].share_out
    monkeypatch.setattr(runner["sampling"], "share_out", lambda *given: seen.append(share_out(*given)) or seen[-1])
    lines = start(runner, monkeypatch, folder, "--arms", "G", "--remedies", "drawn labels")
    assert [line["remedy"] for line in lines] == ["drawn labels"] * 2
    ((labelled),) = seen
    assert len(labelled.ambiguous) == 0
    assert labelled.labels.sum(1).tolist() == [1] * 5000
    assert labelled.labels.sum(0).tolist() == [1667, 1667, 1666]  # as they are drawn, class by class


def test_one_work_folder_keeps_the_pixels_of_two_data_sets_apart(runner: dict[str, Any], folder: Path) -> None:
    other, work = folder.parent / "other", folder.parent / "work"
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(20):
            paint(other / "train" / name / f"{index:02}.png", colour, 5000 + 100 * number + index)
    work.mkdir()
    first, second = (np.array(runner["Data"](place, 32, work).pixels) for place in (folder, other))
    assert not np.array_equal(first, second)
    assert np.array_equal(runner["Data"](folder, 32, work).pixels, first)


def test_an_image_that_comes_later_is_among_the_images(runner: dict[str, Any], folder: Path) -> None:
    (folder.parent / "work").mkdir()
    runner["Data"](folder, 32, folder.parent / "work")
    paint(folder / "train" / "red" / "99.png", COLOURS["red"], 99)
    data = runner["Data"](folder, 32, folder.parent / "work")
    assert len(data.pixels) == len(data.labels) == 61


def test_validation_and_queries_are_runs_of_their_own_under_one_name_and_so_are_arithmetics(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--arms", "A", "--losses", "itq", "--precision"]
    start(runner, monkeypatch, folder, *given, "float32")
    start(runner, monkeypatch, folder, *given, "float32", "--validate")
    lines = start(runner, monkeypatch, folder, *given, "bfloat16", "--validate")
    assert [line["protocol"] for line in lines] == ["P1", "P1'", "validation", "validation"]
    assert [line["settings"]["precision"] for line in lines[1:]] == ["float32", "float32", "bfloat16"]
    assert ["map_mirrored" in line for line in lines] == [False, False, True, True]


def test_on_validation_trainings_of_other_lengths_are_compared_under_one_name(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--arms", "A", "--losses", "itq", "--precision", "float32", "--validate"]
    for more in ((), ("--steps", "60"), ("--augment", "trivial"), ("--backbone-options", "width=16"), ()):
        lines = start(runner, monkeypatch, folder, *given, *more)
    taught = [(line["settings"]["epochs"], line["settings"]["augment"]) for line in lines]
    assert taught == [(3, "crop"), (27, "crop"), (3, "trivial"), (3, "crop")]
    assert [line["settings"]["backbone"]["options"]["width"] for line in lines[2:]] == [32, 16]


def test_smoothed_labels_are_refused_for_a_loss_that_has_none(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start(runner, monkeypatch, folder, "--losses", "dpsh")
    assert "arm I smooths the labels of --losses csq alone" in capsys.readouterr().err


def test_validation_needs_images_to_spare(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start(runner, monkeypatch, folder, "--arms", "A", "--validate", "--images", "8")
    assert "fewer than 8 a class" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_are_chosen_on_held_out_training_images_and_weight_0_is_run_once(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = start(runner, monkeypatch, folder, "--validate", "--arms", "ABG", "--weights", "0.1", "1")
    assert [(line["arm"], line["weight"], line["protocol"]) for line in lines] == [
        ("A", 0.0, "validation"),
        ("B", 0.1, "validation"),
        ("B", 1.0, "validation"),
        ("G", 0.1, "validation"),
    ]
    assert lines[1]["settings"]["entropy_weight"] == 0.1
    assert len({line["digests"]["weights"] for line in lines}) == 4


@pytest.mark.slow
def test_losses_stand_beside_what_needs_no_training(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = start(runner, monkeypatch, folder, "--arms", "A", "--losses", "dpsh", "contrastive", "itq", "lsh")
    assert [line["loss"] for line in lines[::2]] == ["dpsh", "contrastive", "itq", "lsh"]
    assert len({line["digests"]["weights"] for line in lines}) == 4
    assert all(line["map"] > 0.3 for line in lines)  # of three classes, found at random


def test_random_planes_go_through_the_mean_of_the_features(runner: dict[str, Any], folder: Path) -> None:
    (folder.parent / "work").mkdir()
    data = runner["Data"](folder, 32, folder.parent / "work")
    network = runner["HashNet"](runner["backbones"].build(runner["backbones"].identify("smallconv", {})), 8)
    pixels = np.array(data.pixels)
    runner["at_random"](network, pixels, 0)
    with torch.no_grad():
        logits = network.eval()(runner["to_tensor"](pixels, runner["CPU"]))
    assert logits.mean(0).abs().max() < 1e-4 * logits.abs().max()


def test_validation_searches_the_training_images_to_spare_and_none_finds_itself(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    class Encoder:
        def logits(self, pixels: Any) -> Any:
            seen[len(pixels)] = np.asarray(pixels)
            # The code of an image is its own and far from all others, but for its class in the last bit.
            return np.where(np.eye(len(pixels), 8, dtype=bool), 1.0, -1.0).astype(np.float32)

    (folder.parent / "work").mkdir()
    data = runner["Data"](folder, 32, folder.parent / "work")
    some = np.array([0, 20, 40])
    nothing = runner["TrainingData"](data.pixels[some], data.table(some), data.pixels[:0], data.labels[:0], None)
    found = runner["figures"](data, Encoder(), nothing, 7, 0, True)
    assert list(found) == ["validation"]
    assert np.array_equal(seen[3], data.pixels[data.rows(10, 11)])
    # Of three images of three classes none has another of its own, so that nothing relevant is left to find.
    assert not found["validation"]["map"] > 0


def test_a_run_with_other_settings_under_the_same_name_is_refused(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(runner, monkeypatch, folder, "--arms", "A", "--losses", "itq")
    with pytest.raises(SystemExit, match="name another --experiment"):
        start(runner, monkeypatch, folder, "--arms", "A", "--losses", "itq", "--batch", "12")


def test_a_run_with_other_fakes_than_those_it_is_compared_with_is_refused(
    runner: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(runner, monkeypatch, folder, "--arms", "A", "--losses", "itq", "--precision", "float32")
    results = folder.parent / "results.jsonl"
    line = json.loads(results.read_text().splitlines()[0])
    results.write_text(json.dumps(line | {"arm": "E", "digests": line["digests"] | {"fakes": "1f"}}) + "\n")
    monkeypatch.setitem(runner, "fakes_of", lambda *_: SimpleNamespace(images=()))
    with pytest.raises(SystemExit, match="with other fakes"):
        start(runner, monkeypatch, folder, "--arms", "E", "--precision", "float32")


def test_two_runs_of_an_arm_with_one_seed_are_not_averaged() -> None:
    paired = runpy.run_path(str(RUNNER.parent / "report.py"))["paired"]
    lines = [{"arm": arm, "seed": 0, "map": value} for arm, value in [("A", 0.5), ("H", 0.6)]]
    assert paired(lines, "H", "A") == pytest.approx([0.1])
    with pytest.raises(ValueError, match="two runs of arm H with seed 0"):
        paired([*lines, {"arm": "H", "seed": 0, "map": 0.7}], "H", "A")
