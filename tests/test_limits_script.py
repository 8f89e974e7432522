"""What limits the codes of a model: figures of codes, of real-valued outputs and of classes."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linear_hash import write_bundle
from pictures import COLOURS, paint_classes

SCRIPT = Path(__file__).parents[1] / "examples" / "cifar10" / "limits.py"
LABELS = np.arange(40) % 2


@pytest.fixture(scope="module")
def limits() -> Any:
    return runpy.run_path(str(SCRIPT))["limits"]


def logits(misleading: int) -> np.ndarray:
    """Two classes of opposite codes, and so many images that have the code of the other."""
    signs = np.where(LABELS, 1, -1) * np.where(np.arange(40) < misleading, -1, 1)
    return (signs[:, None] * np.array([1, -1, 1, 1])).astype(np.float32)


def test_classes_that_are_told_apart_are_found_by_whatever_they_are_searched(limits: Any) -> None:
    found = limits(logits(0), logits(0), LABELS, LABELS)
    assert set(found.values()) == {1.0}


def test_images_with_the_code_of_another_class_are_not_nearest_to_their_own(limits: Any) -> None:
    found = limits(logits(4), logits(4), LABELS, LABELS)
    assert found["nearest_to_its_class"] == 36 / 40
    assert found["map_by_codes"] == pytest.approx(found["map_by_classes"])  # here a code is a class
    assert 0.8 < found["map_by_codes"] < 0.9


def test_outputs_that_are_unsure_tell_more_than_their_codes(limits: Any) -> None:
    unsure = logits(4)
    unsure[:4, 0] *= 0.1
    found = limits(logits(0), unsure, LABELS, LABELS)
    assert found["map_by_cosines"] > found["map_by_codes"]


def test_each_model_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paint_classes(Path("data"), each=6)
    for part, numbers in (("query", range(2)), ("database", range(2, 6))):
        rows = [f"{colour}/{number:02}.png,{colour}" for colour in COLOURS for number in numbers]
        Path(f"data/cifar10-p1-{part}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    write_bundle(Path("model-12"))
    monkeypatch.setattr(sys, "argv", ["limits.py", "data", "out.json", "12", "--images", "10"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    (row,) = json.loads(Path("out.json").read_text())
    assert (row["bits"], row["images"]) == (12, 9)
    assert row["map_by_codes"] > 0.9  # colours are easily told apart
