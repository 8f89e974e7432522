"""Whatever step a command is killed at, it ends as if it had not been; and its steps stand in the right order.

A command is run once, and its folder copied before every step that changes a file: that is what a SIGKILL there
leaves. From every different copy the same command is run to its end.
"""

import json
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
import scenes
import tripwire
from scenes import VERBS, VIEWS, Scene
from tripwire import ATOMIC, Die, Note, Picture

import forked
from reliability_card import record


def scene_of(verb: str, tmp_path: Path) -> Scene:
    return scenes.make(tmp_path / "scene", verb, each=6 if verb == "train" else 4)


def state(folder: Path) -> str:
    """Return what lies in a folder, without the numbers of processes."""
    found = {tripwire.masked(path): digest for path, digest in forked.contents(folder).items()}
    return json.dumps({path: digest for path, digest in found.items() if not path.endswith(".owner")}, sort_keys=True)


def pictures(scene: Scene, tmp_path: Path) -> tuple[list[list[str]], list[Path]]:
    """Run a scene once; return its steps, and for each of them a copy of the folder before it."""
    here = tmp_path / "here"
    (tmp_path / "copies").mkdir()
    assert scene.run(here, Picture(here, tmp_path / "copies")) == 0, forked.said(here)
    assert forked.contents(here) == scene.files
    steps = tripwire.steps(tmp_path / "copies.steps")
    copies = sorted((tmp_path / "copies").iterdir())
    assert len(steps) == len(copies)
    return steps, copies


def go_on_from_all(scene: Scene, copies: list[Path], here: Path) -> int:
    """Let the command end from every different copy, in the folder where it was made; return how many there are."""
    different = {state(copy): copy for copy in copies}
    for copy in different.values():
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(copy, here, symlinks=True)
        scene.finish(here)
    return len(different)


def cover(verb: str, tmp_path: Path) -> tuple[int, int]:
    """Go on from every step of a verb; return how many steps there are, and how many different states."""
    scene = scene_of(verb, tmp_path)
    steps, copies = pictures(scene, tmp_path)
    assert set(ATOMIC) <= {kind for kind, *_ in steps}
    return len(steps), go_on_from_all(scene, copies, tmp_path / "here")


def test_no_step_of_encode_is_a_bad_moment_for_a_kill(tmp_path: Path) -> None:
    """R2: every step of the quickest command that goes on where it was."""
    cover("encode", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", VERBS)
def test_no_step_of_any_command_is_a_bad_moment_for_a_kill(verb: str, tmp_path: Path) -> None:
    """R2: every step of every command that writes."""
    points, different = cover(verb, tmp_path)
    record(
        f"R2 {verb}",
        f"a kill at every step of `{verb}`: before a file is opened, before and amid each write, before its fsync, "
        "before the rename, before the fsync of the folder",
        points=points,
        points_covered=points,
        different_states=different,
    )


def test_a_copy_is_what_a_kill_leaves(tmp_path: Path) -> None:
    """R2: SIGKILL itself, at the second step of each kind."""
    scene = scene_of("encode", tmp_path)
    steps, copies = pictures(scene, tmp_path)
    folder = tmp_path / "here"
    for kind in ATOMIC:
        at = [number for number, (found, *_) in enumerate(steps) if found == kind][1]
        shutil.rmtree(folder)
        assert scene.run(folder, Die(folder, 2, (kind,))) == -signal.SIGKILL
        assert state(folder) == state(copies[at]), kind


def out_of_order(steps: list[list[str]]) -> list[str]:
    """Return what a loss of power could tear apart: renames of what is not on the disk, or not on it after.

    A file must be synced between its last write and its rename. Once a file is put in its place out of a temporary,
    the renames before it must all be on the disk, since it may tell of them; and so must all be in the end.
    """
    wrong, unsynced, open_renames = [], set(), {}
    for kind, *paths in steps:
        if kind in ("open", "write", "mid write"):
            unsynced.add(paths[0])
        elif kind == "sync":
            unsynced.discard(paths[0])
        elif kind == "sync folder":
            open_renames = {path: folder for path, folder in open_renames.items() if folder != paths[0]}
        elif kind == "replace":
            source, target = paths
            wrong += [f"{source} is renamed before it is synced"] if source in unsynced else []
            if source.endswith(".tmp"):
                wrong += [f"{path} is not synced before {target} is there" for path in open_renames]
            open_renames[target] = str(Path(target).parent)
    return wrong + [f"{path} is never synced" for path in open_renames]


@pytest.mark.parametrize("verb", ["generate", "encode", "merge"])
def test_files_are_on_the_disk_before_what_tells_of_them(verb: str, tmp_path: Path) -> None:
    """R7: the order of write, fsync, rename and fsync of the folder, by a shim over `os`."""
    require_order(verb, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", *VIEWS])
def test_files_of_slower_commands_are_on_the_disk_before_what_tells_of_them(verb: str, tmp_path: Path) -> None:
    """R7: the same for the others."""
    require_order(verb, tmp_path)


def require_order(verb: str, tmp_path: Path) -> None:
    scene = scene_of(verb, tmp_path)
    here = tmp_path / "here"
    assert scene.run(here, Note(here, tmp_path / "steps")) == 0, forked.said(here)
    steps = tripwire.steps(tmp_path / "steps")
    assert out_of_order(steps) == []
    kinds = Counter(kind for kind, *_ in steps)
    assert kinds["replace"]
    record(
        f"R7 {verb}",
        f"order of `{verb}`: fsync of a file before its rename, of its folder after, before anything tells of it",
        renames=kinds["replace"],
        syncs=kinds["sync"] + kinds["sync folder"],
        violations=0,
    )


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("open .a.tmp, write .a.tmp, replace .a.tmp a, sync folder .", "before it is synced"),
        ("open .a.tmp, sync .a.tmp, write .a.tmp, replace .a.tmp a, sync folder .", "before it is synced"),
        ("open .a.tmp, sync .a.tmp, replace .a.tmp a", "a is never synced"),
        ("replace w/b d/b, open .a.tmp, sync .a.tmp, replace .a.tmp a, sync folder .", "d/b is not synced before a"),
    ],
)
def test_a_wrong_order_would_be_found(steps: str, found: str) -> None:
    """R7: the check itself."""
    kinds = [line.strip().replace("sync folder", "sync-folder").split() for line in steps.split(",")]
    assert found in out_of_order([[kind.replace("-", " "), *paths] for kind, *paths in kinds])[0]
