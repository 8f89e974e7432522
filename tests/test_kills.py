"""However often a command is killed, the same command again ends with the very bytes of a run that was not."""

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

import forked
from forked import Death
from linear_hash import write_bundle
from pictures import paint_classes

VERBS = ("generate", "train", "encode")
TINY = {
    "generate": ["-g", "tiny", "--steps", "9", "--batch", "4", "--features", "smallconv", "--count", "6"],
    "train": ["-b", "smallconv", "-B", "width=8", "--bits", "12", "--epochs", "3", "--batch", "12", "--size", "32"],
    "encode": [],
}


@dataclass(frozen=True)
class Reference:
    """A command, the files that it leaves when nothing disturbs it, and how long that takes."""

    arguments: list[str]
    files: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reference]:
    place = tmp_path_factory.mktemp("references")
    images = str(paint_classes(place / "images", each=12))
    write_bundle(place / "model")
    found = {}
    assert forked.run(place, ["--version"]) == 0  # so that the server stands before anything is timed
    for verb in VERBS:
        given = ["--model", str(place / "model")] if verb == "encode" else TINY[verb]
        arguments = [verb, images, *given]
        began = time.monotonic()
        assert forked.run(place / verb, arguments) == 0, forked.said(place / verb)
        found[verb] = Reference(arguments, forked.contents(place / verb), time.monotonic() - began)
    return found


def finish(folder: Path, wanted: Reference) -> None:
    """Run the command to its end and compare every file."""
    assert forked.run(folder, wanted.arguments) == 0, forked.said(folder)
    assert forked.contents(folder) == wanted.files


def wait_for_progress(process: ForkServerProcess, folder: Path) -> None:
    """Wait for a checkpoint or a segment, or for the end."""
    while process.exitcode is None and not saved(folder):
        time.sleep(0.002)


def saved(folder: Path) -> bool:
    try:
        return any(path.match("step-*.ckpt") or path.match("seg-*.h5") for path in folder.rglob("*"))
    except FileNotFoundError:  # a folder that was renamed while it was looked through
        return False


def kill_at_random(folder: Path, wanted: Reference, kills: int, seed: int) -> None:
    """Kill the command so many times, beginning anew where it was quicker, and let it end.

    Every other kill comes only when there is something to go on from.
    """
    chance = random.Random(seed)
    while kills:
        process = forked.start(folder, wanted.arguments)
        if kills % 2:
            wait_for_progress(process, folder)
        process.join(chance.uniform(0, wanted.seconds / (1 + kills % 2)))
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        if process.exitcode == -signal.SIGKILL:
            kills -= 1
            continue
        assert process.exitcode == 0, forked.said(folder)
        assert forked.contents(folder) == wanted.files
        shutil.rmtree(folder)
    finish(folder, wanted)


@pytest.mark.parametrize("verb", VERBS)
def test_five_kills_at_random_leave_no_trace(verb: str, references: dict[str, Reference], tmp_path: Path) -> None:
    kill_at_random(tmp_path / "here", references[verb], kills=5, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_thirty_kills_at_random_leave_no_trace(verb: str, references: dict[str, Reference], tmp_path: Path) -> None:
    kill_at_random(tmp_path / "here", references[verb], kills=30, seed=30)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("before", [True, False])
def test_a_kill_at_any_rename_leaves_no_trace(
    verb: str, before: bool, references: dict[str, Reference], tmp_path: Path
) -> None:
    number, killed = 1, -signal.SIGKILL
    while killed == -signal.SIGKILL:
        folder = tmp_path / f"{number}"
        killed = forked.run(folder, references[verb].arguments, Death(number, before))
        finish(folder, references[verb])
        number += 1
    assert killed == 0
    assert number > 3
