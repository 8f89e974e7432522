"""What shells offer after TAB: asked of the scripts that are installed, in real shells, and never with torch."""

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganhash_cli.commands import completion
from ganhash_cli.engine.diffaugment import STEPS
from ganhash_cli.engine.losses import LOSSES
from ganhash_cli.plugin import registry, source
from ganhash_cli.plugin.options import options_of
from stranger import beside, install

HOSTILE = r"""
class Plugin:
    def __init__(self, *, plain: int = 8, other: str = "\\$(touch evaluated)", wide: bool = True): ...
open("imported", "w")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to complete in, with a file, a folder and `ganhash` on the path; a home for settings of shells."""
    place = tmp_path / "here"
    (place / "photos").mkdir(parents=True)
    (place / "picture.png").write_bytes(b"")
    command = tmp_path / "bin" / "ganhash"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ganhash_cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(place)
    return place


def ask(line: str, **environment: str) -> list[str]:
    """Return what is offered for the last word of a line, as bash asks for it."""
    words = line.split(" ")
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), completion.ASKED: "complete_bash"}
    command = [sys.executable, "-m", "ganhash_cli"]
    done = subprocess.run(command, env={**os.environ, **asked, **environment}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


INSTALLED = {"bash": ".bash_completions/ganhash.sh", "fish": ".config/fish/completions/ganhash.fish"}


def installed(shell: str) -> str:
    """Let `ganhash --install-completion` write into the home that the test made, and return the script it wrote."""
    asked = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    subprocess.run(["ganhash", "--install-completion", shell], env=asked, capture_output=True, check=True)
    return (Path.home() / INSTALLED[shell]).read_text() if shell in INSTALLED else ""


def press_tab(shell: str, lines: list[str]) -> list[str]:
    """Type each line, TAB and an X at a real interactive shell; return the lines as they then stand."""
    installed(shell)
    begin = {"bash": ["bash", "--noprofile", "-i"], "zsh": ["zsh", "-d", "-i"]}[shell]  # each reads the home's settings
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "TERM": "dumb"}
    process = subprocess.Popen(
        begin, env=environment, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True
    )
    os.close(its_end)
    try:
        os.write(terminal, b"echo LOAD''ED\n")
        wait_for(terminal, r"LOADED\r?\n")
        typed = []
        for line in ["ganhash ", *lines]:  # the first TAB in a terminal makes zsh load the script, and does no more
            os.write(terminal, f'{line}\tX\x01echo "[\x05]"\n'.encode())
            typed.append(wait_for(terminal, r"\n\[(.*?)\]\r?\n")[1])
        return typed[1:]
    finally:
        os.write(terminal, b"\x15exit\n")
        process.wait(20)
        os.close(terminal)


def wait_for(terminal: int, pattern: str, seconds: float = 20) -> re.Match[str]:
    """Read from a terminal until a pattern is there."""
    read, deadline = "", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            read += os.read(terminal, 4096).decode(errors="replace")
        if found := re.search(pattern, read, re.DOTALL):
            return found
    raise AssertionError(f"{pattern} is not in {read!r}")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ganhash tra", {"train"}),
        ("ganhash train --lo", {"--loss"}),
        ("ganhash train --loss tri", {"triplet"}),
        ("ganhash train --entropy-on m", {"mixup"}),
        ("ganhash train --backbone s", {"smallconv"}),
        ("ganhash train -b e", {"efficientnet_lite0"}),
        ("ganhash generate --generator d", {"dcgan", "ddpm"}),
        ("ganhash generate --features small", {"smallconv"}),
        ("ganhash generate --augment translation,c", {"translation,cutout", "translation,color"}),
        ("ganhash train -b resnet50 -B pre", {"pretrained=", "pretrained=true", "pretrained=false"}),
        ("ganhash train -B fr", {"frozen=", "frozen=0"}),
        ("ganhash train --loss triplet -L ", {"margin=", "semi_hard="}),
        ("ganhash train --loss triplet -L m", {"margin=", "margin=none"}),
        ("ganhash train --loss itq -L ", set()),
        ("ganhash plugins sh", {"show"}),
        ("ganhash plugins show b", {"backbone"}),
        ("ganhash plugins show backbone small", {"smallconv"}),
        ("ganhash plugins check backbone smallconv -B wi", {"width=", "width=32"}),
        ("ganhash train ph", set()),  # nothing of ours, so that the shell offers its files
        ("ganhash query --codes ph", set()),
    ],
)
def test_names_options_and_values_are_offered(line: str, offered: set[str]) -> None:
    assert set(ask(line)) == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ganhash train -b resnet50 -B pretrained =", {"true", "false"}),
        ("ganhash train -b resnet50 -B pretrained = t", {"true"}),
        ("ganhash train --loss =", {loss for loss in (*LOSSES, "itq")}),
        ("ganhash train --loss = tri", {"triplet"}),
    ],
)
def test_values_are_offered_where_bash_breaks_words_at_the_equals_sign(words: str, offered: set[str]) -> None:
    assert set(ask(words)) == offered


def test_every_generator_and_backbone_is_offered() -> None:
    for kind, line in (("generator", "ganhash generate -g "), ("backbone", "ganhash train -b ")):
        assert set(ask(line)) == {plugin.name for plugin in registry.plugins(kind)}


def test_the_steps_of_augmentation_are_those_of_the_engine() -> None:
    assert set(completion.augmentations("")) == {*STEPS, "none"}


BUILT_IN = [plugin for kind in registry.KINDS for plugin in registry.plugins(kind) if plugin.package == "ganhash"]


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda plugin: plugin.name)
def test_the_options_read_from_the_source_are_those_of_the_built_ins(plugin: registry.Plugin) -> None:
    spec = source.module_spec(plugin.entry.module)
    assert spec is not None
    read = source.written_options(Path(str(spec.origin)), plugin.entry.attr)
    assert read == {option.name: option.default for option in options_of(plugin.load())}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_options_read_from_the_source_are_those_of_the_losses(loss: str) -> None:
    file = Path(sys.modules[LOSSES[loss].__module__].__file__ or "")
    assert file == completion._LOSSES / f"{loss}.py"
    assert source.written_options(file, loss) == {o.name: o.default for o in options_of(LOSSES[loss])}


@pytest.mark.parametrize(
    "line", ["ganhash ", "ganhash train -b ", "ganhash train -B ", "ganhash train -L ", "ganhash generate -g "]
)
def test_no_answer_imports_torch_or_any_plugin(line: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(here, monkeypatch, "stranger", "open('imported', 'w')\nclass Plugin: ...")
    monkeypatch.setenv("PYTHONPATH", beside(here / "site-stranger"))
    program = (
        "import atexit, json, sys\nfrom ganhash_cli.app import main\n"
        "atexit.register(lambda: json.dump(sorted(sys.modules), open('modules', 'w')))\nmain()"
    )
    words = line.split(" ")
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), completion.ASKED: "complete_bash"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    loaded = set(json.loads(Path("modules").read_text()))
    heavy = {"torch", "numpy", "h5py", "PIL", "timm", "torchvision", "onnxruntime", "ganhash_plugins", "stranger"}
    assert (bool(done.stdout), heavy & loaded, Path("imported").exists()) == (True, set(), False)


def test_a_settings_file_that_is_broken_does_not_disturb(here: Path) -> None:
    Path("ganhash.toml").write_text("[train")
    assert ask("ganhash tra") == ["train"]


@pytest.mark.parametrize("code", ["class Plugin(", "\0", "Plugin = 3", "class Plugin: ..."])
def test_a_plugin_that_cannot_be_read_has_no_options(code: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(here, monkeypatch, "stranger", code)
    assert ask("ganhash train -b odd -B ", PYTHONPATH=beside(here / "site-stranger")) == []


@pytest.mark.parametrize("name", ["$(touch evaluated)", "a b", "\x1b[31mred", "`touch evaluated`"])
def test_a_name_that_a_shell_might_take_for_more_is_not_offered(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(here, monkeypatch, "stranger", HOSTILE, name=name)
    found = ask("ganhash train -b ", PYTHONPATH=beside(here / "site-stranger"))
    assert found == sorted(plugin.name for plugin in registry.plugins("backbone") if plugin.name != name)


CASES = [
    ("ganhash tra", ["train"]),
    ("ganhash generate --generator d", ["dcgan", "ddpm"]),
    ("ganhash train --loss tri", ["triplet"]),
    ("ganhash train -B fr", ["frozen=", "frozen=0"]),
    ("ganhash train ph", ["photos/"]),
    ("ganhash train --model ph", ["photos/"]),
    ("ganhash info p", ["photos/", "picture.png"]),
    ("ganhash train -b odd -B ", ["other=", "plain=", "wide="]),
]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_offers(line: str, offered: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(here, monkeypatch, "stranger", HOSTILE)
    monkeypatch.setenv("PYTHONPATH", beside(here / "site-stranger"))
    program = f"{installed('fish')}\ncomplete -C {shlex.quote(line)}"
    done = subprocess.run(["fish", "--no-config", "-c", program], capture_output=True, text=True, check=True)
    assert (sorted(row.partition("\t")[0] for row in done.stdout.splitlines()), done.stderr) == (offered, "")


BASH = r"""
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _ganhash_completion ganhash
if [ ${#COMPREPLY[@]} = 0 ]; then COMPREPLY=($(compgen -o default -- "${@: -1}")); fi
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_offers(line: str, offered: list[str], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(here, monkeypatch, "stranger", HOSTILE)
    monkeypatch.setenv("PYTHONPATH", beside(here / "site-stranger"))
    command = ["bash", "--norc", "--noprofile", "-c", installed("bash") + BASH, "bash", *line.split(" ")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # What compgen prints for a folder lacks the slash that readline puts there.
    assert (sorted(done.stdout.split()), done.stderr) == ([name.rstrip("/") for name in offered], "")
    assert "complete -o default -F _ganhash_completion ganhash" in installed("bash")


TYPED = {
    "ganhash tra": "ganhash train X",
    "ganhash train --loss tri": "ganhash train --loss triplet X",
    "ganhash train -B fro": "ganhash train -B frozen=X",
    "ganhash train -b odd -B wide=f": "ganhash train -b odd -B wide=false X",
    "ganhash train --loss triplet -L mar": "ganhash train --loss triplet -L margin=X",
    "ganhash train -b odd -B ot": "ganhash train -b odd -B other= X",
    "ganhash train ph": "ganhash train photos/X",
    "ganhash query --codes pic": "ganhash query --codes picture.png X",
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_the_line(shell: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    install(here, monkeypatch, "stranger", HOSTILE)
    monkeypatch.setenv("PYTHONPATH", beside(here / "site-stranger"))
    assert dict(zip(TYPED, press_tab(shell, list(TYPED)), strict=True)) == TYPED
    assert not Path("evaluated").exists()
