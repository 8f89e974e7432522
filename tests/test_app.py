"""The command line as a whole: version, verbosity, settings, and how errors end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from cases import mostly_slow
from ganhash_cli import __version__, app, console
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.errors import GanhashError, Interrupted
from linear_hash import write_bundle
from pictures import paint_classes


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        app.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "--version") == (0, f"ganhash {__version__}\n", "")


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    code, _, _ = run(capsys, "encoed")
    assert code == 2


@pytest.mark.parametrize("arguments", [["-q", "plugins", "list"], ["plugins", "list", "-q"], ["sample", "out", "-q"]])
def test_quiet_works_before_and_after_the_verb(capsys: pytest.CaptureFixture[str], arguments: list[str]):
    code, _, error = run(capsys, *arguments)
    assert (code, error, console.verbosity) == (0, "", -1)


def test_training_on_an_empty_folder_is_exit_4_with_a_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "empty").mkdir()
    code, _, error = run(capsys, "train", tmp_path / "empty")
    assert code == 4
    assert "holds no usable image" in error
    assert "hint:" in error


def test_a_folder_that_is_not_there_is_exit_4(capsys: pytest.CaptureFixture[str]):
    code, _, error = run(capsys, "train", "nowhere")
    assert (code, "nowhere does not exist" in error) == (4, True)


def test_an_unknown_backbone_is_exit_2_with_close_spellings(capsys: pytest.CaptureFixture[str]):
    code, _, error = run(capsys, "train", "--backbone", "smalconv")
    assert (code, "did you mean 'smallconv'" in error) == (2, True)


@pytest.mark.parametrize("option", ["width=wide", "wdth=3", "width"])
def test_a_wrong_backbone_option_is_exit_2(capsys: pytest.CaptureFixture[str], option: str):
    code, _, error = run(capsys, "train", "--backbone", "smallconv", "-B", option)
    assert (code, "hint:" in error) == (2, True)


def test_settings_come_from_the_file_the_environment_and_options_in_rising_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    Path("ganhash.toml").write_text('[train]\nbackbone = "from-the-file"\n')
    assert "from-the-file" in run(capsys, "train")[2]
    monkeypatch.setenv("GANHASH_TRAIN_BACKBONE", "from-the-environment")
    assert "from-the-environment" in run(capsys, "train")[2]
    assert "from-the-option" in run(capsys, "train", "--backbone", "from-the-option")[2]


def test_a_broken_settings_file_is_named(capsys: pytest.CaptureFixture[str]):
    Path("ganhash.toml").write_text("[train")
    code, _, error = run(capsys, "train")
    assert (code, "ganhash.toml" in error) == (2, True)


def test_a_current_folder_that_was_removed_is_no_bug(capsys: pytest.CaptureFixture[str]):
    write_bundle(Path("../model"))
    model = Path("../model").resolve()
    Path("../here").rmdir()
    code, _, error = run(capsys, "encode", ".", "--model", model)
    assert (code, "the current folder was removed" in error, "cd FOLDER" in error) == (4, True, True)


def test_a_bug_is_one_line_and_a_traceback_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("ganhash_cli.engine.images.collect", lambda _: 1 / 0)
    code, _, error = run(capsys, "train", tmp_path)
    assert code == 1
    assert "bug in ganhash: ZeroDivisionError" in error
    assert "Traceback" not in error
    assert "Traceback" in run(capsys, "train", tmp_path, "-vv")[2]


@pytest.mark.parametrize("taken", [lambda: bytearray(1 << 60), lambda: torch.empty(1 << 60)], ids=["python", "torch"])
def test_running_out_of_memory_is_exit_7(
    taken: Callable[[], object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def too_much(_: object) -> None:
        taken()

    monkeypatch.setattr("ganhash_cli.engine.images.collect", too_much)
    code, _, error = run(capsys, "train", tmp_path)
    assert (code, "out of memory" in error) == (7, True)


def test_train_without_fakes_says_so_and_trains(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    folder = paint_classes(tmp_path / "images", each=4)
    code, out, error = run(capsys, "train", folder, "--backbone", "smallconv", "-B", "width=8", "--epochs", "1")
    assert code == 0
    assert "regulariser is off" in error
    assert "ganhash generate" in error
    assert "48 bits" in out


def test_train_names_skipped_files_and_ends_with_exit_3(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    folder = paint_classes(tmp_path / "images", each=4)
    (folder / "red" / "bad.png").write_bytes(b"no image")
    arguments = ("train", folder, "--backbone", "smallconv", "-B", "width=8", "--epochs", "1")
    code, _, error = run(capsys, *arguments)
    assert (code, "bad.png" in error) == (3, True)
    assert run(capsys, *arguments, "--strict", "--overwrite")[0] == 4


def test_before_images_that_cannot_teach_are_refused_those_left_out_and_the_poor_class_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    folder = paint_classes(tmp_path / "images", each=2)
    rows = ["path,label", "red/00.png,a", "red/01.png,a", "blue/00.png,b", "blue/nowhere.png,b"]
    (folder / "list.csv").write_text("\n".join(rows))
    code, _, error = run(capsys, "train", folder / "list.csv", "--backbone", "smallconv")
    assert code == 4
    assert error.index("warning: skipped ../images/blue/nowhere.png: missing") < error.index(
        "error: training needs two"
    )
    assert "hint: add images: 'b' has 1" in error


def test_ctrl_c_while_training_saves_and_the_same_command_finishes(tmp_path: Path):
    folder = paint_classes(tmp_path / "images", each=8)
    command = [sys.executable, "-m", "ganhash_cli", "train", str(folder), "--backbone", "smallconv", "-B", "width=8"]
    command += ["--epochs", "300", "--batch", "8"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not Path("model/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in error
    assert list(Path("model/checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize("options", mostly_slow([[], ["-q"], ["--json"]], []))
def test_ctrl_c_while_torch_loads_waits_for_its_end_and_says_that_nothing_was_written(options: list[str]) -> None:
    program = """
import os, signal, sys
class Stop:
    def find_spec(self, name, *_):
        if name == "ganhash_cli.engine.trainer":
            os.kill(os.getpid(), signal.SIGINT)
            print("still there")
sys.meta_path.insert(0, Stop())
from ganhash_cli.app import main
main(["train", ".", *sys.argv[1:]])
"""
    ended = subprocess.run([sys.executable, "-c", program, *options], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (130, "still there\n")
    assert "interrupted, nothing was written" in ended.stderr


def test_who_is_stopped_at_once_is_told_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app.settings, "unknown", stop)
    code, _, error = run(capsys, "plugins", "list", "-q")
    assert (code, error.startswith("stopped at once; the same command goes on")) == (130, True)


def test_ctrl_c_while_the_command_line_loads_ends_as_quietly_as_later() -> None:
    program = """
import sys
class Stop:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from ganhash_cli.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_installed_command_starts_there() -> None:
    [script] = entry_points(group="console_scripts", name="ganhash")
    assert script.value == "ganhash_cli.__main__:main"


def test_names_from_files_cannot_move_the_cursor_or_hide():
    assert console.safe(b"a\x1b[2J\xff\n") == "a\\x1b[2J\\xff\\x0a"
    assert console.safe("a\u202eb") == "a\\u202eb"


def test_following_gives_the_result_and_passes_an_interruption_into_the_work():
    def work() -> Work[str]:
        try:
            yield Progress("one", 1, 2)
            os.kill(os.getpid(), signal.SIGTERM)
            yield Progress("two", 2, 2)
        except Interrupted as stop:
            return f"saved after {stop.signal.name}"
        return "finished"

    assert console.follow(work()) == "saved after SIGTERM"


def test_every_error_has_an_exit_code_of_its_own():
    codes = [kind.exit_code for kind in GanhashError.__subclasses__() if kind is not Interrupted]
    assert sorted(codes) == [2, 4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[query]\nkk = 3", "there is no option 'kk'"),
        ("[qeury]\nk = 3", "there is no command 'qeury'; did you mean 'query'?"),
        ("k = 3", "there is no option 'k'"),
        ("[query]\nmax-distnace = 3", "did you mean 'max_distance'?"),
        ("[plugins.lst]\njson = true", "there is no command 'lst'; did you mean 'list'?"),
    ],
)
def test_a_setting_that_no_command_knows_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("ganhash.toml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        app.main(["plugins", "list"])
    assert (ended.value.code, said in capsys.readouterr().err) == (2, True)


def test_a_setting_may_be_spelt_as_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("ganhash.toml").write_text("[train]\nentropy-weight = -1\n")
    with pytest.raises(SystemExit) as ended:
        app.main(["train", "--backbone", "smallconv"])
    assert (ended.value.code, "entropy-weight" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("own", "seen"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_threads_that_wait_spin_briefly_unless_the_person_says_otherwise(own: dict[str, str], seen: str):
    program = (
        "import os\nfrom ganhash_cli.app import main\n"
        "try: main(['--version'])\nexcept SystemExit: print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", program], env=plain | own, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == seen


@pytest.mark.parametrize("words", [["train", "--bits", "0"], ["generate", "--size", "500"]])
def test_a_number_out_of_its_limits_is_refused_before_torch_is_loaded(words: list[str]):
    program = (
        "import sys\nfrom ganhash_cli.app import main\n"
        f"try: main({words})\nexcept SystemExit as ended: print(ended.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, "must be from" in done.stderr) == ("2 False\n", True)
