"""A process that decodes for a command and is killed costs nothing, or exit 7 and a message; nothing waits for it."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import scenes
from scenes import RESUMED, Scene

import forked
from reliability_card import record

SECONDS, RUNS = 60.0, 30


def decoders_of(process: int) -> list[int]:
    """Return the processes that decode for another one."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # ended meanwhile
            children = task.read_text().split()
            found += [int(each) for each in children if b"decoders" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return found


def bereave(scene: Scene, folder: Path, after: float) -> tuple[int, int]:
    """Run a scene and kill its decoders, once, so many seconds after they stand; return exit code and their number."""
    process = forked.start(folder, scene.arguments, None, scene.segment)
    end, killed = time.monotonic() + SECONDS, list[int]()
    while process.exitcode is None and not killed:
        if decoders_of(process.pid or 0):
            process.join(after)
            killed = decoders_of(process.pid or 0)
            for child in killed:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.001)
    process.join(max(0, end - time.monotonic()))
    assert process.exitcode is not None, "it hangs"
    return process.exitcode, len(killed)


def bereave_often(verb: str, times: int, tmp_path: Path) -> tuple[int, list[int]]:
    """Kill the decoders of so many runs, each at another moment; return how many, and how the runs ended."""
    scene, folder, chance = scenes.make(tmp_path / "scene", verb), tmp_path / "here", random.Random(8)
    killed, codes = 0, list[int]()
    while len(codes) < times:
        forked.log_of(folder).unlink(missing_ok=True)
        code, count = bereave(scene, folder, chance.uniform(0, 0.5))
        assert code in (0, 7), forked.said(folder)
        if code:
            assert "cannot start a process that decodes images" in forked.said(folder).replace("\n", " ")
        scene.finish(folder)
        shutil.rmtree(folder)
        killed += count
        codes += [code] if count else []
    return killed, codes


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_a_killed_decoder_is_no_end_or_one_with_a_message(tmp_path: Path) -> None:
    """R8: SIGKILL at a random moment, of the quickest command that has such processes."""
    bereave_often("encode", 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("verb", RESUMED)
def test_decoders_killed_at_any_moment_are_no_end_or_one_with_a_message(verb: str, tmp_path: Path) -> None:
    """R8: from before they are ready to while they decode."""
    killed, codes = bereave_often(verb, RUNS, tmp_path)
    record(
        f"R8 {verb}",
        f"SIGKILL to the processes that decode for `{verb}`: it goes on, or ends with exit 7 and goes on the next time",
        killed=killed,
        runs=len(codes),
        exit_7=codes.count(7),
        hangs=0,
    )
