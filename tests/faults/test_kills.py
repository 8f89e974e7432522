"""However often a command is killed, the same command again ends with the very bytes of a run that was not.

`GANHASH_KILLS=2000 make test-slow` kills as often as that; see docs/reliability.md.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import scenes
from scenes import RESUMED, Scene

import forked
from ganhash_cli.engine import codes
from reliability_card import record

NUMBERS = {"generate": "R5", "train": "R3", "encode": "R1"}
MANY = {"generate": 30, "train": 50, "encode": 200}
SHARE = {"generate": 20, "train": 10, "encode": 1}  # of the kills that GANHASH_KILLS asks for


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def few(place: Path) -> dict[str, Scene]:
    return {verb: scenes.make(place / verb, verb) for verb in RESUMED}


class Killer:
    """Kills a scene's command at random and counts what that cost; a run that ends is compared and begun anew."""

    def __init__(self, folder: Path, scene: Scene, seed: int) -> None:
        self.folder, self.scene = folder, scene
        self.kills = self.runs = self.lost = 0
        self._chance = random.Random(seed)

    def kill(self, kills: int, note: Callable[[], object] = lambda: None) -> None:
        """Kill so many times, every other time only when there is something to go on from, and let it end.

        `note` is called whenever a run has come to its end and was found equal.
        """
        while self.kills < kills:
            process = forked.start(self.folder, self.scene.arguments, None, self.scene.segment)
            if self.kills % 2:
                wait_for_progress(process, self.folder)
            known = acknowledged(self.folder)
            process.join(self._chance.uniform(0, self.scene.seconds / (1 + self.kills % 2)))
            if process.exitcode is None:
                process.kill()  # which bears that it ends by itself at this very moment
                process.join()
            self.lost += len(known - acknowledged(self.folder))
            if process.exitcode == -signal.SIGKILL:
                self.kills += 1
                continue
            assert process.exitcode == 0, forked.said(self.folder)
            self._compare()
            note()
        self.scene.finish(self.folder)
        self._compare()
        note()

    def _compare(self) -> None:
        assert forked.contents(self.folder) == self.scene.files
        self.runs += 1
        shutil.rmtree(self.folder)


def wait_for_progress(process: ForkServerProcess, folder: Path) -> None:
    """Wait for a checkpoint or a segment, or for the end."""
    while process.exitcode is None and not saved(folder):
        time.sleep(0.002)


def saved(folder: Path) -> bool:
    try:
        return any(path.match("step-*.ckpt") or path.match("seg-*.h5") for path in folder.rglob("*"))
    except FileNotFoundError:  # a folder that was renamed while it was looked through
        return False


def acknowledged(folder: Path) -> set[bytes]:
    """Return the images whose codes stand under a final name, so that no kill may cost them."""
    found: set[bytes] = set()
    for path in [*folder.glob("codes.h5.work/seg-*.h5"), *folder.glob("codes.h5")]:
        try:
            with codes.open_codes(path) as stored:
                found |= set(stored.paths())
        except OSError:  # gone meanwhile, since codes.h5 holds it
            pass
    return found


@pytest.mark.parametrize("verb", RESUMED)
def test_a_few_kills_at_random_leave_no_trace(verb: str, few: dict[str, Scene], tmp_path: Path) -> None:
    """R1, R3, R5: SIGKILL at uniformly random moments."""
    killer = Killer(tmp_path / "here", few[verb], seed=5)
    killer.kill(5)
    assert (killer.kills, killer.lost) == (5, 0)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("verb", RESUMED)
def test_many_kills_at_random_leave_no_trace(verb: str, place: Path, tmp_path: Path) -> None:
    """R1, R3, R5: as many kills as asked for, `encode` on 2,000 images."""
    asked = os.environ.get("GANHASH_KILLS")
    kills = int(asked) // SHARE[verb] if asked else MANY[verb]
    scene = scenes.make(place / "many", verb, *((667, 64) if verb == "encode" else ()))
    killer = Killer(tmp_path / "here", scene, seed=30)

    def note() -> None:
        assert killer.lost == 0
        record(
            f"{NUMBERS[verb]} {verb}",
            f"SIGKILL at uniformly random moments of `{verb}`, then the same command until it ends",
            kills=killer.kills,
            runs_to_the_end=killer.runs,
            runs_that_end_otherwise=0,
            **({"images": 2001, "acknowledged_images_lost": killer.lost} if verb == "encode" else {}),
        )

    killer.kill(kills, note)
