"""The record of the runs on CIFAR-10: gathered from the files of a run, and shown by length of the codes."""

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RECORD = runpy.run_path(str(ROOT / "examples" / "cifar10" / "record.py"))
BUILD = runpy.run_path(str(ROOT / "docs" / "results" / "build.py"))


@pytest.fixture
def known() -> dict[str, Any]:
    """The record that is committed."""
    found: dict[str, Any] = json.loads((ROOT / "docs" / "results" / "cifar10.json").read_text())
    return found


def test_a_record_holds_what_the_files_of_a_run_say(
    known: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"fakes/fakes.json": known["fakes"] | {"images": []}}
    files |= {f"images/{name}.json": lists for name, lists in known["lists"].items()}
    for bits, run in known["runs"].items():
        files[f"model-{bits}/bundle.json"] = run["model"] | {"class_names": ["cat"]}
        files |= {f"{name}-{bits}.json": figures for name, figures in run["evaluation"].items()}
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(json.dumps(content))
    RECORD["main"](Path("images"), Path("out.json"), list(known["runs"]))
    found = json.loads(Path("out.json").read_text())
    assert found.pop("made_with")["ganhash"]
    assert found == {name: value for name, value in known.items() if name != "made_with"}


def test_lengths_stand_in_order_beside_each_other(known: dict[str, Any]) -> None:
    short = copy.deepcopy(known["runs"]["48"])
    short["model"]["bits"], short["model"]["fingerprint"] = 8, "0123456789abcdef" * 4
    short["evaluation"]["cifar10-p1prime"]["map_at_all"] = 0.25
    known["runs"] = {"48": known["runs"]["48"], "8": short}
    longer = known["runs"]["48"]["evaluation"]["cifar10-p1prime"]["map_at_all"]
    rows = BUILD["cifar10"](known).splitlines()
    assert rows[0] == "| bits | 8 | 48 |"
    assert f"| **mAP@all, tie-aware, P1'** | **0.250** | **{longer:.3f}** |" in rows
    assert "| fingerprint of the model, 8 bits | `0123456789abcdef…` |" in rows


def test_what_others_report_stands_above_what_was_run(known: dict[str, Any]) -> None:
    ours = known["runs"]["48"]["evaluation"]["cifar10-p1prime"]["map_at_all"]
    rows = BUILD["published"]([{"method": "Theirs", "map": {"7": 0.5, "48": 0.75}}]).splitlines()
    assert rows == [
        "| method | 7 bits | 48 bits |",
        "| --- | --- | --- |",
        "| Theirs | 0.500 | 0.750 |",
        f"| ganhash, `efficientnet_lite0` | not run | {ours:.3f} |",
    ]
