"""Every verb, where it succeeds and where it fails, in surroundings that are narrow, deaf or closed."""

import re
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import chdir
from pathlib import Path
from shutil import copytree
from urllib.request import urlopen

import pytest

import forked
import surroundings
from stranger import install
from terminals import plain, show
from test_docs import commands
from test_json import FAILURES, SUCCESSES, lay_out

FINE = {
    **{name: words for name, words in SUCCESSES.items() if "--" not in name},
    "push": ("push", "--to", "memory://here"),
    "encode": ("encode", "folder", "-o", "new.h5"),
}
NO_OUTPUT = ("no_stdout", "nobody_reads_stdout")
NO_NOTES = ("no_stderr", "nobody_reads_stderr")
AROUND = {around.__name__: around for around in surroundings.ALL}
CODES = {"doctor": {0, 4, 9, 11}}  # by what is installed here


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all that the verbs take, and an index that is a plugin of a stranger."""
    folder = tmp_path_factory.mktemp("anywhere")
    (folder / "here").mkdir()
    with chdir(folder / "here"), pytest.MonkeyPatch.context() as patch:
        lay_out()
        code = "from memory_index import Memory as Plugin"
        install(folder / "site", patch, "stranger", code, "index", "memory")
        assert forked.run(folder / "here", ["encode", "folder", "--shard", "1/1", "-o", "part.h5", "-q"]) == 0
        yield folder / "here"


def require_quiet(said: str) -> None:
    assert "Traceback" not in said
    assert "bug in ganhash" not in said
    assert "Exception" not in said
    assert "\x1b" not in said


def some(verbs: Iterable[str], *short: tuple[str, str]) -> list[object]:
    """Return every verb with all that may be around it, but for a few for `make test-slow` only."""
    return [
        pytest.param(verb, around, marks=[] if (verb, around) in short else [pytest.mark.slow])
        for verb in verbs
        for around in AROUND
    ]


@pytest.mark.parametrize(
    ("verb", "around"),
    some(
        FINE,
        *(("info model", around) for around in AROUND),
        *(("query", "narrow"), ("query", "no_stdout"), ("verify", "ascii_only"), ("dedup", "no_stderr")),
    ),
)
def test_what_is_right_succeeds_anywhere(verb: str, around: str, place: Path, tmp_path: Path) -> None:
    here = copytree(place, tmp_path / "here")
    code, said = forked.run(here, list(FINE[verb]), AROUND[around]), forked.said(here)
    assert code in CODES.get(verb, {0}), said
    require_quiet(said)
    if around not in NO_OUTPUT:
        assert said


@pytest.mark.slow
@pytest.mark.parametrize("around", AROUND)
def test_a_server_runs_anywhere_until_it_is_stopped(around: str, place: Path, tmp_path: Path) -> None:
    here = copytree(place, tmp_path / "here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = forked.start(here, ["serve", "--port", str(port)], AROUND[around])
    try:
        while process.is_alive() and not answers(port):
            time.sleep(0.05)
        process.terminate()
        process.join()
    finally:
        process.kill()
    assert process.exitcode in (143, -signal.SIGTERM), forked.said(here)
    require_quiet(forked.said(here))


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("verb", "around"),
    some(FAILURES, *(("query", around) for around in AROUND), ("train", "narrow"), ("serve", "no_stderr")),
)
def test_what_is_wrong_ends_alike_anywhere(verb: str, around: str, place: Path, tmp_path: Path) -> None:
    words, exit_code = FAILURES[verb]
    code, said = (
        forked.run(copytree(place, tmp_path / "here"), list(words), AROUND[around]),
        forked.said(tmp_path / "here"),
    )
    assert code == exit_code, said
    require_quiet(said)
    assert bool(said) == (around not in NO_NOTES)
    if "nowhere" in words and around not in NO_NOTES:
        assert "nowhere" in said.replace("\n", "")  # whole, however narrow


def test_every_verb_is_tried_where_it_succeeds_and_where_it_fails() -> None:
    verbs = {name.removeprefix("ganhash ") for name, child in commands() if not hasattr(child, "commands")}
    tried = {re.sub(r" (--|model|codes).*", "", name) for name in FINE} | {"serve"}
    assert tried == verbs
    assert verbs <= set(FAILURES)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("query folder/red/00.png -k 1 --preview none", "folder/red/00.png"),
        ("query nowhere-in-this-folder/img.png", "nowhere-in-this-folder/img.png"),
        pytest.param("dedup codes.h5 --exact", "folder/red/copy.png", marks=pytest.mark.slow),
        pytest.param("info model", "folder/", marks=pytest.mark.slow),
        pytest.param("plugins list", "efficientnet_lite0", marks=pytest.mark.slow),
    ],
)
def test_twenty_columns_cut_no_name(words: str, name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    _, shown = show([sys.executable, "-m", "ganhash_cli", *words.split()], columns=20, environ={})
    assert name in "".join("".join(plain(shown)).split())  # over as many lines as it takes
