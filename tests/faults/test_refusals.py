"""Whatever step the system refuses, a command ends with exit 7 and a name, and leaves the old state or the new one."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import scenes
import tripwire
from scenes import VERBS, Scene
from tripwire import Note, Refuse

import forked
from reliability_card import record

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT)
LASTING = (errno.ENOSPC, errno.EDQUOT)
RESULTS = (
    *("codes.h5", "page.html", "report.html", "codes.ndjson", "curve.csv", "curve.png"),
    *("model/bundle.json", "fakes/fakes.json"),
)


def count_steps(scene: Scene, here: Path, log: Path) -> int:
    assert scene.run(here, Note(here, log)) == 0, forked.said(here)
    shutil.rmtree(here)
    return len(tripwire.steps(log))


def refuse_each(verb: str, tmp_path: Path, codes: tuple[int, ...], every: int = 1) -> int:
    """Refuse each step of a verb in turn, by each code; return how many were refused."""
    scene, here = scenes.make(tmp_path / "scene", verb, each=6 if verb == "train" else 4), tmp_path / "here"
    steps = count_steps(scene, here, tmp_path / "steps")
    refused = 0
    for number in range(1, steps + 1, every):
        for code in codes:
            forked.log_of(here).unlink(missing_ok=True)
            ended = scene.run(here, Refuse(here, number, code, code in LASTING))
            said = forked.said(here)
            assert ended == 7, f"step {number} of {steps}: exit {ended}: {said}"
            assert os.strerror(code) in said.replace("\n", " ")
            assert "Traceback" not in said
            require_no_stump(scene, here)
            refused += 1
            scene.finish(here)
            shutil.rmtree(here)  # what is done already is not done again, and the step would not come
    return refused


def require_no_stump(scene: Scene, here: Path) -> None:
    """Compare what stands under a final name with what a whole run leaves; temporaries must be gone."""
    found = forked.contents(here)
    assert [path for path in found if path.endswith(".tmp")] == []
    for path in RESULTS:
        assert found.get(path) in (None, scene.files.get(path))


@pytest.mark.parametrize("verb", ["encode"])
def test_a_refusal_is_exit_7_and_costs_nothing(verb: str, tmp_path: Path) -> None:
    """D2: every tenth step, by a full disk."""
    assert refuse_each(verb, tmp_path, (errno.ENOSPC,), every=10) > 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", VERBS)
def test_any_refusal_of_any_step_is_exit_7_and_costs_nothing(verb: str, tmp_path: Path) -> None:
    """D2: every step, by each of four errors."""
    refused = refuse_each(verb, tmp_path, CODES, every=1 if verb not in ("train", "generate") else 3)
    record(
        f"D2 {verb}",
        f"a step of `{verb}` refused (ENOSPC, EIO, EACCES, EDQUOT): exit 7, the old state or the new one, and the end "
        "as if nothing had been",
        refused=refused,
        stumps=0,
    )
