"""`ganhash query` from the outside: what it prints, how it ends, and what it never loads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cases import mostly_slow
from ganhash_cli.engine import codes, images, page, runtime, sheet
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import BITS, SIDE, LinearHash, write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run, say_on_stdin
from test_results import colours

FIRST = "folder/blue/00.png"  # its row is 0, so that it is found first even where others have its code


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model, 36 images and their codes to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = write_bundle(Path("model"))
    folder = paint_classes(Path("folder"))
    finish(encode(bundle, images.collect(folder), Path("codes.h5"), runtime=LinearHash()))


def without_rows() -> None:
    """Write a codes file of the model that holds no image."""
    with codes.open_codes(Path("codes.h5")) as stored:
        header = stored.header
    nothing = np.empty(0, np.uint64)
    header = Header(header.bits, header.fingerprint, header.root, header.side, header.trained_on)
    rows = Rows(np.empty((0, 4), np.uint8), [], nothing, nothing.astype(np.int64), nothing.astype(np.uint8))
    codes.write(Path("codes.h5"), header, rows)


def test_a_query_lists_rank_distance_label_and_path(capsys: Printed) -> None:
    code, out, error = run(capsys, "query", FIRST)
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, len(lines)) == (0, 10)
    assert lines[0] == ["1", "0", "blue", FIRST]
    assert "36 images searched in" in error


def test_the_distances_never_fall(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", FIRST, "-k", "36", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    keys = [(record["distance"], record["id"]) for record in records]
    assert (len(keys), keys) == (36, sorted(keys))


def test_reranked_neighbours_come_by_their_asymmetric_distance(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", FIRST, "-k", "9", "--json", "--rerank")
    records = [json.loads(line) for line in out.splitlines()]
    keys = [(record["asymmetric"], record["id"]) for record in records]
    assert (len(keys), keys) == (9, sorted(keys))
    _, out, _ = run(capsys, "query", FIRST, "-k", "9", "--rerank")
    shown = [line.split("\t") for line in out.splitlines()]
    assert [row[1:3] for row in shown] == [
        [str(record["distance"]), f"{record['asymmetric']:.2f}"] for record in records
    ]


def test_json_has_one_record_a_hit(capsys: Printed) -> None:
    code, out, _ = run(capsys, "query", FIRST, "-k", "1", "--json")
    with codes.open_codes(Path("codes.h5")) as stored:
        row = stored.paths().index(b"blue/00.png")
    assert code == 0
    assert json.loads(out) == {
        "schema": 1,
        "query": FIRST,
        "rank": 1,
        "distance": 0,
        "bits": BITS,
        "path": FIRST,
        "label": "blue",
        "id": row,
    }


@pytest.mark.parametrize("index", ["exact", "ivf", "auto"])
def test_every_index_finds_the_same_among_few(capsys: Printed, index: str) -> None:
    _, wanted, _ = run(capsys, "query", FIRST, "-f")
    code, out, _ = run(capsys, "query", FIRST, "-f", "--index", index)
    assert (code, out) == (0, wanted)


def test_an_approximate_answer_says_so_and_how_much_it_finds(capsys: Printed) -> None:
    _, out, error = run(capsys, "query", FIRST, "--index", "ivf", "--json", "-v")
    assert {json.loads(line)["recall_at_10"] for line in out.splitlines()} == {1.0}
    assert "lists, approximately: recall@10 1.000" in error
    assert "building the index" in error
    _, _, again = run(capsys, "query", FIRST, "--index", "ivf")
    assert ("approximately" in again, "building" in again) == (True, False)


@pytest.mark.parametrize("options", [["--max-distance", "3"], ["--rerank"]])
def test_what_needs_all_within_a_distance_is_exact_whatever_is_asked(capsys: Printed, options: list[str]) -> None:
    _, wanted, _ = run(capsys, "query", FIRST, "--json", *options)
    Path("ganhash.toml").write_text('[query]\nindex = "ivf"\n')
    _, out, error = run(capsys, "query", FIRST, "--json", *options)
    assert (out, "approximately" in error) == (wanted, False)


def test_an_index_that_is_none_is_a_usage_error(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", FIRST, "--index", "hnsw")
    assert (code, all(name in error for name in ("auto", "exact", "ivf"))) == (2, True)


def test_file_names_only_can_be_opened(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", FIRST, "-f", "-k", "36")
    assert {Path(line).is_file() for line in out.splitlines()} == {True}


def test_names_separated_by_nul_are_exact_bytes() -> None:
    odd = b"folder/a\xff\n b.png"
    Path(os.fsdecode(odd)).write_bytes(Path(FIRST).read_bytes())
    command = [sys.executable, "-m", "ganhash_cli"]
    for arguments in (["encode", "folder", "-q"], ["query", FIRST, "-k", "2", "-f", "-0"]):
        done = subprocess.run([*command, *arguments], capture_output=True, check=True)
    assert done.stdout.split(b"\0") == [odd, FIRST.encode(), b""]


def test_several_queries_are_grouped_with_their_names(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", FIRST, "folder/red/01.png", "-k", "2")
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == [FIRST] * 2 + ["folder/red/01.png"] * 2


def test_a_folder_is_a_group_of_queries(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", "folder/red", "-k", "1")
    assert len(out.splitlines()) == 12


def test_several_folders_are_refused_with_the_way_to_name_them(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", "folder/red", "folder/blue")
    assert (code, "ganhash query takes one folder, not 2: folder/red, folder/blue" in error) == (2, True)
    assert "`find folder/red folder/blue -type f | ganhash query -`" in error


@pytest.mark.parametrize(("end", "options"), [(b"\n", []), (b"\0", ["-0"])])
def test_queries_come_from_stdin(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch, end: bytes, options: list[str]
) -> None:
    say_on_stdin(monkeypatch, FIRST.encode() + end)
    code, out, _ = run(capsys, "query", "-", "-k", "1", "--json", *options)
    assert (code, json.loads(out)["query"]) == (0, FIRST)


def test_a_name_that_begins_with_a_dash_is_taken_after_two(capsys: Printed) -> None:
    Path("-odd.png").write_bytes(Path(FIRST).read_bytes())
    assert run(capsys, "query", "-k", "1", "--", "-odd.png")[0] == 0


def test_the_distance_can_be_limited(capsys: Printed) -> None:
    _, out, _ = run(capsys, "query", FIRST, "-k", "36", "--max-distance", "2", "--json")
    distances = [json.loads(line)["distance"] for line in out.splitlines()]
    assert distances
    assert max(distances) <= 2


def test_nothing_within_the_distance_is_exit_10(capsys: Printed) -> None:
    Image.effect_noise((SIDE, SIDE), 200).save("noise.png")
    code, out, error = run(capsys, "query", "noise.png", "--max-distance", "0")
    assert (code, out) == (10, "")
    assert f"no image within 0 of {BITS} bits" in error


def test_ties_at_the_last_distance_are_told_of(capsys: Printed) -> None:
    for number in range(3):
        Path(f"folder/red/same{number}.png").write_bytes(Path(FIRST).read_bytes())
    run(capsys, "encode", "folder")
    _, _, error = run(capsys, "query", FIRST, "-k", "2")
    assert f"the last distance, 0/{BITS}, is shared by" in error


def test_quiet_says_nothing_but_results(capsys: Printed) -> None:
    code, out, error = run(capsys, "query", FIRST, "-q")
    assert (code, len(out.splitlines()), error) == (0, 10, "")


def test_codes_of_another_model_are_exit_5(capsys: Printed) -> None:
    write_bundle(Path("other"), seed=1)
    code, _, error = run(capsys, "query", FIRST, "--model", "other")
    assert (code, "encode again" in error) == (5, True)


def test_no_codes_say_how_to_make_them(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", FIRST, "--codes", "none.h5")
    assert (code, "ganhash encode" in error) == (4, True)


def test_codes_of_no_image_are_exit_10(capsys: Printed) -> None:
    without_rows()
    code, _, error = run(capsys, "query", FIRST)
    assert (code, "holds no images" in error) == (10, True)


def test_a_truncated_codes_file_is_exit_6(capsys: Printed) -> None:
    content = Path("codes.h5").read_bytes()
    Path("codes.h5").write_bytes(content[: len(content) - 4096])
    assert run(capsys, "query", FIRST)[0] == 6


def test_codes_that_are_no_hdf5_are_told_of_in_words_of_ours_with_the_command_that_makes_them(capsys: Printed) -> None:
    Path("my.h5").write_bytes(b"nothing")
    _, _, error = run(capsys, "query", FIRST, "--codes", "my.h5")
    assert "my.h5 is not a sound codes file: it does not begin as an HDF5 file does" in error
    assert "`ganhash encode FOLDER -o my.h5 --overwrite`" in error


def test_a_query_that_is_no_image_is_exit_4(capsys: Printed) -> None:
    Path("letter.txt").write_text("dear")
    code, _, error = run(capsys, "query", "letter.txt")
    assert (code, "letter.txt: not an image" in error) == (4, True)


def test_a_query_that_is_too_large_is_not_answered_with_how_to_name_one(capsys: Printed) -> None:
    Image.new("1", (9000, 9000)).save("large.png")
    code, _, error = run(capsys, "query", "large.png")
    assert (code, "megapixels" in error, "hint: make it smaller" in error) == (4, True, True)


def test_a_query_that_is_not_there_is_exit_4(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", "nowhere.png")
    assert (code, "nowhere.png does not exist" in error) == (4, True)


def test_a_bad_query_among_good_ones_is_exit_3(capsys: Printed) -> None:
    code, out, error = run(capsys, "query", FIRST, "nowhere.png", "-k", "1")
    assert (code, len(out.splitlines()), "skipped nowhere.png" in error) == (3, 1, True)


@pytest.mark.parametrize(
    ("words", "named"),
    [([FIRST], False), ([FIRST, "nowhere.png"], True), (["one"], True), (["one.csv"], True), (["-"], True)],
)
def test_whether_the_query_is_a_column_follows_from_the_words_alone(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch, words: list[str], named: bool
) -> None:
    Path("one").mkdir()
    Path("one/a.png").write_bytes(Path(FIRST).read_bytes())
    Path("one.csv").write_text("path\none/a.png\n")
    say_on_stdin(monkeypatch, FIRST.encode())
    _, out, _ = run(capsys, "query", *words, "-k", "1")
    [line] = out.splitlines()
    assert len(line.split("\t")) == 4 + named


def test_a_sheet_is_drawn_and_named(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", FIRST, "--sheet", "out.png")
    assert (code, "contact sheet: out.png" in error) == (0, True)
    with Image.open("out.png") as image:
        assert image.format == "PNG"


def test_views_that_have_no_room_for_all_neighbours_say_so(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_ROWS", 2)
    monkeypatch.setattr(page, "MOST_HITS", 3)
    _, _, error = run(capsys, "query", FIRST, "-k", "30", "--sheet", "out.png", "--html", "out.html")
    assert "contact sheet: out.png, the first 20 neighbours\n" in error
    assert ": out.html, the first 3 neighbours\n" in error
    assert "first" not in run(capsys, "query", FIRST, "-k", "3", "--sheet", "out.png", "--html", "out.html")[2]


@pytest.mark.parametrize(("place", "inside"), [("folder/out.png", True), ("out.png", False)])
def test_a_sheet_among_the_images_is_said_to_become_one(capsys: Printed, place: str, inside: bool) -> None:
    code, _, error = run(capsys, "query", FIRST, "--sheet", place)
    assert (code, "lies among your images" in error) == (0, inside)


def test_a_sheet_that_is_no_png_is_a_usage_error(capsys: Printed) -> None:
    assert run(capsys, "query", FIRST, "--sheet", "out.jpg")[0] == 2


def test_a_gallery_is_written_and_named_with_its_size(capsys: Printed) -> None:
    code, out, error = run(capsys, "query", FIRST, "-k", "3", "--html", "deep/out.html")
    assert (code, len(out.splitlines()), re.search(r"gallery of \d+\.\d kB: deep/out\.html", error) is not None) == (
        0,
        3,
        True,
    )
    assert Path("deep/out.html").read_text().count("<img ") == 4


def test_a_gallery_shows_right_and_wrong_where_queries_have_labels(capsys: Printed) -> None:
    run(capsys, "query", "folder", "-k", "36", "--html", "out.html")
    page = Path("out.html").read_text()
    assert (page.count('<li class="right">'), page.count('<li class="wrong">')) == (36 * 12, 36 * 24)


def test_a_gallery_takes_the_place_of_the_one_before(capsys: Printed) -> None:
    for asked, other in ((FIRST, "red"), ("folder/red/00.png", "blue")):
        assert run(capsys, "query", asked, "--html", "out.html", "-k", "1")[0] == 0
        assert f"{other}/" not in Path("out.html").read_text()


@pytest.mark.parametrize("name", ["out.png", "out"])
def test_a_gallery_that_is_no_html_is_a_usage_error(capsys: Printed, name: str) -> None:
    code, _, error = run(capsys, "query", FIRST, "--html", name)
    assert (code, "--html out.html" in error, Path(name).exists()) == (2, True, False)


def with_viewer(*options: str, viewer: str | None) -> tuple[int, str, list[str]]:
    """Query where `xdg-open` is that shell script; return exit code, stderr, and what it was called with."""
    programs = Path("programs")
    programs.mkdir()
    if viewer is not None:
        (programs / "xdg-open").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {Path.cwd()}/opened\n{viewer}\n')
        (programs / "xdg-open").chmod(0o755)
    command = [sys.executable, "-m", "ganhash_cli", "query", *options]
    environ = {**os.environ, "PATH": f"{programs.resolve()}:/nowhere"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=20)
    opened = Path("opened").read_text().splitlines() if Path("opened").exists() else []
    return done.returncode, done.stderr, opened


@pytest.mark.parametrize(
    ("options", "opened"),
    [
        ([], FIRST),
        (["--sheet", "out.png"], "out.png"),
        (["--html", "-out.html"], "-out.html"),
        (["--sheet", "out.png", "--html", "out.html"], "out.html"),
        (["--json", "--html", "out.html"], "out.html"),
    ],
)
def test_what_was_asked_for_is_opened_and_else_the_best_hit(options: list[str], opened: str) -> None:
    code, error, seen = with_viewer(FIRST, "-k", "2", "--open", *options, viewer="exit 0")
    assert (code, seen, "warning" in error) == (0, [str(Path(opened).resolve())], False)


def test_nothing_is_opened_unasked() -> None:
    assert with_viewer(FIRST, "--sheet", "out.png", viewer="exit 0")[2] == []


@pytest.mark.parametrize("viewer", [None, "exit 3"])
def test_where_no_viewer_can_be_started_that_is_said(viewer: str | None) -> None:
    code, error, _ = with_viewer(FIRST, "--open", "--html", "out.html", viewer=viewer)
    assert code == 0
    assert f"no viewer could be started here; open {Path('out.html').resolve()} yourself" in error


def test_a_viewer_that_stays_open_holds_up_neither_us_nor_a_pipe() -> None:
    code, error, seen = with_viewer(FIRST, "--open", viewer="/bin/sleep 60")
    assert (code, len(seen), "warning" in error) == (0, 1, False)


def test_a_hit_that_is_gone_cannot_be_opened_and_that_is_said() -> None:
    Path("query.png").write_bytes(Path(FIRST).read_bytes())
    Path(FIRST).unlink()
    code, error, seen = with_viewer("query.png", "--open", viewer="exit 0")
    assert (code, seen, "it is missing" in error) == (0, [], True)


def test_a_hit_that_changed_is_shown_as_such_on_sheet_and_page(capsys: Printed) -> None:
    Path("query.png").write_bytes(Path(FIRST).read_bytes())
    Path(FIRST).write_bytes(Path("folder/red/00.png").read_bytes())
    run(capsys, "query", "query.png", "-k", "2", "--sheet", "out.png", "--html", "out.html")
    assert Path("out.html").read_text().count("<small>changed since it was encoded</small>") == 1
    with Image.open("out.png") as drawn:
        assert [colours(drawn, column)[1] == sheet._EMPTY for column in range(2)] == [True, False]


@pytest.mark.parametrize("options", [["--html", "file/out.html"], ["--sheet", "file/out.png"]])
def test_a_view_that_cannot_be_written_is_exit_7(capsys: Printed, options: list[str]) -> None:
    Path("file").touch()
    code, out, error = run(capsys, "query", FIRST, *options)
    assert (code, out, f"cannot write {options[1]}" in error) == (7, "", True)


def test_many_queries_take_one_model(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, open_runtime = [], runtime.open_runtime

    def counted(bundle: Bundle, **options: Any) -> object:
        opened.append(bundle)
        return open_runtime(bundle, **options)

    monkeypatch.setattr(runtime, "open_runtime", counted)
    _, out, _ = run(capsys, "query", "folder", "-k", "1")
    assert (len(out.splitlines()), len(opened)) == (36, 1)


@pytest.mark.parametrize(
    "options",
    [["--preview", "blocks"], ["--preview", "sixel"], ["--sheet", "out.png"], ["--html", "out.html"], ["--json"]],
)
def test_a_query_loads_neither_torch_nor_any_other_large_package(options: list[str]) -> None:
    program = (
        "import sys\nsys.stdout.isatty = lambda: True\nfrom ganhash_cli.app import main\n"
        f"try: main(['query', {FIRST!r}, *{options!r}])\nexcept SystemExit as end: assert not end.code\n"
        "large = {'torch', 'torchvision', 'timm', 'faiss', 'matplotlib', 'onnx', 'scipy'}\n"
        "print(sorted(large & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_files_that_cannot_be_read_are_named_each_with_its_fault(capsys: Printed) -> None:
    Path("bad.jpg").write_bytes(b"no image")
    code, _, error = run(capsys, "query", "nope.jpg", "bad.jpg")
    assert code == 4
    assert "nope.jpg: missing" in error
    assert "bad.jpg: not an image" in error


def test_a_skipped_query_is_named_as_it_can_be_opened(
    capsys: Printed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "nope.jpg"
    _, _, error = run(capsys, "query", FIRST, str(elsewhere))
    assert f"skipped ../{elsewhere.parent.name}/nope.jpg: missing" in error


def test_no_names_on_stdin_is_said(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    say_on_stdin(monkeypatch, b"")
    code, _, error = run(capsys, "query", "-")
    assert (code, "no file is named on stdin" in error) == (4, True)


@pytest.mark.parametrize("options", mostly_slow([["-f"], ["--json"], []], []))
def test_a_reader_that_goes_early_is_no_failure(options: list[str]) -> None:
    command = [sys.executable, "-m", "ganhash_cli", "query", "folder", "-k", "36", "--sheet", "sheet.png", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.close()
        error = child.stderr.read().decode()
    assert (child.returncode, Path("sheet.png").is_file(), "Error" in error) == (0, True, False), error


def test_who_searches_one_shard_is_told_that_it_is_a_part(capsys: Printed) -> None:
    assert run(capsys, "encode", "folder", "--shard", "1/2", "-o", "part.h5")[0] == 0
    _, _, told = run(capsys, "query", "folder/red/00.png", "--codes", "part.h5")
    assert ", of shard 1/2 alone" in told
