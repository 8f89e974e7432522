"""The documentation is true: its commands and programs run, its links lead somewhere, its tables are complete.

A ```sh block of a page must be preceded by a comment that says how it is tested:

    <!-- test: fast, workspace -->      a minute at most; PLACE says what stands in the folder it runs in
    <!-- test: slow, images -->         longer; only `make test-slow` runs it
    <!-- test: not run: the reason -->

The ```python blocks of a page run in their order, in one namespace, in the workspace.
"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

import ganhash_cli as ganhash
from ganhash_cli import errors
from ganhash_cli.app import app
from ganhash_cli.engine import backbones, devices, trainer
from pictures import paint, paint_classes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("examples/*/*.md")),
]
PLACES = ("empty", "images", "workspace", "repository")
NOT_RUN_AT_MOST = 2
SLOW_SECONDS = 3600


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def speed(self) -> str:
        return self.mark.partition(",")[0]

    @property
    def place(self) -> str:
        return self.mark.partition(",")[2].strip()


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text()
    fenced = re.finditer(r"^(?:<!-- test: ([^\n]*) -->\n)?```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [Block(page, text.count("\n", 0, m.start(2)) + 1, m[2], m[3], m[1] or "") for m in fenced]
    return [block for block in found if block.language == language]


SHELL = [block for page in PAGES for block in blocks(page, "sh")]
PYTHON = {page: found for page in PAGES if (found := blocks(page, "python"))}


def shell_case(block: Block) -> Any:
    slow = [pytest.mark.slow, pytest.mark.timeout(SLOW_SECONDS)] if block.speed == "slow" else []
    return pytest.param(block, id=block.name, marks=slow)


RUN = [shell_case(block) for block in SHELL if block.speed in ("fast", "slow")]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a person may have it: photos in classes, a list of them, a folder to search and a query."""
    place = tmp_path_factory.mktemp("images")
    photos = paint_classes(place / "photos")
    shutil.copytree(photos, place / "folder")
    paint(place / "img.jpg", (190, 50, 50), seed=7)
    rows = [f"photos/{file.parent.name}/{file.name}" for file in sorted(photos.rglob("*.png"))]
    lines = [f"{row},{row.split('/')[1]},{'warm' if 'red' in row else ''}," for row in rows]
    (place / "labels.csv").write_text("\n".join(["path,label,label,split", *lines]) + "\n")
    return place


@pytest.fixture(scope="module")
def workspace(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a small trained model and the codes of `folder/`."""
    place = tmp_path_factory.mktemp("workspace") / "here"
    shutil.copytree(images, place)
    settings = trainer.TrainSettings(backbone=backbones.identify("smallconv", {"width": "8"}), epochs=4, batch=12)
    photos = ganhash.images.from_folder(place / "photos")
    work = trainer.train(photos, "photos", settings, place / "model", fakes=None, device=devices.choose("cpu"))
    bundle, _ = ganhash.finish(work)
    ganhash.finish(ganhash.encode(bundle, ganhash.images.collect(place / "folder"), place / "codes.h5"))
    return place


@pytest.fixture
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A fresh folder with what the block's comment asks for."""
    place = request.node.callspec.params["block"].place if "block" in request.fixturenames else "workspace"
    target = tmp_path / "here"
    if place == "empty":
        target.mkdir()
    elif place == "repository":
        built = shutil.ignore_patterns(".git", ".venv", "build", "dist", ".*_cache", "__pycache__")
        shutil.copytree(ROOT, target, ignore=built)
    else:
        shutil.copytree(request.getfixturevalue(place), target)
        relocate(target)
    return target


def relocate(place: Path) -> None:
    """Encode anew where the copied codes name another root."""
    codes = place / "codes.h5"
    if codes.exists():
        bundle = ganhash.Bundle.open(place / "model")
        ganhash.finish(ganhash.encode(bundle, ganhash.images.collect(place / "folder"), codes, overwrite=True))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The person's environment with `ganhash` on the path, none of its settings, and no hub."""
    command = tmp_path / "bin" / "ganhash"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ganhash_cli "$@"\n')
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GANHASH_")}
    own = {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": os.fspath(tmp_path / "cache")}
    return {**kept, **own, "PATH": f"{command.parent}:{os.environ['PATH']}"}


def test_every_shell_block_says_how_it_is_tested() -> None:
    plain = [b.name for b in SHELL if not re.fullmatch(rf"(fast|slow), ({'|'.join(PLACES)})|not run: .+", b.mark)]
    assert plain == []


def test_only_a_few_shell_blocks_are_not_run() -> None:
    assert len([block for block in SHELL if block.speed.startswith("not run")]) <= NOT_RUN_AT_MOST


@pytest.mark.parametrize("block", RUN)
def test_the_shell_blocks_run(block: Block, here: Path, environment: dict[str, str]) -> None:
    command = ["sh", "-eu", "-c", block.text]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.name}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_the_python_blocks_run(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in PYTHON[page]:
        exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


def test_the_python_api_finds_neighbours_in_ten_lines(here: Path, environment: dict[str, str]) -> None:
    program = [sys.executable, ROOT / "examples" / "python_api.py", "model", "folder", "img.jpg"]
    done = subprocess.run(program, cwd=here, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all((here / row[2]).is_file() for row in rows)


@pytest.mark.parametrize("name", ganhash.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ganhash, name) is not None


def test_the_public_names_are_sorted_and_no_others_are_offered() -> None:
    assert list(ganhash.__all__) == sorted(ganhash.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ganhash.nonsense


def test_importing_the_package_loads_nothing_of_the_engine() -> None:
    program = "import sys, ganhash_cli; print([name for name in sys.modules if name.startswith('ganhash_cli.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_of_commands_is_what_the_commands_say(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "typer", "ganhash_cli.app", "utils", "docs", "--name", "ganhash"]
    subprocess.run([*command, "--output", tmp_path / "cli.md"], check=True, capture_output=True)
    written = (DOCS / "cli.md").read_text()
    assert written == (tmp_path / "cli.md").read_text(), "`make docs` writes docs/cli.md anew"


@pytest.mark.parametrize("page", ["results.md", "performance.md", "reliability.md", "dedup.md", "../README.md"])
def test_a_page_of_figures_is_what_the_files_say(page: str) -> None:
    build = runpy.run_path(str(DOCS / "results" / "build.py"))
    written = (DOCS / page).read_text()
    assert build["page"](written) == written, "`make docs` builds the tables of its pages anew"


def commands(command: Any = None, name: str = "ganhash") -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(app)
    yield name, command
    for below, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{name} {below}")


def test_every_verb_and_every_option_has_a_help_text() -> None:
    silent = [name for name, command in commands() if not command.help]
    silent += [f"{name} {p.name}" for name, command in commands() for p in command.params if not p.help]
    assert silent == []


def test_lists_of_commands_say_a_whole_sentence_of_each() -> None:
    below = {name: command.get_short_help_str() for name, command in commands() if name != "ganhash"}
    assert {name: text for name, text in below.items() if not re.fullmatch(r"[A-Z].*[^.]\.", text)} == {}


def test_the_readme_names_every_verb() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name, _ in commands() if name.count(" ") < 2 and name not in readme] == []


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text())


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if "://" in link or (file.exists() and (not anchor or anchor in anchors(file))):
            continue
        broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`((?:docs|examples|plugins|ganhash_cli|tests)/[\w./-]*)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_picture_of_the_house_names_every_file_of_the_engine() -> None:
    named = set(re.findall(r"\w+\.py", (DOCS / "architecture.md").read_text()))
    files = [*(ROOT / "ganhash_cli").rglob("[!_]*.py"), *(ROOT / "plugins").rglob("[!_]*.py")]
    assert [file.name for file in files if file.name not in named] == []


def test_the_table_of_exit_codes_is_complete() -> None:
    listed = re.findall(r"^\| (\d+(?:, \d+)*) \|", (DOCS / "quickstart.md").read_text(), re.MULTILINE)
    codes = {int(code) for row in listed for code in row.split(", ")}
    raised = {error.exit_code for error in errors.GanhashError.__subclasses__() if error is not errors.Interrupted}
    assert codes == {0, errors.GanhashError.exit_code, 3, 129, 130, 143} | raised


def test_the_projection_of_costs_follows_their_law_and_says_how_far_off_it_would_have_been() -> None:
    growth = runpy.run_path(str(DOCS / "results" / "growth.py"))
    rows = [{"codes": 10**power} | dict.fromkeys(growth["FIGURES"].values(), 3e-9 * 10**power) for power in range(4, 8)]
    rows[-1]["exact_seconds"] *= 2
    assert growth["power_law"](rows, "build_seconds") == pytest.approx((3e-9, 1))
    table = {row[0]: row[1:] for row in growth["projected"](rows, lambda _, body: body)}
    assert table["building the index"] == ["N^1.00", "3 s", "30 s", "30 ms, +0%"]
    assert table["one exact query"][-1] == "30 ms, -50%"
    assert "Too few" in growth["projected"](rows[:3], None)
