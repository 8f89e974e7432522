"""Names in pictures are drawn by letters, not by boxes."""

import pytest
from PIL import ImageFont

from ganhash_cli.engine import fonts


def drawn(text: str) -> bytes:
    return bytes(fonts.font(20).getmask(text))


@pytest.mark.parametrize("letter", ["ü", "é", "ł", "Ż", "ß", "λ", "Я"])
def test_letters_of_europe_are_no_boxes(letter: str) -> None:
    assert drawn(letter) != drawn("\ue000")  # of private use: no font has it


def test_without_matplotlib_names_are_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "find_spec", lambda _: None)
    assert isinstance(fonts.font.__wrapped__(20), ImageFont.FreeTypeFont | ImageFont.ImageFont)
