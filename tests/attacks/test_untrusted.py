"""S4: codes of strangers that crash, hang or exhaust HDF5 do so in a process of its own; that is exit 6."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganhash_cli.engine import codes, untrusted
from ganhash_cli.engine.untrusted import require_harmless
from ganhash_cli.errors import CorruptError, InputError, StorageError
from linear_hash import write_bundle
from pictures import paint_classes
from test_codes import HEADER, rows
from test_encode_command import Printed, run

CHILD = "import os, signal, sys, time\nfrom ganhash_cli.engine import codes, untrusted\n"
CRASHES = CHILD + "codes.verify = lambda path: os.kill(os.getpid(), signal.SIGSEGV)\nuntrusted.read_and_tell()"
SPINS = """
import sys
from ganhash_cli.engine import codes, untrusted
def spin(path):
    while True:
        pass
sys.argv[2], codes.verify = "1", spin
untrusted.read_and_tell()
"""
SLEEPS = CHILD + "time.sleep(100)"
EATS = CHILD + "codes.verify = lambda path: bytearray(3 << 30)\nuntrusted.read_and_tell()"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    codes.write(tmp_path / "codes.h5", HEADER, rows(labels=[(0,), (), (1,), (0,), (1,)]))
    return tmp_path / "codes.h5"


def test_a_sound_file_is_let_through(stored: Path) -> None:
    """S3: no false refusal."""
    assert require_harmless(stored) is None


def test_a_damaged_file_is_refused_with_its_reason(stored: Path) -> None:
    content = bytearray(stored.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    stored.write_bytes(content)
    with pytest.raises(CorruptError, match=r"checksum|damaged"):
        require_harmless(stored)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("child", "reason"),
    [(CRASHES, "SIGSEGV"), (SPINS, "SIGXCPU"), (SLEEPS, "cannot be read within 2 s"), (EATS, "exit 1")],
    ids=["crashes", "spins", "sleeps", "eats"],
)
def test_what_happens_to_the_reader_does_not_happen_here(
    stored: Path, monkeypatch: pytest.MonkeyPatch, child: str, reason: str
) -> None:
    monkeypatch.setattr(untrusted, "_CHILD", child)
    if child == SLEEPS:
        monkeypatch.setattr(untrusted, "_SECONDS", 1)
    with pytest.raises(CorruptError, match=rf"refused as unsafe.*{reason}"):
        require_harmless(stored)


def test_a_file_that_may_not_be_opened_is_not_called_unsafe(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = "from ganhash_cli.errors import InputError\ndef refuse(path):\n    raise InputError('Permission denied')\n"
    monkeypatch.setattr(untrusted, "_CHILD", f"{CHILD}{denied}codes.verify = refuse\nuntrusted.read_and_tell()")
    with pytest.raises(InputError, match="Permission denied"):
        require_harmless(stored)


def test_a_reader_that_cannot_start_is_a_storage_error(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(stored.parent / "none"))
    with pytest.raises(StorageError, match="cannot start a process that reads"):
        require_harmless(stored)


COMMANDS = [
    ["info", "codes.h5"],
    ["verify", "codes.h5"],
    ["query", "folder/red/00.png"],
    ["evaluate", "--queries", "folder"],
    ["dedup", "codes.h5"],
    ["dedup", "folder", "--reference", "codes.h5"],
    ["report", "--codes", "codes.h5"],
    ["merge", "codes.h5", "-o", "whole.h5"],
    ["push", "codes.h5", "--to", "memory://none"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_that_opens_codes_takes_the_option(
    stored: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(untrusted, "_CHILD", CRASHES)
    monkeypatch.chdir(stored.parent)
    write_bundle(Path("model"))
    paint_classes(Path("folder"), each=1)
    code, out, error = run(capsys, *arguments, "--untrusted")
    assert (code, out) == (6, "")
    assert "ended the process that read it (SIGSEGV)" in error


def test_a_server_always_has_codes_read_elsewhere_first(
    stored: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "_CHILD", CRASHES)
    monkeypatch.chdir(stored.parent)
    write_bundle(Path("model"))
    code, _, error = run(capsys, "serve", "--port", "0")
    assert code == 6
    assert "SIGSEGV" in error


def test_the_reader_leaves_nothing_and_says_nothing(stored: Path) -> None:
    program = f"""
from pathlib import Path
from ganhash_cli.engine.untrusted import require_harmless
require_harmless(Path({os.fspath(stored)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=stored.parent, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [path.name for path in stored.parent.iterdir()] == ["codes.h5"]
