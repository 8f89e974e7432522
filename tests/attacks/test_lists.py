"""S6: settings and lists of strangers are refused in one line, and reach no file outside their folder."""

from pathlib import Path

import pytest

from pictures import paint
from test_encode_command import Printed, run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "inside").mkdir()
    paint(tmp_path / "outside.png", (1, 2, 3), 0)
    monkeypatch.chdir(tmp_path / "inside")
    return tmp_path / "inside"


SETTINGS = {
    "nested arrays": b"a = " + b"[" * 1_000_000,
    "nested tables": b"[a" + b".a" * 200_000 + b"]",
    "inline tables": b"a = " + b"{a=" * 100_000,
    "keys twice": b"[query]\nk = 1\nk = 2\n",
    "no text": b"\xff\xfe\x00",
    "NUL": b"a = '\0'",
    "endless number": b"[query]\nk = " + b"9" * 100_000,
    "endless text": b'[query]\nk = "' + b"a" * 5_000_000,
    "table for a value": b"[query.k]\nb = 1\n",
    "list for a table": b"query = [1]\n",
    "value for a table": b"query = 1\n",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SETTINGS)
def test_hostile_settings_are_exit_2(here: Path, capsys: Printed, name: str) -> None:
    (here / "ganhash.toml").write_bytes(SETTINGS[name])
    code, out, error = run(capsys, "query", "a.png")
    assert (code, out) == (2, ""), error
    assert "Traceback" not in error
    assert len(error) < 2000


LISTS = {
    "parent": b"path\n../outside.png\n",
    "deep parent": b"path\na/b/../../../outside.png\n",
    "absolute": b"path\n/etc/passwd\n",
    "passwd": b"path\n../../../../../../etc/passwd\n",
    "long field": b"path\n" + b"a" * 200_000 + b"\n",
    "open quote": b'path\n"' + b"a\n" * 100_000,
    "no text": b"\x00\xff\xfe\n",
    "many columns": b"path" + b",x" * 100_000 + b"\n",
    "other header": b"file,label\na.png,b\n",
    "formula": b"=cmd|' /C calc'!A0\n",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", LISTS)
def test_hostile_lists_are_exit_2(here: Path, capsys: Printed, name: str) -> None:
    from linear_hash import write_bundle

    write_bundle(Path("model"))
    (here / "list.csv").write_bytes(LISTS[name])
    code, out, error = run(capsys, "encode", "list.csv")
    assert (code, out) == (2, ""), error
    assert len(error) < 2000
    assert not Path("codes.h5").exists()
