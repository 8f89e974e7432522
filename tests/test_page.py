"""The gallery: one page that needs nothing else, runs nothing, and shows any name without harm."""

import base64
import hashlib
import io
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from PIL import Image

from ganhash_cli.engine import page
from ganhash_cli.engine.results import Answer, Hit

HOSTILE = [
    (b"<script>alert(1)</script>.png", "<script>alert(1)</script>.png"),
    (b'"><img src=x onerror=alert(1)>.png', '"><img src=x onerror=alert(1)>.png'),
    (b"[red]&amp;.png", "[red]&amp;.png"),
    (b"\x1b[31m\n.png", r"\x1b[31m\x0a.png"),
    ("a\u202egnp.exe".encode(), r"a\u202egnp.exe"),
    (b"\xff\xfe.png", r"\xff\xfe.png"),
]


class Read(HTMLParser):
    """The elements of a page with their attributes, the texts between, and whether all that opens is closed."""

    VOID = ("meta", "img", "br", "source")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def answers(tmp_path: Path) -> list[Answer]:
    """A red query with a red hit, a blue hit under a wrong label, and a file that is gone."""
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    red, blue, gone = (os.fsencode(tmp_path / f"{name}.png") for name in ("red", "blue", "gone"))
    hits = (hit(1, red, "red"), hit(2, blue, "blue"), hit(3, gone))
    return [Answer(red, ("red",), hits, 9, 1)]


def hit(rank: int, path: bytes, *labels: str) -> Hit:
    return Hit(rank, rank - 1, 48, path, labels, rank)


def read(answers: list[Answer], path: Path) -> Read:
    page.write(answers, path)
    return Read(path.read_text("utf-8"))


def test_the_page_has_one_row_a_query_with_each_neighbour_told_of(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers * 2, tmp_path / "out.html")
    assert len(shown.all("section")) == 2
    assert len(shown.all("li")) == 6
    said = " ".join(" ".join(shown.texts).split())
    for part in ("0/48", "1/48", "2/48", "red", "blue", "blue.png", "9 images", "48 bits"):
        assert part in said


@pytest.mark.parametrize(
    ("ties", "counted", "told"),
    [
        (1, True, ""),
        (12, True, "12 images are as near as the last one; which of them are shown is chance"),
        (2, False, "more images than are shown are as near as the last one"),
    ],
)
def test_it_says_where_not_all_images_at_the_last_distance_are_shown(
    answers: list[Answer], tmp_path: Path, ties: int, counted: bool, told: str
) -> None:
    shown = read([replace(answers[0], ties=ties, counted=counted)], tmp_path / "out.html")
    said = " ".join(" ".join(shown.texts).split())
    assert ("as near as the last" in said, told in said) == (bool(told), True)


def test_one_image_of_one_bit_is_told_of_in_the_singular(answers: list[Answer], tmp_path: Path) -> None:
    hits = (replace(answers[0].hits[0], bits=1),)
    said = " ".join(read([replace(answers[0], hits=hits, searched=1)], tmp_path / "out.html").texts)
    assert "1 image searched" in said
    assert "in how many of 1 bit its code differs" in said


def test_the_pictures_are_inside_as_jpegs_of_the_images(answers: list[Answer], tmp_path: Path) -> None:
    sources = [image["src"] for image in read(answers, tmp_path / "out.html").all("img")]
    colours = []
    for source in sources:
        kind, _, content = source.partition(";base64,")
        assert kind == "data:image/jpeg"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert (image.format, image.size) == ("JPEG", (page.SIDE, page.SIDE))
            colours.append(image.resize((1, 1)).getpixel((0, 0)))
    close = [max(range(3), key=list(colour).__getitem__) for colour in colours]
    assert close == [0, 0, 2]  # the query, the red hit, the blue hit; the third is gone


@pytest.mark.parametrize(
    "name", [os.path.basename(name) for name, _ in HOSTILE] + [b"javascript:alert(1)", b"a b#c?d%41.png", b"../up.png"]
)
def test_a_picture_leads_to_its_file_from_where_the_page_lies(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here/pages").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with open(name, "wb") as stream:
        Image.new("RGB", (8, 8)).save(stream, "PNG")
    shown = read([Answer(name, (), (), 1, 1)], Path("pages/out.html"))
    address = urljoin(Path("pages/out.html").absolute().as_uri(), shown.all("a")[0]["href"])
    assert urlsplit(address)[:2] + urlsplit(address)[3:] == ("file", "", "", "")
    assert os.path.samefile(unquote_to_bytes(urlsplit(address).path), name)


def test_what_cannot_be_shown_leads_nowhere(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert [Path(each["href"]).name for each in shown.all("a")] == ["red.png", "red.png", "blue.png"]


def test_the_name_of_a_file_stands_out_from_its_folder(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert shown.texts.count(f"{tmp_path}/") == 4
    assert [text for text in shown.texts if text.endswith(".png")] == ["red.png", "red.png", "blue.png", "gone.png"]


def test_nothing_is_fetched_and_nothing_runs(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in shown.elements)
    attributes = {name for _, each in shown.elements for name in each}
    assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset")]
    assert "url(" not in (tmp_path / "out.html").read_text()


def test_the_policy_allows_the_pictures_and_this_one_style_only(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    [policy] = [meta["content"] for meta in shown.all("meta") if "Policy" in meta.get("http-equiv", "")]
    style = re.search(r"<style>(.*?)</style>", (tmp_path / "out.html").read_text(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize(("name", "shown"), HOSTILE, ids=[shown for _, shown in HOSTILE])
def test_a_hostile_name_is_text_and_nothing_else(
    name: bytes, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (b"plain.png", name):
        os.makedirs(os.path.dirname(os.path.join(b".", file)), exist_ok=True)
        with open(file, "wb") as stream:
            Image.new("RGB", (8, 8)).save(stream, "PNG")
    plain = read([Answer(b"plain.png", ("a",), (hit(1, b"plain.png", "a"),), 1, 1)], tmp_path / "plain.html")
    label = os.fsdecode(name)
    hostile = read([Answer(name, (label,), (hit(1, name, label),), 1, 1)], tmp_path / "hostile.html")
    assert [(tag, list(each)) for tag, each in hostile.elements] == [(tag, list(each)) for tag, each in plain.elements]
    assert "".join(hostile.texts).count(shown) == 4  # name and label, of the query and of its hit
    assert hostile.all("img")[0]["alt"] == f"query {shown}"
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ufffd]", (tmp_path / "hostile.html").read_text())


def test_right_and_wrong_have_a_colour_and_a_sign(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert [each.get("class", "") for each in shown.all("li")] == ["right", "wrong", ""]
    signs = [each["aria-label"] for tag, each in shown.elements if tag == "span" and "aria-label" in each]
    assert signs == ["same label", "another label"]
    assert [text for text in shown.texts if text in ("✓", "✗")] == ["✓", "✗"] * 2  # below the pictures, and in the key


def test_without_labels_nothing_is_called_right_or_wrong(answers: list[Answer], tmp_path: Path) -> None:
    [one] = answers
    shown = read([Answer(one.query, (), one.hits, 9, 1)], tmp_path / "out.html")
    assert [each.get("class", "") for each in shown.all("li")] == [""] * 3
    assert not [text for text in shown.texts if "✓" in text or "✗" in text]


def test_a_reader_of_the_screen_finds_a_way(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers * 2, tmp_path / "out.html")
    assert shown.all("html")[0]["lang"] == "en"
    assert [len(shown.all(tag)) for tag in ("title", "header", "main", "h1", "h2")] == [1, 1, 1, 1, 2]
    headings = {each["id"] for each in shown.all("h2")}
    assert {each["aria-labelledby"] for each in shown.all("section")} == headings
    assert len(headings) == 2
    assert all(image["alt"] for image in shown.all("img"))
    assert any("width=device-width" in meta.get("content", "") for meta in shown.all("meta"))


def test_an_image_that_is_gone_is_shown_as_missing(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert [text for text in shown.texts if "missing" in text] == ["missing"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "faint"])
def test_texts_stand_out_from_their_paper(theme: str, ink: str) -> None:
    colours = page.THEMES[theme]
    assert contrast(colours[ink], colours["paper"]) >= 4.5  # WCAG 2.2, level AA


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("frame", ["right", "wrong"])
def test_frames_stand_out_from_their_paper(theme: str, frame: str) -> None:
    colours = page.THEMES[theme]
    assert contrast(colours[frame], colours["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours `#rrggbb` by WCAG."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_page_stops_at_its_greatest_size_and_says_so(tmp_path: Path) -> None:
    many = Answer(b"gone", (), tuple(hit(rank, b"gone") for rank in range(1, page.MOST_HITS + 9)), 99, 1)
    shown = read([many] * (page.MOST_QUERIES + 7), tmp_path / "out.html")
    assert len(shown.all("section")) == page.MOST_QUERIES
    assert len(shown.all("li")) == page.MOST_QUERIES * page.MOST_HITS
    said = " ".join(shown.texts)
    assert f"the first {page.MOST_QUERIES} of {page.MOST_QUERIES + 7} queries" in said
    assert f"the first {page.MOST_HITS} neighbours" in said


@pytest.mark.parametrize("answers", [[], [Answer(b"gone", (), (), 9, 0)]])
def test_a_page_of_nothing_is_still_a_page(answers: list[Answer], tmp_path: Path) -> None:
    shown = read(answers, tmp_path / "out.html")
    assert len(shown.all("main")) == 1
    assert any("no image" in text for text in shown.texts)


def test_a_page_that_cannot_be_finished_leaves_the_one_before(
    answers: list[Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.html").write_text("before")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(page.Image, "fromarray", fail)
    with pytest.raises(KeyboardInterrupt):
        page.write(answers, tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blue.png", "out.html", "red.png"]
