"""What the tests of reliability count is gathered in one file."""

import json
from pathlib import Path

import pytest

import reliability_card
from reliability_card import record


def test_figures_of_one_test_are_gathered_and_the_newest_of_one_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reliability_card, "CARD", tmp_path / "build" / "card.json")
    record("S3", "hostile files", refused=8)
    record("R1", "SIGKILL at random moments", kills=5, lost=0)
    record("R1", kills=200)
    assert json.loads((tmp_path / "build" / "card.json").read_text()) == {
        "R1": {"what": "SIGKILL at random moments", "kills": 200, "lost": 0},
        "S3": {"what": "hostile files", "refused": 8},
    }
