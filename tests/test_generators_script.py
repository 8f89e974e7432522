"""The comparison of generators: one row each, with the figures of its fakes."""

import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "cifar10" / "generators.py"


@pytest.mark.slow
def test_each_generator_has_a_row_and_a_second_run_makes_nothing_anew(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "generators.json"
    options = ["--minutes", "0.01", "--count", "9", "--names", "tiny", "sngan", "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["generators.py", str(coloured), str(out), *options])
    seen = []
    for _ in range(2):
        runpy.run_path(str(SCRIPT), run_name="__main__")
        rows = json.loads(out.read_text())
        assert [row["generator"] for row in rows] == ["tiny", "sngan"]
        assert all(
            row["steps"] > 0 and row["seconds_for_1000"] > 0 and row["quality"]["frechet_distance"] > 0 for row in rows
        )
        seen.append([path.stat().st_mtime_ns for path in sorted((tmp_path / "work").rglob("*.png"))])
    assert seen[0] == seen[1]
