"""`ganhash encode --shard` and `ganhash merge` from the outside: what they print, how they end, and killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ganhash_cli.engine import codes, merger
from linear_hash import BITS, write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a model and 36 images to work in."""
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("model"))
    paint_classes(Path("folder"))


@pytest.fixture
def parts(capsys: Printed) -> list[str]:
    named = [f"part-{number}.h5" for number in (1, 2, 3)]
    for number, part in enumerate(named, start=1):
        assert run(capsys, "encode", "folder", "--shard", f"{number}/3", "-o", part)[0] == 0
    return named


def test_parts_become_codes(parts: list[str], capsys: Printed) -> None:
    code, out, error = run(capsys, "merge", *parts)
    assert code == 0
    assert out.startswith(f"codes.h5: 36 images, {BITS} bits, of 3 parts\n")
    assert "next: ganhash query IMAGE" in error
    assert "36 kept" in run(capsys, "encode", "folder")[1]


def test_json_is_one_object(parts: list[str], capsys: Printed) -> None:
    _, out, _ = run(capsys, "merge", *parts, "-o", "deep/down.h5", "--json")
    record = json.loads(out)
    assert (record["images"], record["parts"], record["output"]) == (36, 3, "deep/down.h5")


def test_info_and_encode_say_which_shard_it_is(parts: list[str], capsys: Printed) -> None:
    assert json.loads(run(capsys, "info", parts[1], "--json")[1])["shard"] == "2/3"
    assert "ganhash merge" in run(capsys, "encode", "folder", "--shard", "2/3", "-o", parts[1])[2]


def test_a_part_needs_a_name(capsys: Printed) -> None:
    code, _, error = run(capsys, "encode", "folder", "--shard", "3/16")
    assert (code, "-o part-03.h5" in error, Path("codes.h5").exists()) == (2, True, False)


@pytest.mark.parametrize("text", ["3", "17/16", "0/16"])
def test_what_names_no_shard_is_exit_2(text: str, capsys: Printed) -> None:
    code, _, error = run(capsys, "encode", "folder", "--shard", text, "-o", "part.h5")
    assert (code, f"--shard {text}" in error) == (2, True)


def test_a_lost_part_is_exit_4_and_a_half_written_one_exit_6(parts: list[str], capsys: Printed) -> None:
    code, _, error = run(capsys, "merge", parts[0], parts[2])
    assert (code, "of 3 shards 1 is missing: 2" in error) == (4, True)
    Path(parts[1]).write_bytes(Path(parts[1]).read_bytes()[:-100])
    code, _, error = run(capsys, "merge", *parts)
    assert (code, "part-2.h5" in error, Path("codes.h5").exists()) == (6, True, False)


def test_nothing_named_and_nothing_there_are_errors(capsys: Printed) -> None:
    assert run(capsys, "merge")[0] == 2
    assert run(capsys, "merge", "part-*.h5")[0] == 4


def test_an_output_that_stands_there_is_exit_2_with_what_to_do(parts: list[str], capsys: Printed) -> None:
    run(capsys, "merge", *parts)
    code, _, error = run(capsys, "merge", *parts)
    assert (code, "--overwrite" in error) == (2, True)
    assert run(capsys, "merge", *parts, "--overwrite")[0] == 0


def test_merging_loads_no_torch(parts: list[str]) -> None:
    program = (
        f"import sys; from ganhash_cli import app\ntry: app.main(['merge', *{parts!r}])\nexcept SystemExit: pass\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert told.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install ray")
def test_two_workers_of_ray_encode_what_one_machine_does(tmp_path: Path, capsys: Printed) -> None:
    Path("place").mkdir()
    command = [sys.executable, ROOT / "examples/scale/ray_encode.py", "folder", "model", "place", "4"]
    absolute = [*command[:2], *(str(tmp_path / each) for each in command[2:5]), command[5]]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_OVERRIDE_RESOURCES": '{"CPU": 2}'}
    done = subprocess.run(absolute, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run(capsys, "encode", "folder")
    with codes.open_codes(Path("codes.h5")) as whole, codes.open_codes(Path("place/codes.h5")) as merged:
        assert merged.digest == whole.digest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_that_nothing_was_written(
    signum: int, parts: list[str], capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> list[object]:
        os.kill(os.getpid(), signum)
        return ordered(*arguments)

    ordered = merger._ordered
    monkeypatch.setattr(merger, "_ordered", interrupted)
    code, _, error = run(capsys, "merge", *parts)
    assert code == 128 + signum
    assert "interrupted, nothing was written; the same command begins anew" in error
    assert "save" not in error
    assert not Path("codes.h5").exists()
