"""A broken plugin, of whatever kind, fails its own use with its own exit code and breaks no other command."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cases import mostly_slow
from linear_hash import write_bundle
from pictures import paint_classes
from stranger import beside

HANG = 300  # seconds that the slow one would take, were it imported
LOUD = "import sys\nprint('noise')\nsys.stdout.write('more noise\\n')\n"
GOOD = "class Plugin:\n    def __init__(self, *, width: int = 8): ...\n"


@dataclass(frozen=True)
class Broken:
    """A module that is a plugin's, and the exit code and the words of `plugins show` for it."""

    code: str
    exit: int
    says: str


BROKEN = {
    "raises": Broken("raise RuntimeError('broken')", 9, "RuntimeError: broken"),
    "exits": Broken("import sys\nsys.exit(0)", 9, "SystemExit: 0"),
    "unwritten": Broken("def (", 9, "SyntaxError"),
    "absent": Broken("import no_such_module", 9, "No module named 'no_such_module'"),
    "nameless": Broken("other = 1", 9, "has no attribute 'Plugin'"),
    "number": Broken("Plugin = 3", 9, "is not a class or function"),
    "older": Broken(GOOD + "    contract_version = 0\n", 9, "written for version 0 of the contract"),
    "newer": Broken(GOOD + "    contract_version = 2\n", 9, "written for version 2 of the contract"),
    "variadic": Broken("def Plugin(**options): ...", 9, "options must be named"),
    "mistyped": Broken("def Plugin(*, width: list = []): ...", 9, "no plain type"),
    "evaluated": Broken("def Plugin(*, width: 'nothing' = 8): ...", 9, "its annotations cannot be read"),
    "crashes": Broken("import ctypes\nctypes.string_at(8)", -signal.SIGSEGV, "broken_crashes.py"),
    "twice": Broken(GOOD, 2, "is offered by broken-twice and by twin"),
    "prints": Broken(LOUD + GOOD, 0, ""),
    "slow": Broken(f"import time\ntime.sleep({HANG})", 0, ""),  # never used: it would be waited for
}
BAD_METADATA = {
    "no_version": (
        "Metadata-Version: 2.1\nName: no-version\n",
        "[ganhash.backbones]\nversionless = no_version:Plugin\n",
    ),
    "no_name": ("Metadata-Version: 2.1\nVersion: 1.0\n", "[ganhash.backbones]\nanonymous = no_name:Plugin\n"),
    "escapes": (
        "Metadata-Version: 2.1\nName: escapes\nVersion: 1.0\n",
        "[ganhash.backbones]\n\x1b[31mred = escapes:Plugin\n",
    ),
    "binary": ("\0\1\2", "\0\1\2"),
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    error: str
    seconds: float


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, each broken in its own way."""
    place = tmp_path_factory.mktemp("site")
    for name, broken in BROKEN.items():
        _package(place, f"broken-{name}", name, broken.code)
    _package(place, "twin", "twice", GOOD)
    for name, (metadata, entries) in BAD_METADATA.items():
        _write(place, name, "1.0", metadata, entries, GOOD)
    return place


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, 36 images and a query."""
    place = tmp_path_factory.mktemp("workspace")
    write_bundle(place / "model")
    paint_classes(place / "folder")
    assert ganhash(place, "encode", "folder").code == 0
    return place


def ganhash(folder: Path, *arguments: str, site: Path | None = None, seconds: float = HANG / 2) -> Ended:
    """Run the command line as a process of its own, beside the packages in `site`."""
    environment = {**os.environ, **({"PYTHONPATH": beside(site)} if site else {})}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ganhash_cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def _package(site: Path, package: str, plugin: str, code: str) -> None:
    module = package.replace("-", "_")
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    entries = "".join(f"[ganhash.{kind}s]\n{plugin} = {module}:Plugin\n" for kind in ("backbone", "generator"))
    _write(site, module, "1.0", metadata, entries, code)


def _write(site: Path, module: str, version: str, metadata: str, entries: str, code: str) -> None:
    information = site / f"{module}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(metadata)
    (information / "entry_points.txt").write_text(entries)
    (site / f"{module}.py").write_text(code)


def steady(text: str) -> str:
    """Leave out what differs from run to run: times and rates."""
    return re.sub(r"[\d.,]+ (ms|s|images/s)\b|images/s [\d.,]+", "", text)


OTHER_COMMANDS = [
    ["--version"],
    ["--help"],
    ["plugins", "show", "backbone", "smallconv"],
    ["plugins", "show", "generator", "tiny", "--json"],
    ["encode", "folder", "-o", "new.h5"],
    ["query", "folder/blue/00.png", "--json"],
    ["info", "model"],
    ["verify", "model"],
    ["sample", "sample"],
]


@pytest.mark.parametrize("arguments", OTHER_COMMANDS, ids=" ".join)
def test_no_other_command_is_broken(arguments: list[str], site: Path, workspace: Path, tmp_path: Path) -> None:
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for folder in (alone, beside):
        shutil.copytree(workspace, folder)
    wanted, found = ganhash(alone, *arguments), ganhash(beside, *arguments, site=site)
    assert wanted.code == 0, wanted.error
    assert (found.code, steady(found.out), steady(found.error)) == (0, steady(wanted.out), steady(wanted.error))


def test_help_waits_for_no_plugin(site: Path, workspace: Path) -> None:
    """P1: by what is imported, as the time of a command depends on the machine."""
    program = (
        "import sys; from ganhash_cli import app\ntry: app.main(['train', '--help'])\nfinally: print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": beside(site)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=workspace, capture_output=True, text=True, timeout=60
    )
    assert [name for name in done.stdout.splitlines()[-1].split() if name.startswith("broken_")] == []
    assert "Usage" in done.stdout


def test_where_none_is_allowed_none_is_found(site: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: `GANHASH_PLUGINS=none`; what crashes is not even asked for."""
    monkeypatch.setenv("GANHASH_PLUGINS", "none")
    ended = ganhash(workspace, "plugins", "show", "backbone", "crashes", site=site)
    assert (ended.code, "no backbone named 'crashes'" in ended.error) == (2, True), ended.error


def test_training_with_another_plugin_is_not_broken(site: Path, workspace: Path) -> None:
    small = "-b smallconv -B width=8 --bits 12 --epochs 1 --batch 12 --size 32 --no-fakes --device cpu"
    ended = ganhash(workspace, "train", "folder", "--model", "trained", *small.split(), site=site)
    assert ended.code == 0, ended.error


def test_the_list_shows_every_plugin_that_can_be_read(site: Path, workspace: Path) -> None:
    ended = ganhash(workspace, "plugins", "list", "--json", site=site)
    records = [json.loads(line) for line in ended.out.splitlines()]
    names = {record["name"] for record in records if record["kind"] == "backbone"}
    assert ended.code == 0, ended.error
    assert names >= {*BROKEN, "versionless", "anonymous", "smallconv"}


def test_the_list_is_fit_for_a_terminal(site: Path, workspace: Path) -> None:
    assert "\x1b" not in ganhash(workspace, "plugins", "list", site=site).out


@pytest.mark.parametrize("name", [name for name, broken in BROKEN.items() if broken.exit > 0])
@pytest.mark.parametrize(
    "arguments", mostly_slow([["plugins", "show"], ["plugins", "check"]], ["plugins", "show"]), ids=" ".join
)
def test_its_own_use_is_refused_in_one_line_that_says_whose_fault_it_is(
    arguments: list[str], name: str, site: Path, workspace: Path
) -> None:
    """P1: exit 9 for whatever is broken, 2 where two packages offer one name."""
    ended = ganhash(workspace, *arguments, "backbone", name, site=site)
    assert ended.code == BROKEN[name].exit, ended.error
    assert BROKEN[name].says in ended.error + ended.out
    assert "Traceback" not in ended.error
    assert arguments == ["plugins", "check"] or ended.out == ""


def test_one_that_crashes_is_found_in_what_the_crash_says(site: Path, workspace: Path) -> None:
    """P1: the process dies by its signal, of which no exit code is left to choose."""
    ended = ganhash(workspace, "plugins", "show", "backbone", "crashes", site=site)
    assert (ended.code, ended.out) == (BROKEN["crashes"].exit, "")
    assert BROKEN["crashes"].says in ended.error
    assert "Segmentation fault" in ended.error


def test_what_a_plugin_prints_while_it_is_imported_does_not_stand_among_results(site: Path, workspace: Path) -> None:
    ended = ganhash(workspace, "plugins", "show", "backbone", "prints", "--json", site=site)
    assert json.loads(ended.out)["name"] == "prints"
    assert "noise" in ended.error


def test_training_with_a_plugin_that_exits_is_a_plugin_error(site: Path, workspace: Path) -> None:
    ended = ganhash(workspace, "train", "folder", "--model", "never", "-b", "exits", site=site)
    assert (ended.code, (workspace / "never").exists()) == (9, False)
