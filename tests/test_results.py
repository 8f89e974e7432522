"""Answers hold what a slow search finds, and the contact sheet shows them in their places."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ganhash_cli.engine import codes, images, results, sheet
from ganhash_cli.engine.bits import hamming, unpack
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.fonts import font
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.queries import Queries, hash_queries, openable, require_match
from ganhash_cli.engine.results import Answer, Hit, answer
from ganhash_cli.errors import InputError, MismatchError
from linear_hash import BITS, SIDE, LinearHash, made_up
from pictures import paint_classes

BUNDLE = made_up()


@pytest.fixture
def stored(coloured: Path, tmp_path: Path) -> Path:
    """The codes of 36 squares in three classes."""
    finish(encode(BUNDLE, images.collect(coloured), tmp_path / "codes.h5", runtime=LinearHash()))
    return tmp_path / "codes.h5"


def ask(folder: Path) -> Queries:
    return finish(hash_queries(LinearHash(), images.collect(folder), SIDE))


def hit(rank: int = 1, distance: int = 3, path: bytes = b"a.png", labels: tuple[str, ...] = ("red",)) -> Hit:
    return Hit(rank, distance, BITS, path, labels, rank - 1)


@pytest.mark.parametrize("most", [None, 4])
def test_an_answer_holds_the_nearest_with_path_and_label(stored: Path, tmp_path: Path, most: int | None) -> None:
    queries = ask(paint_classes(tmp_path / "queries", each=1))
    with codes.open_codes(stored) as opened:
        answers = answer(opened, queries, 5, most)
        names = opened.paths()
        table = hamming(queries.codes, opened.codes)
        root = opened.header.root
    for found, row in zip(answers, table, strict=True):
        order = [int(row_id) for row_id in np.argsort(row, kind="stable")]
        wanted = [row_id for row_id in order if most is None or row[row_id] <= most][:5]
        assert [one.id for one in found.hits] == wanted
        assert [one.distance for one in found.hits] == [row[row_id] for row_id in wanted]
        assert [one.rank for one in found.hits] == list(range(1, len(wanted) + 1))
        assert [one.path for one in found.hits] == [openable(root, names[row_id]) for row_id in wanted]
        assert [one.label for one in found.hits] == [os.fsdecode(names[i]).split("/")[0] for i in wanted]
        assert found.ties == (int((row == row[wanted[-1]]).sum()) if wanted else 0)


@pytest.mark.parametrize("most", [None, 4])
def test_a_reranked_answer_orders_the_nearest_by_how_sure_the_query_is_of_each_bit(
    stored: Path, tmp_path: Path, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "CANDIDATES", 2)
    queries = ask(paint_classes(tmp_path / "queries", each=1))
    with codes.open_codes(stored) as opened:
        answers = answer(opened, queries, 5, most, rerank=True)
        table, stored_bits = hamming(queries.codes, opened.codes), unpack(opened.codes, BITS)
    for found, row, logits in zip(answers, table, queries.logits.astype(float), strict=True):
        limit = np.sort(row)[9] if most is None else most
        weighed = (np.abs(logits) * (stored_bits != (logits >= 0))).sum(1)
        order = sorted(np.flatnonzero(row <= limit).tolist(), key=lambda i: (round(weighed[i], 9), i))[:5]
        assert [one.id for one in found.hits] == order
        assert [one.distance for one in found.hits] == [row[i] for i in order]
        assert [one.asymmetric for one in found.hits] == pytest.approx([weighed[i] for i in order])
        assert found.ties == sum(abs(weighed[i] - weighed[order[-1]]) < 1e-9 for i in np.flatnonzero(row <= limit))


def test_reranking_breaks_ties_that_hamming_leaves_to_chance() -> None:
    hits = (Hit(1, 4, BITS, b"a", (), 7, 0.5), Hit(2, 4, BITS, b"b", (), 3, 1.5))
    assert not Answer(b"q.png", (), hits, 9, 1).cut
    assert Answer(b"q.png", (), hits, 9, 2).cut
    assert [record["asymmetric"] for record in Answer(b"q.png", (), hits, 9, 1).records()] == [0.5, 1.5]


def test_an_encoded_image_finds_itself_first(stored: Path, coloured: Path) -> None:
    with codes.open_codes(stored) as opened:
        [found] = answer(opened, ask(coloured / "red" / "05.png"), 1)
        assert found.hits[0].distance == 0


@pytest.mark.parametrize(("ties", "cut"), [(2, False), (3, True)])
def test_an_answer_is_cut_where_the_last_distance_has_more(ties: int, cut: bool) -> None:
    hits = (hit(1, 1), hit(2, 4), hit(3, 4))
    assert Answer(b"q.png", (), hits, 9, ties).cut is cut


def test_an_empty_answer_is_not_cut() -> None:
    assert Answer(b"q.png", (), (), 9, 0).cut is False


@pytest.mark.parametrize(
    ("query", "labels", "right"),
    [((), ("red",), None), (("red",), (), None), (("red",), ("warm", "red"), True), (("red",), ("blue",), False)],
)
def test_a_hit_is_right_where_it_shares_a_label(
    query: tuple[str, ...], labels: tuple[str, ...], right: bool | None
) -> None:
    found = hit(labels=labels)
    assert Answer(b"q.png", query, (found,), 1, 1).right(found) is right


def test_a_record_holds_what_a_program_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    [record] = Answer(b"q.png", (), (hit(),), 9, 1).records()
    wanted = {"query": "q.png", "rank": 1, "distance": 3, "bits": BITS, "path": "a.png", "label": "red", "id": 0}
    assert record == wanted


def test_a_record_tells_that_its_image_is_missing(tmp_path: Path) -> None:
    hits = hit(path=os.fsencode(tmp_path)), hit(path=os.fsencode(tmp_path / "gone.png"))
    assert [record.get("missing") for record in Answer(b"q.png", (), hits, 9, 1).records()] == [None, True]


def test_a_record_keeps_the_bytes_of_names_that_are_no_text() -> None:
    [record] = Answer(b"q\xff", (), (hit(path=b"\xff"),), 9, 1).records()
    assert (record["query_b64"], record["path_b64"]) == ("cf8=", "/w==")
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(("labels", "label"), [((), None), (("red", "warm"), "red, warm")])
def test_a_record_has_no_label_one_or_several(labels: tuple[str, ...], label: str | None) -> None:
    [record] = Answer(b"q.png", (), (hit(labels=labels),), 9, 1).records()
    assert (record["label"], record.get("labels")) == (label, list(labels) if len(labels) > 1 else None)


def test_many_queries_are_read_batch_by_batch(coloured: Path) -> None:
    queries = ask(coloured)
    assert queries.codes.shape == (36, 4)
    for row, file in enumerate(queries.files):
        assert queries.codes[row].tolist() == ask(Path(os.fsdecode(file))).codes[0].tolist()


def test_queries_of_a_folder_have_its_labels(coloured: Path) -> None:
    assert set(ask(coloured).labels) == {("red",), ("green",), ("blue",)}


def test_a_bad_query_among_good_ones_is_skipped(coloured: Path) -> None:
    (coloured / "bad.png").write_bytes(b"no image")
    queries = ask(coloured)
    assert (len(queries.files), [bad.path for bad in queries.skipped]) == (36, [os.fsencode(coloured / "bad.png")])


def test_a_single_bad_query_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad\.png: not an image"):
        ask(tmp_path / "bad.png")


def test_no_query_at_all_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable image"):
        ask(tmp_path)


def test_codes_of_another_model_do_not_match(stored: Path) -> None:
    with codes.open_codes(stored) as opened:
        require_match(BUNDLE, opened)
        with pytest.raises(MismatchError) as caught:
            require_match(made_up(seed=1), opened)
    assert "encode again" in caught.value.hint


@pytest.mark.parametrize(
    ("root", "shown"),
    [
        ("", b"a/b.png"),
        ("photos", b"photos/a/b.png"),
        ("../elsewhere", b"../elsewhere/a/b.png"),
        ("..", b"../a/b.png"),
        ("/", b"/a/b.png"),
    ],
)
def test_a_path_is_as_one_would_type_it_here_and_absolute_where_that_is_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, shown: bytes
) -> None:
    here = tmp_path.resolve() / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    folder = os.fsencode(os.path.normpath(here / root))
    assert openable(folder, b"a/b.png") == shown


@pytest.fixture
def drawn_answers(tmp_path: Path) -> list[Answer]:
    """One red query with a red hit, a blue hit under a wrong label, and a file that is gone."""
    for name, colour in {"red": (255, 0, 0), "blue": (0, 0, 255)}.items():
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    red, blue, gone = (os.fsencode(tmp_path / f"{name}.png") for name in ("red", "blue", "gone\nline"))
    hits = (hit(1, 0, red), hit(2, 1, blue, ("blue",)), hit(3, 2, gone, ()))
    return [Answer(red, ("red",), hits, 9, 1)]


def colours(image: Image.Image, column: int) -> tuple[str, str]:
    """Return the colours of the frame and of the middle of a neighbour's tile."""
    left, top = sheet._left(column), sheet._HEAD
    middle = sheet._FRAME + sheet._TILE // 3
    points = ((left + 1, top + 1), (left + middle, top + middle))
    pixels = [image.getpixel(point) for point in points]
    frame, inside = ("#{:02x}{:02x}{:02x}".format(*pixel) for pixel in pixels if isinstance(pixel, tuple))
    return frame, inside


def test_a_sheet_frames_right_and_wrong_and_leaves_a_place_for_what_is_gone(drawn_answers: list[Answer]) -> None:
    image = sheet.draw(drawn_answers)
    assert colours(image, 0) == (sheet.RIGHT, "#ff0000")
    assert colours(image, 1) == (sheet.WRONG, "#0000ff")
    assert colours(image, 2) == (sheet._PAPER, sheet._EMPTY)


def test_a_sheet_has_one_row_a_query(drawn_answers: list[Answer]) -> None:
    one, three = sheet.draw(drawn_answers), sheet.draw(drawn_answers * 3)
    assert three.height - one.height == 2 * sheet._ROW


def test_a_sheet_stops_at_its_greatest_size(drawn_answers: list[Answer]) -> None:
    many = Answer(b"gone", (), tuple(hit(rank, path=b"gone") for rank in range(1, 30)), 99, 1)
    assert sheet.draw([many]).width == sheet._left(sheet.COLUMNS) - sheet._GAP + sheet._MARGIN
    assert sheet.draw([many] * 60).height == sheet.draw([many] * sheet.MOST_QUERIES).height
    assert sheet.draw([many] * 60).height == sheet._HEAD + sheet.MOST_ROWS * sheet._ROW + sheet._MARGIN


@pytest.mark.parametrize(("hits", "rows"), [(10, 1), (11, 2), (100, 10)])
def test_neighbours_that_have_no_room_in_a_row_stand_in_further_ones(hits: int, rows: int) -> None:
    many = Answer(b"gone", (), tuple(hit(rank, path=b"gone") for rank in range(1, hits + 1)), 999, 1)
    assert sheet.draw([many]).height == sheet._HEAD + rows * sheet._ROW + sheet._MARGIN


def lines(answers: list[Answer], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written on the sheet of `answers`."""
    written: list[str] = []
    text = ImageDraw.ImageDraw.text

    def kept(pen: ImageDraw.ImageDraw, place: tuple[float, float], shown: str, *rest: Any, **more: Any) -> None:
        written.append(shown)
        text(pen, place, shown, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", kept)
    sheet.draw(answers)
    return written


def test_a_caption_keeps_its_distance_and_shortens_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    far = hit(distance=13, labels=("a-label-of-many-letters",))
    [caption] = [line for line in lines([Answer(b"q", ("x",), (far,), 9, 1)], monkeypatch) if "…" in line]
    assert caption.startswith(f"13/{BITS} ✗ a")
    assert font(14).getlength(caption) <= sheet._TILE


def test_signs_and_not_only_colours_tell_right_from_wrong(
    drawn_answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = lines(drawn_answers, monkeypatch)
    for line in (f"0/{BITS} ✓ red", f"1/{BITS} ✗ blue", f"2/{BITS}  ", "✓ same label", "✗ another label"):
        assert line in written


def test_a_name_that_two_files_have_stands_with_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = tuple(hit(path=path) for path in (b"all/cat/2.png", b"all/dog/2.png", b"all/cat/3.png"))
    written = lines([Answer(b"all/cat/3.png", (), hits, 9, 1)], monkeypatch)
    assert [line for line in written if line.endswith(".png")] == ["3.png", "cat/2.png", "dog/2.png", "3.png"]


@pytest.mark.parametrize("answers", [[], [Answer(b"gone", (), (), 9, 0)]])
def test_a_sheet_of_nothing_is_still_a_sheet(answers: list[Answer], tmp_path: Path) -> None:
    sheet.write(answers, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"


def test_a_long_name_is_shortened_to_its_tile(tmp_path: Path) -> None:
    long = [Answer(b"x" * 200, (), (hit(labels=("y" * 200,)),), 9, 1)]
    short = [Answer(b"x" * 240, (), (hit(labels=("y" * 240,)),), 9, 1)]
    assert sheet.draw(long).tobytes() == sheet.draw(short).tobytes()


def test_a_sheet_tells_neighbours_of_one_label_apart() -> None:
    one, other = (sheet.draw([Answer(b"q", (), (hit(path=path),), 9, 1)]).tobytes() for path in (b"1.png", b"2.png"))
    assert one != other


def test_the_results_and_the_sheet_agree_on_a_folder(stored: Path, coloured: Path) -> None:
    with codes.open_codes(stored) as opened:
        answers = results.answer(opened, ask(coloured / "red"), 3)
    image = sheet.draw(answers)
    frames = {colours(image, column)[0] for column in range(3)}
    assert frames == {sheet._PAPER}  # the queries of a flat folder have no labels
