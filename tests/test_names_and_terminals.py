"""Names of any bytes come back from a query as they were, and no terminal or closed stream makes a command stumble."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine.path_records import path_record
from serving import FIRST, work_in
from terminals import in_terminal, plain
from test_encode_command import Printed, run

NAMES = [
    *(
        "ü-nfc",
        "u\u0308-nfd",
        "画像",
        "😀",
        "a\u202egnp",
        "new\nline",
        "tab\t",
        "\x1b]0;title\x07",
        "[red]",
        "'q\"",
        "%s",
    ),
    *("-rf", "--json", " space ", "CON", "x" * 251, "&amp;", "a,b;c", "$(id)", "\\x1b", "..."),
]
ODD = [os.fsencode(name) + b".png" for name in NAMES] + [b"\xff\xfe.png"]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work_in(tmp_path)


def ganhash(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "ganhash_cli", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_names_of_any_bytes_come_back_as_they_were() -> None:
    for name in ODD:
        Path(os.fsdecode(name)).write_bytes(FIRST.read_bytes())
    listed = b"\0".join(ODD)
    assert ganhash("encode", "-", "-0", "-o", "odd.h5", "-q", input=listed).returncode == 0
    query = ("query", str(FIRST), "--codes", "odd.h5", "-k", "50", "-q")
    exact = ganhash(*query, "-f", "-0").stdout.split(b"\0")[:-1]
    assert sorted(exact) == sorted(b"./" + name if name.startswith(b"-") else name for name in ODD)
    assert {Path(os.fsdecode(name)).is_file() for name in exact} == {True}
    records = [json.loads(line) for line in ganhash(*query, "--json").stdout.splitlines()]
    kept = [{key: each[key] for key in each if key.startswith("path")} for each in records]
    assert sorted(map(str, kept)) == sorted(str(path_record(name)) for name in ODD)
    table = ganhash(*query).stdout.decode()
    assert not {char for char in table if ord(char) < 32 or 127 <= ord(char) < 160 or char == "\u202e"} - {"\n", "\t"}
    assert len(list(csv.reader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE))) == len(ODD)


@pytest.mark.parametrize(
    "environment",
    [
        {"COLUMNS": "20", "TERM": "dumb", "NO_COLOR": "1"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ],
    ids=str,
)
def test_no_surroundings_bring_a_traceback_or_colours(environment: dict[str, str]) -> None:
    for arguments in (["query", str(FIRST)], ["info", "codes.h5"], ["query", "nowhere.png"], ["dedup", "codes.h5"]):
        done = ganhash(*arguments, env={**PLAIN, **environment})
        assert done.returncode in (0, 4)
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "| head -0"])
@pytest.mark.parametrize("arguments", ["query folder/blue/00.png", "--help"])
def test_a_closed_stream_brings_no_traceback(arguments: str, closed: str) -> None:
    shell = f"{sys.executable} -m ganhash_cli {arguments} {closed}"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, check=False)
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stream", "code"),
    [("--help", "stdout", 0), ("--version", "stdout", 0), ("--bogus", "stderr", 2)],
)
def test_a_reader_that_has_gone_changes_no_exit_code(arguments: str, stream: str, code: int) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ganhash_cli", *arguments.split()]
    with os.fdopen(write) as gone:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: gone}
        done = subprocess.run(command, **streams, check=False)
    assert (done.returncode, done.stdout or b"", done.stderr or b"") == (code, b"", b"")


def test_the_commands_open_no_connection(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        open('connected', 'a').write(f'{event} {args}\\n')\n"
        "sys.addaudithook(hook)\n"
    )
    paths = os.pathsep.join([str(tmp_path / "watch"), os.environ.get("PYTHONPATH", "")])
    for verb in (["encode", "folder", "-o", "new.h5"], ["query", str(FIRST)], ["dedup", "codes.h5"], ["info", "model"]):
        assert ganhash(*verb, env={**PLAIN, "PYTHONPATH": paths}).returncode == 0, verb
    assert not Path("connected").exists()
    probe = [sys.executable, "-c", "import socket; socket.getaddrinfo('127.0.0.1', 1)"]
    subprocess.run(probe, env={**PLAIN, "PYTHONPATH": paths}, check=True)
    assert Path("connected").exists()  # the watch sees what there is


@pytest.mark.parametrize("columns", [20, 30, 59])
def test_help_on_a_narrow_terminal_cuts_no_word(columns: int, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = run(capsys, "query", "--help")
    assert (code, "…" in out, "differ in the fewest bits." in " ".join(out.split())) == (0, False, True)


def test_where_a_terminal_has_no_room_for_a_table_there_are_lines() -> None:
    code, shown = in_terminal("query", str(FIRST), "-k", "2", "--preview", "none", columns=20, environ={})
    assert (code, [line.split("\t")[0] for line in plain(shown)]) == (0, ["1", "2"])
