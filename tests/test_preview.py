"""Pictures in the terminal: which kind, how they fit, and that none go where they would be noise."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from ganhash_cli import terminal
from ganhash_cli.engine import graphics, images, strips
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.results import Answer, Hit
from linear_hash import LinearHash, write_bundle
from pictures import paint_classes
from terminals import cursor_rows, in_terminal, kitty_pictures, plain, sixel_picture
from test_encode_command import Printed, run

FIRST = "folder/blue/00.png"
TRUE = {"COLORTERM": "truecolor"}
BLOCK = "▀"


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model, 36 images and their codes to work in."""
    monkeypatch.chdir(tmp_path)
    bundle = write_bundle(Path("model"))
    finish(encode(bundle, images.collect(paint_classes(Path("folder"))), Path("codes.h5"), runtime=LinearHash()))


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmux,1,0"}, "blocks"),
        ({"TERM": "screen", "TERM_PROGRAM": "WezTerm"}, "blocks"),
        ({"TERM": "xterm-kitty", "ZELLIJ": "0"}, "blocks"),
        ({"TERM": "dumb"}, "none"),
        ({}, "none"),
        ({"WT_SESSION": "1"}, "blocks"),  # Windows Terminal sets no TERM
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "blocks"),  # no-color.org: only where it is not empty
    ],
)
def test_auto_takes_what_the_terminal_is_known_to_understand(environ: dict[str, str], kind: str) -> None:
    assert terminal.choose(terminal.Preview.auto, environ, "utf-8") == kind


def test_auto_shows_nothing_where_a_half_block_cannot_be_written() -> None:
    assert terminal.choose(terminal.Preview.auto, {"TERM": "xterm"}, "iso-8859-1") == "none"


@pytest.mark.parametrize("kind", ["kitty", "sixel", "blocks", "none"])
def test_what_is_asked_for_wins_over_what_is_known(kind: str) -> None:
    environ = {"TERM": "dumb", "NO_COLOR": "1"}
    assert terminal.choose(terminal.Preview(kind), environ, "ascii") == kind


def test_half_blocks_show_two_pixels_each_in_24_bits() -> None:
    Image.new("RGB", (32, 32), (250, 10, 20)).save("plain.png")
    code, shown = in_terminal("query", "plain.png", "-k", "3", environ=TRUE)
    cells = re.findall(r"\x1b\[0;38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", shown)
    query = [cell for cell in cells if cell == ("250", "10", "20") * 2]
    assert code == 0
    assert shown.count(BLOCK) == 4 * 18 * 9
    assert len(query) == 18 * 9
    assert any(line.startswith("query") for line in plain(shown))
    assert any(re.match(r"#\s+distance", line) for line in plain(shown)), "the table stands below the pictures"


def test_a_terminal_without_24_bits_gets_the_colours_it_has() -> None:
    _, shown = in_terminal("query", FIRST, "-k", "1", environ={})
    assert (BLOCK in shown, "38;2;" in shown, "38;5;" in shown) == (True, False, True)


def test_kitty_gets_pngs_of_the_query_and_its_hits() -> None:
    _, shown = in_terminal("query", FIRST, "-k", "2", pixels=720, environ={"TERM": "xterm-kitty"})
    [(keys, image)] = kitty_pictures(shown)
    given = {"a": "T", "f": "100", "q": "2", "C": "1", "c": "58", "r": "9"}
    assert {name: value for name, value in keys.items() if name != "m"} == given
    assert image.size == (58 * 9, 9 * 20), "a cell of this terminal is 9 by 20 pixels"
    assert BLOCK not in shown
    corner = image.convert("RGBA").getpixel((18 * 9 + 5, 80))
    assert corner == (0, 0, 0, 0), "between two pictures the terminal's own background shows"


def test_sixels_are_drawn_where_they_are_asked_for() -> None:
    Image.new("RGB", (32, 32), (250, 10, 20)).save("plain.png")
    _, shown = in_terminal("query", "plain.png", "-k", "1", "--preview", "sixel", pixels=800, environ={})
    pixels = sixel_picture(shown)
    assert pixels.shape == (180, 380, 4)
    assert np.abs(pixels[80, 80].astype(int) - (250, 10, 20, 255)).max() <= 3
    assert pixels[80, 190, 3] == 0


@pytest.mark.parametrize("columns", [1, 7, 20, 33, 80, 200])
def test_pictures_fit_the_width_of_the_terminal(columns: int) -> None:
    code, shown = in_terminal("query", FIRST, "--preview", "blocks", columns=columns, environ={})
    pictured = [line for line in plain(shown) if BLOCK in line]
    assert code == 0
    assert pictured
    assert max(cell_len(line) for line in pictured) <= columns


@pytest.mark.parametrize(
    ("columns", "options"),
    [(80, ["--preview", "none"]), (80, ["--json"]), (80, ["--files"]), (80, ["--json", "--preview", "blocks"])],
)
def test_no_pictures_where_none_are_wanted(columns: int, options: list[str]) -> None:
    _, shown = in_terminal("query", FIRST, *options, columns=columns, environ=TRUE)
    assert (BLOCK in shown, FIRST in shown) == (False, True)


def test_no_pictures_where_colours_are_not_wanted() -> None:
    _, shown = in_terminal("query", FIRST, environ={**TRUE, "NO_COLOR": "1"})
    assert (BLOCK in shown, FIRST in shown) == (False, True)


@pytest.mark.parametrize("kind", ["auto", "kitty", "sixel", "blocks"])
def test_a_pipe_gets_no_picture_whatever_is_asked_for(capsys: Printed, kind: str) -> None:
    _, out, _ = run(capsys, "query", FIRST, "--preview", kind)
    assert ("\x1b" in out, BLOCK in out, len(out.splitlines())) == (False, False, 10)


def test_an_unknown_kind_is_a_usage_error(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", FIRST, "--preview", "crayon")
    assert (code, "blocks" in error) == (2, True)


def test_an_image_that_is_gone_is_shown_as_missing_below_its_place_and_in_the_table() -> None:
    Path("folder/blue/01.png").unlink()
    code, shown = in_terminal("query", FIRST, "-k", "36", columns=400, environ=TRUE)
    assert code == 0
    assert sum(line.count("missing") for line in plain(shown)) == 2


def test_an_image_that_changed_is_shown_as_such() -> None:
    Path("folder/blue/01.png").write_bytes(Path(FIRST).read_bytes())
    code, shown = in_terminal("query", FIRST, "-k", "36", columns=400, environ=TRUE)
    assert code == 0
    assert sum(line.count("changed") for line in plain(shown)) == 1


def test_a_query_image_with_a_hostile_name_is_shown_with_that_name_made_visible() -> None:
    odd = b"\x1b[31m\xff<b>[red]\xe2\x80\xae.png"
    Path(os.fsdecode(odd)).write_bytes(Path(FIRST).read_bytes())
    _, shown = in_terminal("query", os.fsdecode(odd), FIRST, "-k", "1", columns=120, environ=TRUE)
    assert ("\x1b[31m\x1b" in shown, "\u202e" in shown) == (False, False)
    assert any(r"\x1b[31m\xff" in line for line in plain(shown))


def test_several_queries_get_a_row_each_up_to_ten() -> None:
    _, shown = in_terminal("query", "folder/red", "-k", "9", environ=TRUE)
    headings = [line for line in plain(shown) if re.match(r"query\s+\d+/", line)]
    assert len(headings) == strips.MOST_ANSWERS
    assert shown.count(BLOCK) == strips.MOST_ANSWERS * 4 * 18 * 9


def answers(labels: tuple[str, ...] = ("red",), count: int = 2) -> list[Answer]:
    """One answer of the red query, whose first hit is red, and all others blue."""
    hits = tuple(
        Hit(rank, rank, 48, os.fsencode(f"folder/{name}/00.png"), (name,), rank)
        for rank, name in enumerate(["red", *["blue"] * (count - 1)], start=1)
    )
    return [Answer(b"folder/red/00.png", labels, hits, 36, 1)]


def test_a_caption_says_distance_and_label_and_whether_it_is_right() -> None:
    [strip] = strips.arrange(answers(), 80, (1, 2))
    said = [(caption.first, caption.second, caption.right) for caption in strip.captions]
    assert said == [("query", "red", None), ("1/48 ✓", "red", True), ("2/48 ✗", "blue", False)]


def test_without_labels_nothing_is_called_right_or_wrong() -> None:
    [strip] = strips.arrange(answers(labels=()), 80, (1, 2))
    assert [caption.first for caption in strip.captions] == ["query", "1/48", "2/48"]


def test_a_strip_holds_the_squares_that_the_files_hold() -> None:
    [strip] = strips.arrange(answers(), 80, (2, 4))
    colours = [strip.pixels[:, left : left + 36, :3].mean((0, 1)).argmax() for left in (0, 40, 80)]
    assert colours == [0, 0, 2]
    assert strip.pixels.shape == (36, 116, 4)
    assert (strip.columns, strip.rows, strip.tile) == (58, 9, 18)
    assert not strip.pixels[:, 36:40, 3].any()


def test_one_query_gets_three_rows_at_most() -> None:
    rows = list(strips.arrange(answers(count=40), 80, (1, 2)))
    assert [len(strip.captions) for strip in rows] == [4, 4, 4]


@pytest.mark.parametrize("cell", [(1, 2), (9, 20), (8, 15)])
def test_a_tile_is_square_and_fills_whole_cells(cell: tuple[int, int]) -> None:
    strip = next(iter(strips.arrange(answers(), 30, cell)))
    side = strip.tile * cell[0]
    assert strip.pixels.shape[:2] == (strip.rows * cell[1], strip.columns * cell[0])
    assert 0 <= strip.rows * cell[1] - side < cell[1]
    assert strip.pixels[:side, :side, 3].all()
    assert not strip.pixels[side:, :, 3].any()


@pytest.mark.parametrize(
    "text", [graphics.kitty(np.zeros((80, 40, 4), np.uint8), 5, 4), graphics.sixel(np.zeros((80, 40, 4), np.uint8), 5)]
)
def test_a_picture_is_drawn_above_the_line_the_cursor_goes_on_in(text: str) -> None:
    assert cursor_rows(text + "\n") == (0, 5)


def test_a_label_may_not_act_on_the_terminal() -> None:
    Image.new("RGB", (8, 8)).save("a", "PNG")
    [strip] = strips.arrange([Answer(b"a", ("\x1b[2m",), (Hit(1, 0, 8, b"a", ("\x1b[3m",), 0),), 1, 1)], 80, (1, 2))
    assert [caption.second for caption in strip.captions] == [r"\x1b[2m", r"\x1b[3m"]


def test_sixels_say_what_the_pixels_are() -> None:
    rng = np.random.default_rng(0)
    pixels = np.repeat(np.repeat(rng.integers(0, 256, (5, 7, 4), np.uint8), 3, 0), 5, 1)
    pixels[..., 3] = np.where(pixels[..., 3] > 127, 255, 0)
    drawn = sixel_picture(graphics.sixel(pixels, 1))
    assert (drawn[..., 3] == pixels[..., 3]).all()
    shown = pixels[..., 3] > 0
    assert np.abs(drawn[shown].astype(int) - pixels[shown]).max() <= 3  # a colour is told in percents


def test_of_256_colours_the_nearest_is_taken() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 9, 4), np.uint8)
    pixels[..., 3] = 255
    levels = [0, 95, 135, 175, 215, 255]
    table = {16 + 36 * r + 6 * g + b: (levels[r], levels[g], levels[b]) for r, g, b in np.ndindex(6, 6, 6)}
    table |= {232 + step: (8 + 10 * step,) * 3 for step in range(24)}
    cells = re.findall(r"\x1b\[0;38;5;(\d+);48;5;(\d+)m▀", graphics.blocks(pixels, "256"))
    assert len(cells) == 27
    for number, cell in enumerate(cells):
        for half, taken in enumerate(cell):
            pixel = pixels[2 * (number // 9) + half, number % 9, :3].astype(int)
            away = {each: sum((pixel - colour) ** 2) for each, colour in table.items()}
            assert away[int(taken)] == min(away.values())
