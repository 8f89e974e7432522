"""`ganhash evaluate` from the outside: its figures against all orders of ties, and the leaks it refuses."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from ganhash_cli.engine import bundle, decoding, evaluation, files, images
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import BITS, SIDE, LinearHash, write_bundle
from pictures import COLOURS, paint, paint_classes
from test_encode_command import Printed, run
from test_metrics import brute_force, plain_ap, plain_precision
from test_verify_command import flip_in

FIRST = "queries/blue/00.png"
EVALUATE = ("evaluate", "--queries", "queries")


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model, the codes of 7 images in three classes, one of them odd, and 9 other images to ask for."""
    monkeypatch.chdir(tmp_path)
    model = write_bundle(Path("model"))
    paint_classes(Path("folder"), each=2)
    paint(Path("folder/red/odd.png"), (60, 60, 160), seed=500)
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(3):
            paint(Path(f"queries/{name}/{index:02}.png"), colour, seed=1000 + 10 * number + index)
    finish(encode(model, images.collect(Path("folder")), Path("codes.h5"), runtime=LinearHash()))


def record(printed: Printed, *options: str) -> dict[str, Any]:
    code, out, _ = run(printed, *EVALUATE, "--json", *options)
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_one_list_may_hold_queries_and_database(capfd: Printed) -> None:
    rows = [(path, "query" if path.parts[0] == "queries" else "database") for path in sorted(Path().rglob("*.png"))]
    Path("list.csv").write_text(
        "path,label,split\n" + "".join(f"{path},{path.parent.name},{split}\n" for path, split in rows)
    )
    code, out, err = run(capfd, "encode", "list.csv", "-o", "listed.h5", "--json")
    assert (code, json.loads(out)["images"]) == (0, 7)
    assert "left out 9 queries of the list: `ganhash evaluate` takes those" in err
    known = record(capfd)
    evaluate = ("evaluate", "--queries", "list.csv", "--codes", "listed.h5", "--json")
    code, out, _ = run(capfd, *evaluate)
    assert (code, json.loads(out)) == (0, known)


def test_images_that_a_list_marks_as_queries_later_leave_the_database(capfd: Printed) -> None:
    rows = [f"{path},{path.parent.name}" for path in sorted(Path("folder").rglob("*.png"))]
    Path("list.csv").write_text("path,label,split\n" + "".join(f"{row},\n" for row in rows))
    assert run(capfd, "encode", "list.csv", "-o", "listed.h5")[0] == 0
    Path("list.csv").write_text(
        "path,label,split\n" + "".join(f"{row},test\n" for row in rows[:2]) + "\n".join(rows[2:])
    )
    code, out, _ = run(capfd, "encode", "list.csv", "-o", "listed.h5", "--json")
    found = json.loads(out)
    assert (code, found["kept"], found["encoded"], found["dropped"]) == (0, 5, 0, 2)


def signs(folder: str) -> list[tuple[str, np.ndarray]]:
    """Return the label and the bits of each image of a folder."""
    paths = sorted(Path(folder).rglob("*.png"))
    squares = np.stack([decoding.square(bytes(path), SIDE) for path in paths])
    return list(zip([path.parent.name for path in paths], LinearHash().logits(squares) >= 0, strict=True))


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each query the distances of the database and what of it is relevant, one by one."""
    return [
        (
            np.array([int((code != other).sum()) for _, other in signs("folder")]),
            np.array([label == name for name, _ in signs("folder")]),
        )
        for label, code in signs("queries")
    ]


def mean_of(metric: Any, most: int) -> Any:
    return pytest.approx(float(np.mean([brute_force(metric, case, most) for case in cases()])))


def test_the_figures_are_means_over_all_orders_of_tied_images(capsys: Printed) -> None:
    found = record(capsys, "-k", "2", "-r", "3")
    assert found["map_at_all"] == mean_of(plain_ap, 7)
    assert found["map_at_r"] == mean_of(plain_ap, 3)
    assert found["precision_at_k"] == mean_of(plain_precision, 2)
    assert found["map_at_all"] < 1


def test_reranking_is_reported_beside_the_ranking_by_codes(capsys: Printed) -> None:
    plain, both = record(capsys), record(capsys, "--rerank")
    assert "map_at_all_reranked" not in plain
    assert {name: value for name, value in both.items() if name != "map_at_all_reranked"} == plain
    paths = sorted(Path("queries").rglob("*.png"))
    logits = LinearHash().logits(np.stack([decoding.square(bytes(path), SIDE) for path in paths]))
    weighed = [
        (np.array([round(float(np.abs(z)[(z >= 0) != code].sum()), 6) for _, code in signs("folder")]), hits)
        for z, (_, hits) in zip(logits.astype(float), cases(), strict=True)
    ]
    wanted = np.mean([brute_force(plain_ap, case, 7) for case in weighed])
    assert both["map_at_all_reranked"] == pytest.approx(float(wanted))
    code, out, _ = run(capsys, *EVALUATE, "--rerank")
    assert (code, out.splitlines()[1].split("\t")[0]) == (0, "mAP@all, reranked")


def test_the_ball_of_two_bits_is_measured_with_its_empty_ones(capsys: Printed) -> None:
    found = record(capsys)
    balls = [hits[distances <= 2] for distances, hits in cases()]
    assert found["precision_within_2"] == pytest.approx(np.mean([ball.mean() if len(ball) else 0 for ball in balls]))
    assert found["empty_balls_within_2"] == pytest.approx(np.mean([not len(ball) for ball in balls]))


def test_the_bits_of_the_database_are_described(capsys: Printed) -> None:
    found = record(capsys)
    codes = np.array([code for _, code in signs("folder")])
    shares = codes.mean(0)
    assert found["distinct_codes"] == len({code.tobytes() for code in codes})
    assert found["constant_bits"] == sum(share in (0, 1) for share in shares)
    assert abs(found["worst_balance"] - 0.5) == pytest.approx(np.abs(shares - 0.5).max())


def test_a_person_reads_each_figure_with_its_exact_name(capsys: Printed) -> None:
    code, out, _ = run(capsys, *EVALUATE, "-k", "5", "-r", "6")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        "mAP@all (tie-aware)",
        "mAP@6 (tie-aware)",
        "P@5 (tie-aware)",
        "P@H<=2",
        "empty balls at H<=2",
        "distinct codes",
        "ones in the worst bit",
        "constant bits",
        "bit correlation, mean |r|",
        "bit correlation, max |r|",
        "queries",
    ]


@pytest.mark.parametrize(
    ("options", "shown", "said"),
    [
        ([], [], "without mAP@1000 and P@100: the database holds 7 images"),
        (["-r", "7"], ["mAP@7 (tie-aware)"], "without P@100: the database holds 7 images"),
        (["-r", "8", "-k", "7"], ["P@7 (tie-aware)"], "without mAP@8: the database holds 7 images"),
    ],
)
def test_no_figure_claims_more_images_than_there_are(
    capsys: Printed, options: list[str], shown: list[str], said: str
) -> None:
    code, out, error = run(capsys, *EVALUATE, *options)
    cut = [line.split("\t")[0] for line in out.splitlines() if "@" in line and "@all" not in line and "@H" not in line]
    assert (code, cut, said in error) == (0, shown, True), error
    record = json.loads(run(capsys, *EVALUATE, *options, "--json")[1])
    known = [name for name, key in (("mAP", "map_at_r"), ("P", "precision_at_k")) if record[key] is not None]
    assert known == [name.split("@")[0] for name in shown]


def test_classes_are_matched_by_name_not_by_number(capsys: Printed) -> None:
    shutil.rmtree("queries/blue")
    shutil.rmtree("queries/green")
    assert record(capsys)["map_at_all"] == mean_of(plain_ap, 7)


def test_queries_with_several_labels_find_images_that_share_one(capsys: Printed) -> None:
    rows = [f"{path},{path.split('/')[1]},red" for path in (FIRST, "queries/green/00.png")]
    Path("queries.csv").write_text("\n".join(["path,label,label", *rows]))
    _, out, _ = run(capsys, "evaluate", "--queries", "queries.csv", "--json", "-k", "7")
    assert json.loads(out)["precision_at_k"] == pytest.approx((2 + 3) / 7)


def test_queries_without_a_relevant_image_are_left_out_and_told_of(capsys: Printed) -> None:
    Path("queries/blue").rename("queries/azure")
    shutil.copy("queries/red/00.png", "queries/loose.png")
    code, out, error = run(capsys, *EVALUATE, "--json")
    found = json.loads(out)
    assert (code, found["queries"], found["queries_without_relevant"]) == (0, 6, 4)
    assert "left out: 3 queries without an image of their class in the database: 'azure'\n" in error
    assert "left out: 1 query without a label\n" in error


def test_many_classes_that_the_database_lacks_are_named_by_the_first(capsys: Printed) -> None:
    for number in range(7):
        paint(Path(f"queries/k{number}/0.png"), COLOURS["red"], seed=2000 + number)
    assert "in the database: 'k0', 'k1', 'k2', 'k3', 'k4' …\n" in run(capsys, *EVALUATE)[2]


def test_the_codes_of_one_shard_are_called_that(capsys: Printed) -> None:
    run(capsys, "encode", "folder", "--shard", "1/2", "-o", "part.h5")
    code, out, error = run(capsys, *EVALUATE, "--codes", "part.h5", "--json")
    assert (code, json.loads(out)["shard"]) == (0, "1/2")
    assert "warning: these codes are shard 1/2 alone; `ganhash merge` puts all together\n" in error
    assert "shard" not in record(capsys)


def test_long_work_tells_how_many_queries_are_through(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    known = record(capsys, "--rerank")
    monkeypatch.setattr(evaluation, "_PAIRS", 2 * 7)
    monkeypatch.setattr(evaluation, "_QUERIES", 1)
    code, out, error = run(capsys, *EVALUATE, "--rerank", "--json", "--progress", "json")
    assert (code, json.loads(out)) == (0, known)
    told = [json.loads(line) for line in error.splitlines() if '"unit": "queries"' in line]
    assert [(each["stage"], each["total"]) for each in told if each["done"] == each["total"]] == [
        ("ranking the database", 9),
        ("ranking by asymmetric distance", 9),
    ]


def test_images_without_a_label_are_relevant_to_none_and_told_of(capsys: Printed) -> None:
    shutil.copy("folder/red/odd.png", "folder/loose.png")
    run(capsys, "encode", "folder")
    code, out, error = run(capsys, *EVALUATE, "--json", "-k", "8")
    assert (code, json.loads(out)["database_unlabelled"]) == (0, 1)
    assert json.loads(out)["precision_at_k"] == pytest.approx(7 / 3 / 8)
    assert "relevant to no query: 1 image of the database without a label" in error


def test_no_class_of_one_name_is_exit_5(capsys: Printed) -> None:
    for name in COLOURS:
        Path(f"queries/{name}").rename(f"queries/{name.title()}")
    code, out, error = run(capsys, *EVALUATE)
    assert (code, out) == (5, "")
    assert "the queries' are 'Blue', 'Green', 'Red', the database's 'blue', 'green', 'red'" in error


def test_no_query_with_a_relevant_image_is_exit_4(capsys: Printed) -> None:
    for index in range(2):
        Path(f"folder/blue/{index:02}.png").write_bytes(b"no image")
    run(capsys, "encode", "folder")
    Path("only").mkdir()
    Path("queries/blue").rename("only/blue")
    code, _, error = run(capsys, "evaluate", "--queries", "only")
    assert (code, "of 3 queries none has an image of its class" in error) == (4, True)


def test_queries_without_labels_are_exit_4(capsys: Printed) -> None:
    code, _, error = run(capsys, "evaluate", "--queries", "queries/blue")
    assert code == 4
    assert "the queries of queries/blue have no labels\n" in error
    assert "hint: put each class into a folder of its own" in error


def test_an_image_without_a_label_is_named_as_it_was_typed(capsys: Printed) -> None:
    code, _, error = run(capsys, "evaluate", "--queries", FIRST)
    assert (code, f"the queries of {FIRST} have no labels\n" in error) == (4, True)


def test_a_folder_without_queries_is_called_empty(capsys: Printed) -> None:
    Path("empty").mkdir()
    code, _, error = run(capsys, "evaluate", "--queries", "empty")
    assert (code, "empty holds no usable image" in error) == (4, True)


@pytest.mark.parametrize("more", ["", f"{FIRST},\n"])
def test_a_labelled_query_that_is_missing_is_named(more: str, capsys: Printed) -> None:
    Path("queries.csv").write_text(f"path,label\nqueries/gone.png,red\n{more}")
    code, _, error = run(capsys, "evaluate", "--queries", "queries.csv")
    assert (code, "queries/gone.png: missing" in error) == (4, True)


def test_a_database_without_labels_is_exit_4(capsys: Printed) -> None:
    run(capsys, "encode", "folder/blue", "-o", "plain.h5")
    code, _, error = run(capsys, *EVALUATE, "--codes", "plain.h5")
    assert (code, "the images of plain.h5 have no labels" in error) == (4, True)


def test_codes_of_another_model_are_exit_5(capsys: Printed) -> None:
    write_bundle(Path("other"), seed=1)
    code, _, error = run(capsys, *EVALUATE, "--model", "other")
    assert (code, "was made by the model" in error) == (5, True)


def test_damaged_codes_are_exit_6(capsys: Printed) -> None:
    flip_in("labels")
    assert run(capsys, *EVALUATE)[0] == 6


def test_a_query_that_stands_in_the_database_is_named_with_exit_5(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    code, out, error = run(capsys, *EVALUATE)
    assert (code, out) == (5, "")
    assert "the database holds 1 of the queries: queries/blue/copy.png\n" in error


def test_a_query_is_known_by_its_pixels_whatever_its_file(capsys: Printed) -> None:
    with Image.open("folder/blue/01.png") as image:
        image.save("queries/green/saved.bmp")
    code, _, error = run(capsys, *EVALUATE)
    assert (code, "queries/green/saved.bmp" in error) == (5, True)


def test_many_leaks_are_counted_and_the_first_named(capsys: Printed) -> None:
    for index in range(7):
        shutil.copy("folder/blue/01.png", f"queries/blue/copy{index}.png")
    error = run(capsys, *EVALUATE)[2]
    assert "holds 7 of the queries: queries/blue/copy0.png, " in error
    assert "queries/blue/copy2.png and 4 more" in error


def test_leaks_count_where_they_are_allowed(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    code, out, error = run(capsys, *EVALUATE, "--json", "--allow-overlap")
    found = json.loads(out)
    assert (code, found["queries"], found["queries_in_database"]) == (0, 10, 1)
    assert "queries that were seen before: in the database 1, in training 0" in error


def test_where_the_database_is_gone_its_check_is_said_to_be_missing(capsys: Printed) -> None:
    shutil.copy("folder/blue/01.png", "queries/blue/copy.png")
    shutil.rmtree("folder")
    code, out, error = run(capsys, *EVALUATE, "--json")
    assert (code, json.loads(out)["database_not_compared"] > 0) == (0, True)
    assert "not compared with the queries: 2 images of the database with the code of one, whose files are gone" in error


def test_a_query_that_the_model_was_trained_on_is_named_with_exit_5(capsys: Printed) -> None:
    shutil.rmtree("model")
    seen = decoding.pixel_digest(decoding.square(FIRST.encode(), SIDE))
    write_bundle(Path("model"), trained_on=[seen, "f" * 64])
    code, _, error = run(capsys, *EVALUATE)
    assert (code, f"the model was trained on 1 of the queries: {FIRST}\n" in error) == (5, True)
    assert record(capsys, "--allow-overlap")["queries_in_training"] == 1


def test_a_damaged_list_of_training_images_is_exit_6(capsys: Printed) -> None:
    (Path("model") / bundle.TRAINED_ON).write_text("0" * 64)
    assert run(capsys, *EVALUATE)[0] == 6


def test_a_model_that_keeps_no_list_of_its_training_images_is_told_of(capsys: Printed) -> None:
    description = json.loads(Path("model/bundle.json").read_text())
    del description["sha256"], description["trained_on"]
    files.write_json(Path("model/bundle.json"), description | {"sha256": files.json_digest(description)})
    code, out, error = run(capsys, *EVALUATE, "--json")
    assert (code, json.loads(out)["queries_in_training"]) == (0, None)
    assert "the model keeps no list of its training images" in error


def test_a_plot_among_the_images_is_said_to_become_one(capsys: Printed) -> None:
    assert "pr.png lies among your images" in run(capsys, *EVALUATE, "--plot", "folder/pr.png")[2]


@pytest.mark.parametrize(("place", "inside"), [("queries/red/pr.png", True), ("pr.png", False)])
def test_a_plot_among_the_queries_is_said_to_become_one(capsys: Printed, place: str, inside: bool) -> None:
    code, _, error = run(capsys, *EVALUATE, "--plot", place)
    said = "pr.png lies among your queries: the next `ganhash evaluate` takes it for one"
    assert (code, said in error) == (0, inside)


def test_one_of_a_thing_is_told_of_in_the_singular_on_the_plot(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree("queries/blue", "one/blue")
    for index in (1, 2):
        Path(f"one/blue/{index:02}.png").unlink()
    written: list[str] = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, text, **_: written.append(text))
    run(capsys, "evaluate", "--queries", "one", "--plot", "pr.png")
    assert [text.rpartition(",")[0] for text in written] == ["12 bits, 1 query, 7 images"]


def test_the_curve_is_written_as_a_table_and_drawn(capsys: Printed) -> None:
    code, _, error = run(capsys, *EVALUATE, "--csv", "pr.csv", "--plot", "pr.png")
    assert (code, "plot: pr.png" in error) == (0, True)
    with Path("pr.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for radius, row in enumerate(rows):
        recalls = [hits[distances <= radius].sum() / hits.sum() for distances, hits in cases()]
        assert (int(row["radius"]), float(row["recall"])) == (radius, pytest.approx(np.mean(recalls)))
    assert len(rows) == BITS + 1
    with Image.open("pr.png") as image:
        assert (image.format, image.width > 600) == ("PNG", True)


def test_a_plot_that_is_no_png_is_a_usage_error(capsys: Printed) -> None:
    assert run(capsys, *EVALUATE, "--plot", "pr.pdf")[0] == 2


def test_a_bad_query_among_good_ones_is_exit_3(capsys: Printed) -> None:
    Path("queries/red/bad.png").write_bytes(b"no image")
    code, out, error = run(capsys, *EVALUATE, "--json")
    assert (code, json.loads(out)["queries"], "skipped queries/red/bad.png" in error) == (3, 9, True)


@pytest.mark.parametrize(("options", "drawn"), [([], []), (["--plot", "pr.png"], ["matplotlib"])])
def test_evaluation_loads_no_torch_and_matplotlib_only_for_a_plot(options: list[str], drawn: list[str]) -> None:
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        f"try: main([*{EVALUATE!r}, *{options!r}])\nexcept SystemExit as end: assert not end.code\n"
        "large = {'torch', 'torchvision', 'timm', 'faiss', 'matplotlib', 'onnx', 'scipy'}\n"
        "print(sorted(large & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(drawn)
