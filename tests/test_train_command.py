"""What `ganhash train` tells of the model it has made."""

from dataclasses import replace
from pathlib import Path

import pytest

from ganhash_cli.commands import train
from ganhash_cli.engine import epochs
from linear_hash import write_bundle
from test_encode_command import Printed

CHECK = {"images": 1, "bits_compared": 12, "bits_differing": 0}


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
