"""A home that is not there, a file system that takes nothing and clocks that jump change no result."""

import os
import subprocess
import time
from pathlib import Path

import pytest
import scenes

import forked

YEAR = 365 * 86_400


def lose_home() -> None:
    """Leave neither HOME nor a folder for caches."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)


@pytest.mark.parametrize("verb", ["encode", "query"])
def test_without_a_home_all_is_the_same(verb: str, tmp_path: Path) -> None:
    """D3: HOME unset."""
    scene = scenes.make(tmp_path / "scene", verb, each=2)
    assert scene.run(tmp_path / "here", lose_home) == 0, forked.said(tmp_path / "here")
    assert forked.contents(tmp_path / "here") == scene.files


def test_a_file_system_that_takes_nothing_is_exit_7_and_named(tmp_path: Path) -> None:
    """D3: a folder mounted for reading only, which refuses root too."""
    scene, place = scenes.make(tmp_path / "scene", "encode", each=2), tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        assert scene.run(place) == 7
    finally:
        subprocess.run(["umount", place], check=True)
    said = forked.said(place).replace("\n", " ")
    assert "codes.h5" in said
    assert "Read-only file system" in said


@pytest.mark.parametrize("years", [-20, 20])
def test_a_file_whose_clock_jumps_is_encoded_anew_and_no_other(years: int, tmp_path: Path) -> None:
    """D6: a time of change in the past or in the future, with another content of the same size."""
    scene = scenes.make(tmp_path / "scene", "encode", each=2)
    scene.finish(tmp_path / "here")
    changed = tmp_path / "scene/images/red/00.png"
    os.utime(changed, (time.time(), time.time() + years * YEAR))
    assert scene.run(tmp_path / "here") == 0
    assert "5 kept" in forked.said(tmp_path / "here")
