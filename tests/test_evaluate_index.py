"""`ganhash evaluate --index URL`: the figures of the codes file, whatever the index finds by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine import remote_copy
from linear_hash import write_bundle
from memory_index import KEPT, Memory
from pictures import COLOURS, paint, paint_classes
from stranger import with_memory
from test_encode_command import Printed, run

URL = "memory://here"
EVALUATE = ("evaluate", "--queries", "queries")


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    """A folder with a model, 13 images of four classes, 6 queries, and all codes pushed to a dictionary."""
    with_memory(tmp_path, monkeypatch)
    paint_classes(Path("folder"), each=4)
    paint(Path("folder/odd/odd.png"), (60, 60, 160), seed=500)
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(2):
            paint(Path(f"queries/{name}/{index:02}.png"), colour, seed=1000 + 10 * number + index)
    assert run(capsys, "encode", "folder")[0] == 0
    assert run(capsys, "push", "--to", URL)[0] == 0


def record(printed: Printed, *options: str) -> dict[str, Any]:
    code, out, error = run(printed, *EVALUATE, "--json", *options)
    assert code == 0, error
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("options", [[], ["-k", "3", "-r", "5", "--rerank"]])
def test_every_figure_is_that_of_the_file(options: list[str], capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_copy, "BATCH", 5)
    assert record(capsys, *options, "--index", URL) == record(capsys, *options)


def test_figures_of_several_labels_are_those_of_the_file(capsys: Printed) -> None:
    names = sorted(path.relative_to("folder") for path in Path("folder").rglob("*.png"))
    rows = [f"{name},{name.parts[0]},{'warm' if row % 2 else ''}" for row, name in enumerate(names)]
    Path("folder/list.csv").write_text("\n".join(["path,label,label", *rows[:-2], f"{names[-2]},,", f"{names[-1]},,"]))
    assert run(capsys, "encode", "folder/list.csv", "-o", "codes.h5", "--overwrite")[0] == 0
    assert run(capsys, "push", "--to", URL, "--replace")[0] == 0
    assert record(capsys, "--index", URL) == record(capsys)


def test_an_approximate_index_adds_its_recall_and_changes_nothing_else(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Memory, "exact", False)
    monkeypatch.setattr(Memory, "search", lambda self, code, k, *, exact=False: self.sorted(code)[: k if exact else 1])
    found = record(capsys, "--index", URL, "-k", "4")
    assert found.pop("index_recall") == pytest.approx(0.25)
    assert found == record(capsys, "-k", "4")
    assert "recall 0.250 of the nearest 4" in run(capsys, *EVALUATE, "--index", URL, "-k", "4")[2]


def test_a_query_that_the_index_holds_is_refused(capsys: Printed) -> None:
    paint(Path("queries/red/same.png"), COLOURS["red"], seed=0)
    Path("queries/red/same.png").write_bytes(Path("folder/red/00.png").read_bytes())
    code, _, error = run(capsys, *EVALUATE, "--index", URL)
    assert (code, "the database holds 1 of the queries" in error) == (5, True), error


def test_another_model_is_exit_5_before_anything_is_fetched(capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(Path("other"), seed=1)
    monkeypatch.setattr(Memory, "ids", None)
    code, _, error = run(capsys, *EVALUATE, "--index", URL, "--model", "other")
    assert (code, "was made by the model" in error) == (5, True), error


def test_a_path_out_of_the_root_is_not_opened(capsys: Printed) -> None:
    query = Path("queries/red/00.png").resolve()
    number, (code, _, labels, digest) = next(iter(KEPT[URL, "ganhash"]["images"].items()))
    for path in (b"../queries/red/00.png", bytes(query)):
        KEPT[URL, "ganhash"]["images"] = {number: (code, path, labels, digest)}
        Path("q/blue").mkdir(parents=True, exist_ok=True)
        Path("q/blue/0.png").write_bytes(Path("folder/blue/00.png").read_bytes())
        ended, _, error = run(capsys, "evaluate", "--queries", "q", "--index", URL)
        assert (ended, "outside its root" in error) == (6, True), error


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--index", "nowhere"], 2, "nowhere is no URL"),
        (["--index", URL, "--name", "nothing"], 4, "there is no nothing at memory://here"),
        (["--index", "postgresql://me:sesame@127.0.0.1:1/db"], 4, "refused"),
        (["--index", URL, "-I", "limt=3"], 2, "did you mean 'limit'"),
    ],
)
def test_wrong_input_says_what_and_ends_with_its_code(
    arguments: list[str], code: int, said: str, capsys: Printed
) -> None:
    ended, _, error = run(capsys, *EVALUATE, *arguments)
    assert (ended, said in error, "sesame" in error) == (code, True, False), error


def test_an_index_without_images_is_exit_4(capsys: Printed) -> None:
    KEPT[URL, "ganhash"]["images"] = {}
    assert run(capsys, *EVALUATE, "--index", URL)[0] == 4
