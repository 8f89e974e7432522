"""A signal is answered within seconds by its exit code, with the state saved; the same command goes on from there."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import scenes
from scenes import RESUMED, Scene
from test_kills import wait_for_progress

import forked
from reliability_card import record

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 5.0


def stop(scene: Scene, folder: Path, signum: signal.Signals, chance: random.Random) -> float | None:
    """Send a signal to a run that has begun; return the seconds until it ended, None where it was done before."""
    process = forked.start(folder, scene.arguments)
    wait_for_progress(process, folder)
    time.sleep(chance.uniform(0, scene.seconds / 4))
    if process.exitcode is None:
        os.kill(process.pid or 0, signum)
    sent = time.monotonic()
    process.join()
    if process.exitcode == 0:  # the signal came after the last step
        return None
    assert process.exitcode in (128 + signum, -signum), forked.said(folder)
    return time.monotonic() - sent


def stop_often(verb: str, signum: signal.Signals, times: int, tmp_path: Path) -> list[float]:
    """Stop a scene so often, letting it end in between where it does; return the seconds each took."""
    scene, folder, chance = scenes.make(tmp_path / "scene", verb), tmp_path / "here", random.Random(int(signum))
    took: list[float] = []
    while len(took) < times:
        seconds = stop(scene, folder, signum, chance)
        took += [] if seconds is None else [seconds]
        scene.finish(folder)
        shutil.rmtree(folder)
    assert max(took) < SECONDS
    return took


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_answered_at_once_and_the_run_goes_on(signum: signal.Signals, tmp_path: Path) -> None:
    """R6: Ctrl+C, what schedulers send, and a terminal that is closed."""
    stop_often("encode", signum, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", RESUMED)
def test_every_signal_is_answered_at_once_by_every_command(verb: str, tmp_path: Path) -> None:
    """R6: the three signals at random moments, ten times each."""
    took = sorted(second for each in SIGNALS for second in stop_often(verb, each, 10, tmp_path / each.name))
    record(
        f"R6 {verb}",
        f"SIGINT, SIGTERM and SIGHUP to `{verb}`: exit 130, 143 or 129, and the same command goes on",
        signals=len(took),
        seconds_p95=round(took[int(0.95 * len(took))], 2),
        seconds_worst=round(took[-1], 2),
    )


def test_under_nohup_a_closed_terminal_stops_nothing(tmp_path: Path) -> None:
    """R6: a SIGHUP that was ignored from the beginning stays so."""
    scene, folder = scenes.make(tmp_path / "scene", "encode"), tmp_path / "here"
    process = forked.start(folder, scene.arguments, ignore_hangups)
    wait_for_progress(process, folder)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGHUP)
    process.join()
    assert process.exitcode == 0
    assert forked.contents(folder) == scene.files


def ignore_hangups() -> None:
    """Do what nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
