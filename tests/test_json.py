"""`--json` on every command: a documented schema, errors as one object on stderr, the same bytes every time."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine import images
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import LinearHash, write_bundle
from pictures import COLOURS, paint, paint_classes
from test_docs import DOCS, commands
from test_encode_command import Printed, run

QUICK = ("-g", "tiny", "--steps", "2", "--batch", "4", "--features", "smallconv")
TRAIN = ("-b", "smallconv", "-B", "width=8", "--bits", "12", "--epochs", "1", "--batch", "12", "--size", "32")
SUCCESSES = {
    "generate": ("generate", "folder", *QUICK),
    "train": ("train", "folder", *TRAIN, "-m", "trained", "--no-fakes"),
    "encode": ("encode", "folder"),
    "merge": ("merge", "part.h5", "-o", "whole.h5"),
    "query": ("query", "queries", "-k", "2"),
    "query --index": ("query", "queries", "-k", "2", "--index", "ivf"),
    "query --rerank": ("query", "queries/red/00.png", "-k", "2", "--rerank"),
    "dedup": ("dedup", "folder", "--max-distance", "3"),
    "evaluate": ("evaluate", "--queries", "queries"),
    "evaluate --rerank": ("evaluate", "--queries", "queries", "--rerank"),
    "report": ("report",),
    "export": ("export", "--for", "opensearch"),
    "export --schema": ("export", "--for", "vespa", "--schema"),
    "sample": ("sample", "fashion"),
    "info model": ("info", "model"),
    "info codes.h5": ("info", "codes.h5"),
    "verify": ("verify",),
    "doctor": ("doctor",),
    "plugins list": ("plugins", "list"),
    "plugins show": ("plugins", "show", "generator", "tiny"),
    "plugins check": ("plugins", "check", "backbone", "smallconv"),
}
FAILURES = {
    "generate": (("generate", "nowhere"), 4),
    "train": (("train", "nowhere"), 4),
    "encode": (("encode", "nowhere"), 4),
    "merge": (("merge", "nowhere.h5", "-o", "whole.h5"), 4),
    "export": (("export", "nowhere.h5", "--for", "vespa"), 4),
    "push": (("push", "nowhere.h5", "--to", "postgresql://localhost/nowhere"), 4),
    "query": (("query", "nowhere.png"), 4),
    "query, none near": (("query", "lone.png", "--max-distance", "0"), 10),
    "dedup": (("dedup", "nowhere.h5"), 4),
    "evaluate": (("evaluate", "--queries", "folder"), 5),
    "report": (("report", "nowhere"), 4),
    "sample": (("sample", "folder"), 2),
    "info": (("info", "nowhere"), 4),
    "verify": (("verify", "nowhere"), 4),
    "doctor": (("doctor", "--nonsense"), 2),
    "plugins list": (("plugins", "list", "--nonsense"), 2),
    "plugins show": (("plugins", "show", "generator", "tinny"), 2),
    "plugins check": (("plugins", "check", "nonsense", "tiny"), 2),
    "serve": (("serve", "nowhere.h5", "--port", "0"), 4),
    "no such option": (("query", "a.png", "--nonsense"), 2),
    "no argument": (("query",), 2),
    "no number": (("query", "a.png", "-k", "many"), 2),
}


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out()


def lay_out() -> None:
    """Make in the current folder a model, codes of 16 images, and 9 queries."""
    model = write_bundle(Path("model"))
    paint_classes(Path("folder"), each=5)
    shutil.copy("folder/red/00.png", "folder/red/copy.png")
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(3):
            paint(Path(f"queries/{name}/{index:02}.png"), colour, seed=1000 + 10 * number + index)
    paint(Path("lone.png"), (250, 120, 250), seed=9)
    finish(encode(model, images.collect(Path("folder")), Path("codes.h5"), runtime=LinearHash()))


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Return for each heading of the page the fields that always come, and those that may."""
    parts = re.split(r"^## (.+)$", (DOCS / "json.md").read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        cells = [row for row in re.findall(r"^\| (.+?) \| ", text, re.MULTILINE) if row != "field"]
        fields = [match for cell in cells for match in re.findall(r"`(\w+)`(\??)", cell)]
        found[name] = {f for f, may in fields if not may}, {f for f, may in fields if may}
    return found


def objects(text: str) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.mark.parametrize("name", SUCCESSES)
def test_a_result_has_the_fields_of_the_page_and_no_others(name: str, capsys: Printed) -> None:
    if name == "merge":
        run(capsys, "encode", "folder", "--shard", "1/1", "-o", "part.h5")
    code, out, error = run(capsys, *SUCCESSES[name], "--json")
    assert code in ((0,) if name != "doctor" else (0, 4, 9, 11)), error
    always, perhaps = documented()[re.sub(r" (--|model|codes).*", "", name)]
    found = objects(out)
    assert found
    for record in found:
        assert next(iter(record)) == "schema"
        assert record["schema"] == 1
        assert always <= set(record) - {"schema"} <= always | perhaps


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("info", "ODD/codes.h5"), "path"),
        (("verify", "ODD/codes.h5"), "path"),
        (("encode", "folder", "-o", "ODD/codes.h5"), "output"),
        (("export", "--for", "vespa", "-o", "ODD/codes.ndjson"), "output"),
        (("report", "-o", "ODD/report.html"), "report"),
        (("sample", "ODD/fashion"), "folder"),
    ],
)
def test_a_place_that_is_not_utf8_stands_in_exact_bytes_too(
    words: tuple[str, ...], field: str, capsys: Printed
) -> None:
    odd = os.fsdecode(b"w\xff")
    Path(odd).mkdir()
    shutil.copy("codes.h5", odd)
    given = [word.replace("ODD", odd) for word in words]
    code, out, error = run(capsys, *given, "--json")
    assert code == 0, error
    [record] = objects(out)
    [place] = [os.fsencode(word) for word in given if odd in word]
    assert record[field] == place.decode(errors="replace")
    assert base64.b64decode(record[f"{field}_b64"]) == place
    always, perhaps = documented()[words[0]]
    assert set(record) - {"schema"} <= always | perhaps


def test_fakes_are_told_of_too(capsys: Printed) -> None:
    run(capsys, *SUCCESSES["generate"])
    always, perhaps = documented()["info"]
    [record] = objects(run(capsys, "info", "fakes", "--json")[1])
    assert always | {"schema"} <= set(record) <= always | perhaps | {"schema"}
    assert record["kind"] == "fakes"


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_is_the_last_line_of_stderr_with_its_exit_code(name: str, capsys: Printed) -> None:
    arguments, exit_code = FAILURES[name]
    plain, _, said = run(capsys, *arguments)
    code, out, error = run(capsys, *arguments, "--json")
    assert (code, plain, out) == (exit_code, exit_code, "")
    record = json.loads(error.splitlines()[-1])
    assert (record["schema"], set(record)) == (1, {"schema", "error"})
    assert set(record["error"]) == {"kind", "exit", "message", "hint"}
    assert record["error"]["exit"] == exit_code
    assert record["error"]["message"]
    assert not said.lstrip().startswith("{")


def test_what_is_damaged_is_told_of_on_both_sides(capsys: Printed) -> None:
    Path("model/training.sha256").write_text("other")
    code, out, error = run(capsys, "verify", "model", "--json")
    assert (code, len(objects(out)[0]["wrong"])) == (6, 1)
    assert json.loads(error.splitlines()[-1])["error"]["kind"] == "CorruptError"


def test_a_wrong_setting_is_an_object_too(capsys: Printed) -> None:
    Path("ganhash.toml").write_text("[query]\nkk = 3\n")
    code, _, error = run(capsys, "query", "queries/red/00.png", "--json")
    assert (code, "kk" in json.loads(error)["error"]["message"]) == (2, True)


def test_json_that_the_settings_ask_for_holds_for_errors(capsys: Printed) -> None:
    Path("ganhash.toml").write_text("[query]\njson = true\n")
    code, _, error = run(capsys, "query", "nowhere.png")
    assert (code, json.loads(error.splitlines()[-1])["error"]["exit"]) == (4, 4)


def test_words_after_two_dashes_ask_for_nothing(capsys: Printed) -> None:
    code, _, error = run(capsys, "query", "--", "--json")
    assert (code, error.startswith("error: ")) == (4, True)


def test_the_same_query_gives_the_same_bytes(capsys: Printed) -> None:
    first = run(capsys, *SUCCESSES["query"], "--json")[1]
    time.sleep(0.01)
    assert run(capsys, *SUCCESSES["query"], "--json")[1] == first
    os.utime("codes.h5", (1, 1))
    assert run(capsys, *SUCCESSES["query"], "--json")[1] == first


@pytest.mark.parametrize("name", ["train", "evaluate", "query, none near"])
def test_with_progress_json_every_line_of_stderr_is_an_object(
    name: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = SUCCESSES.get(name) or FAILURES[name][0]
    _, out, error = run(capsys, *arguments, "--progress", "json")
    found = objects(error)
    always = documented()["progress"][0]
    for record in found:
        assert record["schema"] == 1
        kinds = {"stage", "note", "warning", "error"} & set(record)
        assert len(kinds) == 1
        assert set(record) <= always | {"schema", "error"}
    assert found
    assert not out.startswith("{")
    if name == "train":
        steps = [record for record in found if record.get("stage") == "training smallconv"]
        assert (steps[0]["done"], steps[-1]["done"] == steps[-1]["total"]) == (1, True)
        assert {"triplet", "images/s"} <= set(steps[-1]["figures"])


def test_progress_does_not_flood_and_has_no_number_that_json_lacks(capsys: Printed) -> None:
    from ganhash_cli import console
    from ganhash_cli.engine.progress import Progress

    console.progress_as = console.ProgressName.json
    try:
        console.follow(Progress("counting", step, 5000, {"loss": float("nan")}) for step in range(1, 5001))
    finally:
        console.progress_as = console.ProgressName.auto
    found = objects(capsys.readouterr().err)
    assert (found[0]["done"], found[-1]["done"], found[0]["figures"]) == (1, 5000, {"loss": None})
    assert len(found) < 500


def test_every_command_is_on_the_page_and_takes_json_and_progress() -> None:
    leaves = {name.removeprefix("ganhash "): each for name, each in commands() if not hasattr(each, "commands")}
    assert set(leaves) == set(documented()) - {"error", "progress"}
    for each in leaves.values():
        assert {"json", "progress"} <= {parameter.name for parameter in each.params}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ganhash_cli", *arguments]


@pytest.mark.parametrize("arguments", [("query", "queries"), ("query", "queries", "--json"), ("info", "codes.h5")])
def test_a_reader_that_goes_ends_a_command_without_a_word(arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        said = child.stderr.read()
    assert (child.returncode, "Traceback" in said, "Broken" in said) == (0, False, False)


@pytest.mark.parametrize("options", [(), ("--progress", "json")])
def test_a_reader_of_stderr_that_goes_does_not_stop_the_work(options: tuple[str, ...]) -> None:
    arguments = command("encode", "folder", "-o", "again.h5", *options)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stderr.close()
        out = child.stdout.read()
    assert (child.returncode, Path("again.h5").exists(), out.startswith("again.h5: 16 images")) == (0, True, True)


def test_an_interruption_is_an_object_too() -> None:
    program = (
        "import os, signal, sys\nfrom ganhash_cli.engine import encoder\nfrom ganhash_cli.app import main\n"
        "from ganhash_cli.engine.progress import Progress\n"
        "def work(*_, **__):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    yield Progress('encoding', 1, 2)\n"
        "    yield Progress('encoding', 2, 2)\n"
        "encoder.encode = work\nmain(['encode', 'folder', '--json'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    record = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (done.returncode, record["kind"], record["exit"]) == (128 + signal.SIGTERM, "Interrupted", 143)
