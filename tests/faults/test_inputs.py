"""Folders that hold anything but images, and images that change under the hand: encoding ends and tells of each."""

import itertools
import json
import os
import random
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from permissions import obey_permissions

import forked
from ganhash_cli.engine import codes
from linear_hash import write_bundle
from pictures import paint, paint_classes
from reliability_card import record

MANY = 300


def encode(folder: Path, place: Path, fault: forked.Fault | None = None) -> int:
    """Encode `folder` in `place`, by the model beside it."""
    return forked.run(place, ["encode", str(folder), "--model", str(place.parent / "model")], fault)


def dig(folder: Path, depth: int) -> None:
    """Make a chain of folders that is longer than any path may be."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep", dir_fd=at)
        above, at = at, os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(above)
    os.close(at)


@pytest.fixture
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder of seven images among things that are none."""
    folder = paint_classes(tmp_path / "odd", each=2)
    os.mkfifo(folder / "pipe.png")
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "random.png").symlink_to("/dev/urandom")
    paint(folder / "folder.jpg/image.png", (9, 9, 9), seed=1)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "red/up").symlink_to(folder)
    (folder / "up.png").symlink_to(folder)
    (folder / "closed").mkdir(mode=0)
    dig(folder, request.param)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)  # Python's own is not deep enough


@pytest.mark.timeout(60)
@pytest.mark.parametrize("odd", [1_100, pytest.param(5_000, marks=pytest.mark.slow)], indirect=True)
def test_a_folder_of_anything_but_images_is_encoded_and_told_of(odd: Path, tmp_path: Path) -> None:
    """I6: pipe, socket, endless devices, folder with a suffix, links to nothing, to itself and up, a deep tree."""
    write_bundle(tmp_path / "model")
    assert encode(odd, tmp_path / "here", obey_permissions) == 3
    lines = (tmp_path / "here/codes.h5.skipped.jsonl").read_text().splitlines()
    reasons = {each["path"]: each["reason"] for each in map(json.loads, lines)}
    deep = next(path for path in reasons if path.startswith("deep/deep/"))
    irregular = dict.fromkeys(("pipe.png", "socket.png", "zero.png", "random.png", "up.png"), "not a regular file")
    assert reasons == {
        **irregular,
        "gone.png": "missing",
        "loop.png": "Too many levels of symbolic links",
        "closed": "Permission denied",
        deep: "File name too long",
    }
    with codes.open_codes(tmp_path / "here/codes.h5") as stored:
        assert len(stored) == 7
    record(
        "I6", "a folder of pipes, sockets, devices, links and a tree too deep for a path", told_of=len(reasons), hangs=0
    )


class Versions:
    """Images of a folder that are changed at random; every version of each, told by its size, is kept in another."""

    def __init__(self, folder: Path, kept: Path, count: int) -> None:
        self.folder, self.kept = folder, kept
        self.changes = dict.fromkeys(("deleted", "replaced", "grown"), 0)
        self._chance, self._sides = random.Random(3), itertools.count(40)
        self._names = [f"{number:03}" for number in range(count)]
        for number, name in enumerate(self._names):
            paint(folder / f"{name}.png", (40, 40, 200), seed=number, side=160 + number % 60)
            self._keep(folder / f"{name}.png")

    def change(self) -> None:
        """Delete an image, put another in its place, or append to it."""
        how, file = self._chance.choice([*self.changes]), self.folder / f"{self._chance.choice(self._names)}.png"
        beside = self.kept.with_name("beside.png")
        if how == "deleted":
            file.unlink(missing_ok=True)
        elif how == "replaced":
            paint(beside, (200, 200, 40), seed=7, side=next(self._sides))
            self._keep(beside, file.stem)
            os.replace(beside, file)
        elif file.exists():
            beside.write_bytes(file.read_bytes() + bytes(next(self._sides)))
            self._keep(beside, file.stem)
            with file.open("ab") as stream:
                stream.write(bytes(beside.stat().st_size - file.stat().st_size))
            beside.unlink()
        self.changes[how] += 1

    def _keep(self, file: Path, name: str | None = None) -> None:
        self.kept.mkdir(exist_ok=True)
        shutil.copy(file, self.kept / f"{name or file.stem}-{file.stat().st_size}.png")


def codes_by_name(path: Path, sized: bool) -> dict[str, bytes]:
    """Return the code of each image by its name, with the size that its row tells where they are `sized`."""
    with codes.open_codes(path) as stored:
        sizes, names = stored.column("size").tolist(), [Path(os.fsdecode(each)).stem for each in stored.paths()]
        labels = [f"{name}-{size}" if sized else name for name, size in zip(names, sizes, strict=True)]
        return dict(zip(labels, map(bytes, stored.codes), strict=True))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [40, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_row_has_the_size_of_one_version_and_the_code_of_another(count: int, tmp_path: Path) -> None:
    """I8: images deleted, replaced and growing while they are encoded."""
    write_bundle(tmp_path / "model")
    versions = Versions(tmp_path / "images", tmp_path / "versions", count)
    assert forked.run(tmp_path / "here", ["--version"]) == 0  # so that nothing changes before it is listed
    process = forked.start(tmp_path / "here", ["encode", str(versions.folder), "--model", str(tmp_path / "model")])
    while process.exitcode is None:
        versions.change()
        time.sleep(0.002)
    assert process.exitcode in (0, 3), forked.said(tmp_path / "here")
    assert encode(versions.kept, tmp_path / "all") == 0, forked.said(tmp_path / "all")
    found, wanted = (codes_by_name(tmp_path / name / "codes.h5", name == "here") for name in ("here", "all"))
    assert {name: code for name, code in found.items() if wanted[name] != code} == {}
    assert encode(versions.folder, tmp_path / "here") == 0
    assert encode(versions.folder, tmp_path / "anew") == 0
    assert (tmp_path / "here/codes.h5").read_bytes() == (tmp_path / "anew/codes.h5").read_bytes()
    if count == MANY:
        what = "images deleted, replaced and growing while they are encoded: each row is that of one version, and the "
        what += "same command again ends as on a quiet folder"
        record("I8", what, **versions.changes, rows_of_two_versions=0)
