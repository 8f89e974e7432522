"""A full disk is exit 7 and leaves nothing half-written; with space again the same command ends as if it never was.

Each command works in a small file system of its own, full but for a few kilobytes more each time. Only root may
mount one, so these tests skip, with the reason, where that is not allowed.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import scenes
from PIL import Image
from safetensors import safe_open
from scenes import RESUMED, VIEWS, Scene

import forked
import postgres
from bench import crowds
from ganhash_cli.engine import codes, pusher
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.fakes import Fakes
from linear_hash import write_bundle
from pictures import paint_classes
from reliability_card import record
from test_encode_command import Printed, run

SIZE = 24 << 20


@contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """A file system of 24 MB in memory, in a folder that is there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", place]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk") as place:
        yield place


def fill(disk: Path, free: int) -> None:
    """Fill the disk with a file until `free` bytes are left."""
    with (disk / "filler").open("wb") as stream:
        stream.truncate(0)
        stream.write(bytes(SIZE - free))


def require_whole(folder: Path) -> None:
    """Open whatever stands under a final name: it must be whole."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix == ".png" and not hidden:
            Image.open(path).load()
        elif path.suffix == ".safetensors" and not hidden:
            with safe_open(path, "np") as tensors:
                assert list(tensors.keys())
        elif path.suffix == ".h5":
            codes.verify(path)
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        elif path.name == "fakes.json":
            Fakes.open(path.parent)
        elif path.name == "bundle.json":
            found = Bundle.open(path.parent)
            assert [len(found.verified(file)) for file in found.files] == [file.stat().st_size for file in found.files]


# Kilobytes that are free: too few for the first file, for the next ones, and for the last.
FREE = {
    **{"generate": (0, 8, 64, 1100), "train": (0, 40, 400, 900), "encode": (0, 100, 400, 800)},
    **{"query": (0, 4, 16, 120), "dedup": (0, 4, 16, 240), "evaluate": (0, 4, 16, 80)},
    **{"report": (0, 4, 16, 600), "export": (0, 4, 8, 8)},
}


def run_with(free: int, disk: Path, scene: Scene) -> int:
    """Run the command with so many kilobytes free; return its exit code."""
    fill(disk, free << 10)
    code = scene.run(disk)
    require_whole(disk)
    assert code in (0, 7), forked.said(disk)
    return code


def require_end(disk: Path, scene: Scene) -> None:
    """Make space and run the command to its end."""
    (disk / "filler").unlink()
    scene.finish(disk)


@pytest.mark.parametrize("verb", RESUMED)
def test_a_full_disk_is_exit_7_and_space_is_all_that_was_missing(verb: str, disk: Path, tmp_path: Path) -> None:
    """D1: a few sizes."""
    scene = scenes.make(tmp_path / "scene", verb)
    assert [run_with(free, disk, scene) for free in FREE[verb]].count(7) >= 2
    require_end(disk, scene)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", FREE)
def test_wherever_the_disk_fills_up_nothing_is_left_half_written(verb: str, disk: Path, tmp_path: Path) -> None:
    """D1: twenty sizes, from none to what is enough."""
    scene, last = scenes.make(tmp_path / "scene", verb), FREE[verb][-1]
    codes_seen, sizes = set(), range(0, 2 * last, max(4, last // 10))
    for free in sizes:
        codes_seen.add(run_with(free, disk, scene))
        require_end(disk, scene)
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert codes_seen == {0, 7}
    record(
        f"D1 {verb}",
        f"`{verb}` on a file system that is full but for some kilobytes: exit 7 or 0, and the end once there is space",
        sizes=len(sizes),
        crashes=0,
        stumps=0,
    )


@pytest.mark.parametrize("verb", VIEWS)
def test_results_that_find_no_room_are_exit_7(verb: str, tmp_path: Path) -> None:
    """D1: JSON on stdout, where that leads to a full disk."""
    scene = scenes.make(tmp_path / "scene", verb, each=2)
    assert scene.run(tmp_path / "here", lead_stdout_to_a_full_disk) == 7
    said = json.loads(forked.said(tmp_path / "here").splitlines()[-1])
    assert (said["error"]["kind"], "No space left" in said["error"]["message"]) == ("StorageError", True)


def lead_stdout_to_a_full_disk() -> None:
    """Do what `> FILE` does on a disk that is full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def test_an_error_that_cannot_be_told_keeps_its_exit_code(tmp_path: Path) -> None:
    """D1: `2> FILE` on a disk that is full."""
    for more in ([], ["--json"]):
        assert forked.run(tmp_path, ["query", "none.png", *more], lead_stderr_to_a_full_disk) == 4


def lead_stderr_to_a_full_disk() -> None:
    """Do what `2> FILE` does there."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)


def test_a_merge_that_finds_no_room_is_exit_7_and_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    photos, parts = str(paint_classes(tmp_path / "images", each=12)), [tmp_path / f"{number}.h5" for number in (1, 2)]
    write_bundle(tmp_path / "model")
    for number, part in enumerate(parts, start=1):
        arguments = ["--model", str(tmp_path / "model"), "--shard", f"{number}/2", "-o", str(part)]
        assert forked.run(tmp_path / "parts", ["encode", photos, *arguments]) == 0
    command = ["merge", *map(str, parts)]
    for free in (0, 4, 8, 12, 16):
        fill(disk, free << 10)
        assert forked.run(disk, command) == 7, forked.said(disk)
        assert [path.name for path in disk.iterdir()] == ["filler"]
    (disk / "filler").unlink()
    assert forked.run(disk, command) == 0
    codes.verify(disk / "codes.h5")


def test_a_full_disk_of_postgresql_is_told_and_the_push_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    monkeypatch.chdir(tmp_path)
    count = 60_000
    monkeypatch.setattr(pusher, "BATCH", 8192)  # so that some fit
    crowds.write(Path("codes.h5"), crowds.clustered(count, 64), 64)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # pytest's own are for one user alone
        place.chmod(0o711)
        disk = place / "disk"
        disk.mkdir()
        stack.enter_context(mounted(disk))
        url = stack.enter_context(postgres.serve())
        space = disk / "space"
        space.mkdir(mode=0o700)
        if os.geteuid() == 0:  # then the server runs as nobody
            shutil.chown(space, "nobody")
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        small = url + "?options=-c%20default_tablespace%3Dsmall"
        fill(disk, 4 << 20)
        code, _, error = run(capsys, "push", "--to", small)
        assert (code, "No space left on device" in error, "push again" in error) == (4, True, True), error
        (disk / "filler").unlink()
        code, out, error = run(capsys, "push", "--to", small, "--json")
        assert code == 0, error
        report = json.loads(out)
        assert 0 < report["kept"] < count
        assert report["added"] + report["kept"] == count
        assert connection.execute("SELECT count(*) FROM ganhash").fetchone() == (count,)
