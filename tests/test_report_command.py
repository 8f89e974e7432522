"""`ganhash report` from the outside: what the page shows, what it leaves out and why, and what it refuses."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.engine import bundle, codes, epochs, fakes, files, images, report
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import BITS, SIDE, LinearHash, write_bundle
from pictures import COLOURS, paint, paint_classes
from test_encode_command import Printed, run
from test_page import HOSTILE, Read
from test_verify_command import flip_in

REPORT = ("report", "--queries", "queries")
GENERATOR = {"kind": "generator", "name": "tiny"}
QUALITY = {"frechet_distance": 12.5, "precision": 0.25, "recall": 0.5, "accuracy": 0.75, "accuracy_ceiling": 0.875}


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that was trained for three epochs with fakes, these fakes, codes of 15 images, and 9 queries."""
    monkeypatch.chdir(tmp_path)
    write_fakes(Path("fakes"), "a" * 64)
    model = write_bundle(Path("model"))
    describe(fakes={"generator_sha256": "a" * 64, "generator": GENERATOR, "count": 3, "quality": QUALITY})
    history = [{"epoch": n, "triplet": 1 / n, "entropy": 0.5, "validation_map": 0.25 * (n != 3)} for n in (1, 2, 3)]
    epochs.write(history, Path("model"))
    paint_classes(Path("folder"), each=5)
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(3):
            paint(Path(f"queries/{name}/{index:02}.png"), colour, seed=1000 + 10 * number + index)
    finish(encode(model, images.collect(Path("folder")), Path("codes.h5"), runtime=LinearHash()))


def write_fakes(folder: Path, generator: str) -> None:
    staged = folder / fakes.WORK / "made"
    written = fakes.write_images(staged, np.full((3, 8, 8, 3), 90, np.uint8), None, ())
    Image.new("RGB", (60, 40), (10, 200, 30)).save(staged / fakes.GRID)
    facts = {"training_digest": "0" * 64, "class_names": [], "generator_sha256": generator}
    fakes.complete(folder, staged, facts, written)


def describe(**changes: Any) -> None:
    """Seal the model's description anew with other facts."""
    path = Path("model") / bundle.DESCRIPTION
    record = json.loads(path.read_text()) | changes
    del record["sha256"]
    files.write_json(path, record | {"sha256": files.json_digest(record)})


def shown(page: str = "report.html") -> Read:
    return Read(Path(page).read_text("utf-8"))


def said(read: Read) -> str:
    return " ".join(" ".join(read.texts).split())


def chapters(read: Read) -> list[str]:
    """Return the links at the top, each of which leads somewhere."""
    targets = {each["id"] for _, each in read.elements if "id" in each}
    links = [each["href"] for each in read.all("a") if each["href"].startswith("#")]
    assert links
    assert {link.removeprefix("#") for link in links} <= targets
    text = Path("report.html").read_text("utf-8")
    return re.findall(r'<a href="#c\d+">(.*?)</a>', text)


def missing(printed: Printed, *options: str) -> dict[str, str]:
    code, out, _ = run(printed, "report", *options, "--json")
    assert code == 0
    found: dict[str, str] = json.loads(out)["missing"]
    return found


ALL = ["Training", "Fakes", "Distances", "Retrieval", "Queries", "Bits", "Map", "Settings"]


def test_with_everything_there_the_page_has_every_chapter(capsys: Printed) -> None:
    code, out, error = run(capsys, *REPORT)
    assert (code, "without" in error) == (0, False)
    assert re.fullmatch(r"report\.html: \d\.\d MB\n", out)
    assert chapters(shown()) == ALL
    text = said(shown())
    for part in (
        f"{BITS} bits",
        "linear",
        "red, green, blue",
        "after epoch 2 (dashed), whose validation mAP of 0.250 is the best",
        "12.5",
        "0.875",
        "epochs 1",
    ):
        assert part in text


def test_a_figure_that_is_measured_on_few_images_says_on_how_many_and_what_it_means(capsys: Printed) -> None:
    describe(metrics={"validation_map_at_all": 0.5234, "validation_images": 1100})
    run(capsys, *REPORT)
    assert "0.523 on 1,100 images mean average precision, of images that the network did not learn" in said(shown())


@pytest.mark.parametrize(("queries", "framed"), [("queries", True), ("queries/red", False)])
def test_frames_around_neighbours_are_explained_where_there_are_some(
    queries: str, framed: bool, capsys: Printed
) -> None:
    run(capsys, "report", "--queries", queries)
    assert ("same label as the query" in said(shown())) == framed


def test_the_figures_are_those_of_evaluate(capsys: Printed) -> None:
    run(capsys, *REPORT)
    _, out, _ = run(capsys, "evaluate", "--queries", "queries", "--json")
    figures = json.loads(out)
    text = said(shown())
    for name in ("map_at_all", "precision_within_2", "empty_balls_within_2"):
        assert f"{figures[name]:.3f}" in text
    assert f"{figures['distinct_codes']} of 15" in text
    assert "9 queries against 15 images" in text
    assert f"1 in {figures['worst_balance']:.1%} of the images" in text


def test_the_worst_and_the_best_queries_stand_with_their_neighbours_and_their_precision(capsys: Printed) -> None:
    paint(Path("queries/red/odd.png"), COLOURS["blue"], seed=77)
    run(capsys, *REPORT)
    text = said(shown())
    first = text.index("Worst")
    assert text.index("queries/red/ odd.png") == min(text.index(f"queries/{name}/", first) for name in COLOURS)
    assert len(re.findall(r"average precision \d\.\d{3}", text)) == 2 * report.SHOWN
    values = [float(value) for value in re.findall(r"average precision (\d\.\d{3})", text)]
    assert values[: report.SHOWN] == sorted(values[: report.SHOWN])
    assert values[report.SHOWN :] == sorted(values[report.SHOWN :], reverse=True)
    assert values[0] < values[report.SHOWN]
    hits = [each for each in shown().all("li") if each.get("class") in ("right", "wrong")]
    assert len(hits) == 2 * report.SHOWN * report.NEIGHBOURS


def test_the_real_and_the_fake_images_are_those_of_the_grid(capsys: Printed) -> None:
    run(capsys, *REPORT)
    [grid] = [each["src"] for each in shown().all("img") if each.get("class") == "wide"]
    with Image.open(io.BytesIO(base64.b64decode(grid.partition(",")[2]))) as image:
        assert (image.size, image.getpixel((5, 5))) == ((60, 40), (10, 200, 30))


def test_bad_fakes_are_called_so_and_their_precision_is_no_praise(capsys: Printed) -> None:
    bad = QUALITY | {"precision": 0.996, "recall": 0.0, "diversity": 0.1, "frechet_images": [500, 500]}
    describe(fakes={"generator_sha256": "a" * 64, "generator": GENERATOR, "count": 3, "quality": bad})
    run(capsys, *REPORT)
    assert "Trained too briefly: " in said(shown())
    assert "0.996" not in said(shown())


def test_each_plot_is_drawn_for_light_and_for_dark(capsys: Printed) -> None:
    run(capsys, *REPORT)
    read = shown()
    plots = [each for each in read.all("img") if each.get("class") == "plot"]
    dark = read.all("source")
    assert len(plots) == len(dark) == 6
    for light, other in zip(plots, dark, strict=True):
        assert other["media"] == "(prefers-color-scheme: dark)"
        drawn = [base64.b64decode(each.partition("base64,")[2]).decode() for each in (light["src"], other["srcset"])]
        assert all(svg.startswith("<?xml") and "<script" not in svg for svg in drawn)
        assert ["#1c1f24" in svg for svg in drawn] == [True, False]
        assert ["#e6e8eb" in svg for svg in drawn] == [False, True]
        assert light["alt"]


def test_the_page_needs_no_other_file_runs_nothing_and_allows_its_own_style_only(capsys: Printed) -> None:
    run(capsys, *REPORT)
    read = shown()
    assert {"script", "link", "iframe", "object", "form", "svg"}.isdisjoint(tag for tag, _ in read.elements)
    assert not [n for _, each in read.elements for n in each if n.startswith("on") or n == "style"]
    [policy] = [meta["content"] for meta in read.all("meta") if "Policy" in meta.get("http-equiv", "")]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    addresses = [each.get("src", "") + each.get("srcset", "") for _, each in read.elements]
    assert all(each.startswith("data:image/") for each in addresses if each)


def test_the_same_report_is_the_same_page(capsys: Printed) -> None:
    run(capsys, *REPORT)
    run(capsys, *REPORT, "-o", "again.html")
    assert Path("report.html").read_bytes() == Path("again.html").read_bytes()


def test_a_model_alone_has_a_page_that_says_what_is_missing_and_why(capsys: Printed) -> None:
    for place in ("codes.h5", "model/metrics.jsonl"):
        Path(place).unlink()
    shutil.rmtree("fakes")
    code, _, error = run(capsys, "report")
    assert code == 0
    assert chapters(shown()) == ["Settings", "Left out"]
    text = said(shown())
    for part in ("fakes holds no fakes", "there is no codes.h5 here", "was not trained by epochs", "--queries"):
        assert part in text
        assert part in error


@pytest.mark.parametrize(
    ("change", "part", "why"),
    [
        (lambda: describe(fakes=None), "fakes", "trained without fakes"),
        (lambda: Path("fakes/grid.png").write_bytes(b"other"), "fakes", "grid.png is missing or has changed"),
        (lambda: write_fakes(Path("fakes"), "b" * 64), "fakes", "other fakes than those"),
        (lambda: Path("model/metrics.jsonl").write_text("{nonsense"), "training", "metrics.jsonl is damaged"),
        (lambda: Path("model/metrics.jsonl").write_text('[1]\n"2"\n'), "training", "metrics.jsonl is damaged"),
    ],
)
def test_what_cannot_be_shown_is_left_out_with_its_reason(change: Any, part: str, why: str, capsys: Printed) -> None:
    change()
    assert why in missing(capsys, "--queries", "queries")[part]


def test_codes_without_labels_have_no_distances_and_their_queries_no_figures(capsys: Printed) -> None:
    loose = Path("loose")
    loose.mkdir()
    for path in Path("folder").rglob("*.png"):
        shutil.copy(path, loose / f"{path.parent.name}-{path.name}")
    run(capsys, "encode", "loose", "-o", "loose.h5")
    found = missing(capsys, "--codes", "loose.h5", "--queries", "queries")
    assert {name: "have no labels" in why for name, why in found.items()} == {
        "distances": True,
        "figures of retrieval": True,
    }
    assert chapters(shown()) == ["Training", "Fakes", "Queries", "Bits", "Map", "Settings", "Left out"]
    assert len(shown().all("li")) >= report.SHOWN * report.NEIGHBOURS


def test_codes_of_no_images_are_left_out(capsys: Printed) -> None:
    header = Header(BITS, Bundle.open(Path("model")).fingerprint, b"/", SIDE, "folder/")
    none = np.empty(0, np.int64)
    codes.write(Path("empty.h5"), header, Rows(np.empty((0, 4), np.uint8), [], none, none, none))
    assert "holds no images" in missing(capsys, "--codes", "empty.h5", "--queries", "queries")["codes"]


def test_usual_codes_of_another_model_are_left_out_and_named_ones_refused(capsys: Printed) -> None:
    shutil.rmtree("model")
    write_bundle(Path("model"), seed=1)
    assert "made by another model" in missing(capsys)["codes"]
    code, _, error = run(capsys, "report", "--codes", "codes.h5")
    assert (code, "was made by the model" in error) == (5, True)


def test_large_codes_are_sampled_and_the_page_says_so(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_MAPPED", 6)
    monkeypatch.setattr(report, "MOST_COUNTED", 10)
    run(capsys, *REPORT)
    text = said(shown())
    assert text.count("a random sample of 6 of 15 images") == 2
    assert text.count("a random sample of 10 of 15 images") == 1
    assert "9 queries against 15 images" in text


@pytest.mark.parametrize(("name", "plain"), HOSTILE[:4], ids=[shown for _, shown in HOSTILE[:4]])
def test_a_hostile_class_is_text_and_nothing_else(name: bytes, plain: str, capsys: Printed) -> None:
    label = name.decode()
    describe(class_names=[label], source=label)
    shutil.copytree("folder", "labelled")
    rows = [f'"{path}","{label.replace(chr(34), chr(34) * 2)}"' for path in Path("labelled/red").iterdir()]
    rows += [f"{path},blue" for path in Path("labelled/blue").iterdir()]
    Path("list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    assert run(capsys, "encode", "list.csv", "-o", "list.h5")[0] == 0
    assert run(capsys, "report", "--codes", "list.h5", "--queries", "queries/../queries")[0] == 0
    read = shown()
    assert sum(plain in text for text in read.texts) >= 3  # classes, trained on, the map
    assert {"script"}.isdisjoint(tag for tag, _ in read.elements)
    assert not [each for each in read.all("img") if each.get("src") == "x"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "why"),
    [
        (["nothing"], 4, "nothing does not exist"),
        (["--codes", "nothing.h5"], 4, "nothing.h5"),
        (["--queries", "nothing"], 4, "nothing"),
        (["--queries", "queries/blue/00.png"], 4, ""),
        (["-o", "report.pdf"], 2, "a name in .html is wanted, for the HTML page"),
        (["-o", "model/bundle.json/report.html"], 7, ""),
    ],
)
def test_wrong_input_ends_with_its_reason_and_no_page(
    arguments: list[str], exit_code: int, why: str, capsys: Printed
) -> None:
    code, out, error = run(capsys, "report", *arguments)
    if arguments[-1].endswith("00.png"):  # an image without a label is a query without figures
        exit_code = 0
    assert (code, why in error) == (exit_code, True)
    if code:
        assert (out, Path("report.html").exists()) == ("", False)


def test_queries_without_codes_are_exit_4(capsys: Printed) -> None:
    Path("codes.h5").unlink()
    code, _, error = run(capsys, *REPORT)
    assert (code, "the queries have nothing to search" in error, "hint:" in error) == (4, True, True)


def test_damaged_codes_are_exit_6(capsys: Printed) -> None:
    flip_in("confidence")
    assert run(capsys, "report")[0] == 6


def test_a_query_that_stands_in_the_database_is_refused_or_told_of(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    code, _, error = run(capsys, *REPORT)
    assert (code, "queries/blue/copy.png" in error, Path("report.html").exists()) == (5, True, False)
    assert run(capsys, *REPORT, "--allow-overlap")[0] == 0
    assert "Queries that were seen before: in the database 1, in training 0" in said(shown())


def test_queries_without_labels_have_no_figures_that_a_leak_could_better(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    assert run(capsys, "report", "--queries", "queries/blue")[0] == 0


def test_what_the_figures_leave_out_is_said_as_evaluate_says_it(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    shutil.copy("folder/red/01.png", "folder/loose.png")
    Path("queries/green").rename("queries/<b>")
    run(capsys, "encode", "folder")
    shutil.rmtree("folder")
    assert run(capsys, *REPORT)[0] == 0
    text = said(shown())
    told = [line.removeprefix("warning: ") for line in run(capsys, "evaluate", "--queries", "queries")[2].splitlines()]
    told = [line for line in told if line.startswith(("left out", "relevant to", "not compared"))]
    assert len(told) == 3
    for line in told:
        assert f"{line.capitalize()}." in text


def test_the_codes_of_one_shard_are_called_that(capsys: Printed) -> None:
    run(capsys, "encode", "folder", "--shard", "1/2", "-o", "part.h5")
    code, _, error = run(capsys, "report", "--codes", "part.h5")
    assert (code, "warning: these codes are shard 1/2 alone" in error) == (0, True)
    assert "These codes are shard 1/2 alone; `ganhash merge` puts all together." in said(shown())


def test_of_images_that_are_equally_near_some_are_drawn_and_the_page_says_so(capsys: Printed) -> None:
    places = [f"same/{name}/{number:02}.png" for name in ("early", "late") for number in range(20)]
    for place in [*places, "asked/early/0.png", "asked/early/1.png"]:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("folder/blue/01.png", place)
    run(capsys, "encode", "same", "-o", "same.h5")
    assert run(capsys, "report", "--codes", "same.h5", "--queries", "asked", "--allow-overlap")[0] == 0
    text = said(shown())
    found = re.findall(r"same/(early|late)/ (\d\d)\.png", text)
    assert {label for label, _ in found} == {"early", "late"}
    assert len(found) == 2 * report.NEIGHBOURS
    assert set(found[: report.NEIGHBOURS]) != set(found[report.NEIGHBOURS :])
    assert text.count("40 images are as near as the last one; which of them are shown is chance") == 2


def test_the_map_shows_each_image_by_the_most_frequent_of_its_labels(capsys: Printed) -> None:
    paths = sorted(Path("folder").rglob("*.png"))
    rows = [f"{path},{path.parent.name},a{number}" for number, path in enumerate(paths)]
    Path("list.csv").write_text("\n".join(["path,label,label", *rows]))
    run(capsys, "encode", "list.csv", "-o", "list.h5")
    run(capsys, "report", "--codes", "list.h5")
    assert "● blue ■ green ▲ red The two directions" in said(shown())


def test_one_of_a_thing_is_told_of_in_the_singular(capsys: Printed) -> None:
    epochs.write([{"epoch": 1, "triplet": 1.0, "validation_map": 0.5}], Path("model"))
    describe(metrics={"validation_map_at_all": 0.5, "validation_images": 1})
    for folder in ("folder", "queries"):
        for path in sorted(Path(folder).rglob("*.png"))[1:]:
            path.unlink()
    run(capsys, "encode", "folder")
    assert run(capsys, *REPORT)[0] == 0
    text = said(shown()) + "".join(each["alt"] for each in shown().all("img"))
    assert re.findall(r"\b1 (?:images|queries|bits|epochs|pairs)\b", text) == []
    assert "1 query against 1 image." in text
    assert "correlation |r| of two" not in text


def test_a_bad_query_among_good_ones_is_exit_3(capsys: Printed) -> None:
    Path("queries/red/bad.png").write_bytes(b"no image")
    code, _, error = run(capsys, *REPORT)
    assert (code, "skipped queries/red/bad.png" in error, chapters(shown())) == (3, True, ALL)


def test_a_report_loads_no_torch() -> None:
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        f"try: main({list(REPORT)!r})\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'faiss', 'onnx', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
