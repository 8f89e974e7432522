"""Names are cut where they tell least, and a table spends no room on what is empty."""

import os
import sys

import numpy as np
import pytest
from rich.cells import cell_len

from ganhash_cli import console
from ganhash_cli.engine import sheet
from ganhash_cli.engine.names import shortened
from ganhash_cli.engine.results import Answer
from ganhash_cli.engine.strips import Caption, Strip
from terminals import plain

LONG = [f"IMG_20240501_holiday_at_the_lake_{number:04}.jpeg" for number in (41, 42)]


@pytest.mark.parametrize("width", range(1, len(LONG[0])))
def test_a_name_that_is_too_long_is_as_wide_as_its_place(width: int) -> None:
    assert len(shortened(LONG[0], lambda text: len(text) <= width)) == width


@pytest.mark.parametrize("name", ["", "a.png", "x" * 20])
def test_a_name_that_fits_stays_as_it_is(name: str) -> None:
    assert shortened(name, lambda text: len(text) <= 20) == name


def test_a_cut_name_keeps_how_it_begins_its_number_and_its_suffix() -> None:
    assert shortened(LONG[1], lambda text: len(text) <= 16) == "IMG_2…_0042.jpeg"


def test_a_sheet_tells_names_apart_that_differ_at_their_ends() -> None:
    one, other = (sheet.draw([Answer(os.fsencode(name), (), (), 9, 0)]).tobytes() for name in LONG)
    assert one != other


@pytest.mark.parametrize("name", [*LONG, "休暇の写真" * 5 + "42.jpeg"])
def test_a_caption_on_a_terminal_keeps_the_end_of_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.pictures(Strip(np.zeros((2, 1, 4), np.uint8), 1, 12, 12, (Caption(name, name),)), "")
    for line in capsys.readouterr().out.splitlines()[1:]:
        assert line.rstrip().endswith(name[-5:])
        assert cell_len(line) == 12


@pytest.mark.parametrize(("label", "columns"), [("", ["#", "path"]), ("red", ["#", "label", "path"])])
def test_a_column_of_nothing_is_left_out_on_a_terminal(
    label: str, columns: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    console.table(["#", "label", "path"], [["1", label, "a.png"], ["2", "", "b.png"]], links=["file://a", "file://b"])
    head, *rows = plain(capsys.readouterr().out)
    assert head.split() == columns
    assert [row.split()[-1] for row in rows] == ["a.png", "b.png"]


def test_a_pipe_gets_every_column_also_one_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["#", "label", "path"], [["1", "", "a.png"]])
    assert capsys.readouterr().out == "1\t\ta.png\n"
