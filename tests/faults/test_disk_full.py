"""A full disk is exit 7 and leaves nothing half-written; with space again the same command ends as if it never was.

Each command works in a small file system of its own, full but for a few kilobytes more each time. Only root may
mount one, so these tests skip, with the reason, where that is not allowed.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from scenes import RESUMED as VERBS
from scenes import TINY

import forked
from ganhash_cli.engine import codes
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.fakes import Fakes
from linear_hash import write_bundle
from pictures import paint_classes

SIZE = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


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
        elif path.name == "fakes.json":
            Fakes.open(path.parent)
        elif path.name == "bundle.json":
            found = Bundle.open(path.parent)
            assert all(found.verified(file) for file in found.files)


# Kilobytes that are free: too few for the first file, for the next ones, and for the last.
FREE = {"generate": (0, 8, 64, 256), "train": (0, 40, 400, 900), "encode": (0, 100, 400, 800)}


@dataclass(frozen=True)
class Case:
    """A command, and the files it leaves where there is space enough."""

    arguments: list[str]
    whole: dict[str, str]


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    verb = request.node.callspec.params["verb"]
    images = str(paint_classes(tmp_path / "images", each=12))
    write_bundle(tmp_path / "model")
    arguments = [verb, images, *(["--model", str(tmp_path / "model")] if verb == "encode" else TINY[verb])]
    assert forked.run(tmp_path / "whole", arguments) == 0, forked.said(tmp_path / "whole")
    return Case(arguments, forked.contents(tmp_path / "whole"))


def run_with(free: int, disk: Path, case: Case) -> int:
    """Run the command with so many kilobytes free; return its exit code."""
    fill(disk, free << 10)
    code = forked.run(disk, case.arguments)
    require_whole(disk)
    assert code in (0, 7), forked.said(disk)
    return code


def require_end(disk: Path, case: Case) -> None:
    """Make space and run the command to its end."""
    (disk / "filler").unlink()
    assert forked.run(disk, case.arguments) == 0, forked.said(disk)
    assert forked.contents(disk) == case.whole


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_exit_7_and_space_is_all_that_was_missing(verb: str, disk: Path, case: Case) -> None:
    assert [run_with(free, disk, case) for free in FREE[verb]].count(7) >= 2
    require_end(disk, case)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_wherever_the_disk_fills_up_nothing_is_left_half_written(verb: str, disk: Path, case: Case) -> None:
    last = FREE[verb][-1]
    codes_seen = set()
    for free in range(0, 2 * last, max(4, last // 10)):
        codes_seen.add(run_with(free, disk, case))
        require_end(disk, case)
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert codes_seen == {0, 7}


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
