"""What `ganhash train` tells of the model it has made."""

from dataclasses import replace
from pathlib import Path

import pytest

from ganhash_cli import console
from ganhash_cli.commands import train
from ganhash_cli.engine import differences, epochs
from ganhash_cli.engine.images import Collection
from linear_hash import write_bundle
from test_encode_command import Printed

CHECK = {"images": 1, "bits_compared": 12, "bits_differing": 0}


def test_two_runs_that_differ_are_told_apart_by_what_was_chosen_and_not_by_what_follows() -> None:
    before, now = {"bits": 64, "precision": "float32"}, {"bits": 48, "precision": "bfloat16"}
    assert differences.named(before, now) == "with --bits 64, not 48"
    assert differences.named(before, {**now, "bits": 64}) == "with --precision float32, not bfloat16"


@pytest.mark.parametrize(("before", "said"), [(True, "with --mirrored, not without"), (False, "with no --mirrored")])
def test_an_option_without_a_value_is_named_as_it_is_typed(before: bool, said: str) -> None:
    assert differences.named({"mirrored": before}, {"mirrored": not before}) == said


def test_an_option_of_a_loss_or_a_plugin_that_differs_is_named_as_it_is_typed() -> None:
    plugin = {"name": "smallconv", "options": {"width": 32}, "version": "0.1.0"}
    before = {"loss": "triplet", "loss_options": {"margin": 3.0, "semi_hard": False}, "backbone": plugin}
    wider = {**plugin, "options": {"width": 64}}
    assert differences.named(before, {**before, "backbone": wider}) == "with -B width=32, not 64"
    margin = {**before, "loss_options": {"margin": None, "semi_hard": False}}
    assert differences.named(before, margin) == "with -L margin=3.0, not left out"
    other = {**before, "loss": "csq", "loss_options": {"smoothing": 0.1}}
    assert differences.named(before, other) == "with --loss triplet, not csq"
    newer = {**before, "backbone": {**plugin, "version": "0.2.0"}}
    assert differences.named(before, newer) == "with another version of --backbone smallconv"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.25, 0.75, 0.5], "mAP@all 0.750 on 9 held-out images after epoch 2 of 3, the best, which is kept\n"),
        ([], "mAP@all 0.750 on 9 held-out images\n"),
    ],
)
def test_the_score_of_a_model_is_told_with_the_epoch_that_is_kept(
    tmp_path: Path, capsys: Printed, scores: list[float], said: str
) -> None:
    metrics = {"validation_map_at_all": 0.75, "validation_images": 9, "onnx_check": CHECK}
    bundle = replace(write_bundle(tmp_path / "model"), metrics=metrics)
    if scores:
        history = [{"epoch": number, "validation_map": score} for number, score in enumerate(scores, start=1)]
        epochs.write(history, bundle.folder)
    train._report(bundle, json=False)
    assert said in capsys.readouterr().out


def test_the_classes_that_were_found_are_named_the_first_ten_of_them() -> None:
    names = tuple(f"{year}" for year in range(2000, 2012))
    assert train._classes(Collection(b"/", (), ("cat", "dog"))) == "2 classes: cat, dog"
    assert train._classes(Collection(b"/", (), names)).endswith(" 2008, 2009 and 2 more")


def test_quiet_leaves_out_the_command_that_comes_next(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"validation_map_at_all": None, "onnx_check": CHECK}
    bundle = replace(write_bundle(tmp_path / "model"), metrics=metrics)
    for verbosity, told in ((0, True), (-1, False)):
        monkeypatch.setattr(console, "verbosity", verbosity)
        train._report(bundle, json=False)
        assert ("next: ganhash encode" in "".join(capsys.readouterr())) is told
