"""What is missing, forbidden or in the way changes no result, or ends the command with an exit code and a hint."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import scenes
from permissions import obey_permissions

import forked
from ganhash_cli.engine import codes
from linear_hash import write_bundle
from pictures import paint, paint_classes
from reliability_card import record

YEAR = 365 * 86_400
MANY = 1_000


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


@pytest.mark.parametrize("verb", ["encode", "generate", pytest.param("train", marks=pytest.mark.slow)])
def test_a_folder_that_may_not_be_written_is_exit_7_with_a_hint(verb: str, tmp_path: Path) -> None:
    """D3: by its permissions, for someone who is not root."""
    folder = paint_classes(tmp_path / "images", each=2)
    write_bundle(tmp_path / "model")
    arguments = ["--model", str(tmp_path / "model")] if verb == "encode" else scenes.TINY[verb]
    (tmp_path / "here").mkdir(mode=0o555)
    assert forked.run(tmp_path / "here", [verb, str(folder), *arguments], obey_permissions) == 7
    said = forked.said(tmp_path / "here").replace("\n", " ")
    assert "Permission denied" in said
    assert "hint: " in said
    assert forked.contents(tmp_path / "here") == {}


@pytest.mark.parametrize(
    "words", [["info"], ["verify"], ["encode", "images"], ["train", "images", *scenes.TINY["train"], "--no-fakes"]]
)
@pytest.mark.parametrize("mode", [0, 0o400])
def test_a_model_in_a_folder_that_may_not_be_entered_is_named(mode: int, words: list[str], tmp_path: Path) -> None:
    """D3: the permissions of a folder, without any and without that to enter it."""
    write_bundle(tmp_path / "model")
    paint_classes(tmp_path / "images", each=2)
    (tmp_path / "model").chmod(mode)
    try:
        code, said = forked.run(tmp_path, words, obey_permissions), forked.said(tmp_path)
    finally:
        (tmp_path / "model").chmod(0o755)
    assert code in (2, 4)
    assert "hint: " in said
    assert "model" in said
    assert "bug" not in said


@pytest.mark.parametrize("count", [20, pytest.param(MANY, marks=pytest.mark.slow)])
def test_one_image_that_may_not_be_read_is_skipped_and_the_others_encoded(count: int, tmp_path: Path) -> None:
    """D3: the permissions of one file."""
    write_bundle(tmp_path / "model")
    paint(tmp_path / "images/0.png", (40, 40, 200), seed=1)
    for number in range(1, count):
        os.link(tmp_path / "images/0.png", tmp_path / f"images/{number}.png")
    (tmp_path / "images/7.png").unlink()
    paint(tmp_path / "images/7.png", (40, 40, 200), seed=1)
    (tmp_path / "images/7.png").chmod(0)
    command = ["encode", str(tmp_path / "images"), "--model", str(tmp_path / "model")]
    assert forked.run(tmp_path / "here", command, obey_permissions) == 3, forked.said(tmp_path / "here")
    skipped = json.loads((tmp_path / "here/codes.h5.skipped.jsonl").read_text())
    assert skipped == {"path": "7.png", "reason": "Permission denied"}
    with codes.open_codes(tmp_path / "here/codes.h5") as stored:
        assert len(stored) == count - 1
    if count == MANY:
        record("D3 images", "one image that may not be read among others: it alone is skipped", images=count, skipped=1)


IN_THE_WAY = {
    "encode a folder": ("folder", ["encode", "IMAGES", "--model", "MODEL", "-o", "it"], 2),
    "generate a file": ("file", ["generate", "IMAGES", *scenes.TINY["generate"], "--out", "it"], 2),
    "train a file": ("file", ["train", "IMAGES", *scenes.TINY["train"], "--no-fakes", "--model", "it"], 2),
    "sample a file": ("file", ["sample", "it"], 2),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_what_stands_in_the_way_of_a_result_is_told_of_and_stays(case: str, tmp_path: Path) -> None:
    """D3: a folder in the place of a file, a file in the place of a folder."""
    kind, words, code = IN_THE_WAY[case]
    places = {"IMAGES": str(paint_classes(tmp_path / "images", each=2)), "MODEL": str(tmp_path / "model")}
    write_bundle(tmp_path / "model")
    it = tmp_path / "here/it"
    it.parent.mkdir()
    it.mkdir() if kind == "folder" else it.touch()
    assert forked.run(it.parent, [places.get(word, word) for word in words]) == code, forked.said(it.parent)
    assert "hint: " in forked.said(it.parent)
    assert [path.name for path in it.parent.iterdir()] == ["it"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_cache_that_takes_nothing_costs_the_answer_nothing(kind: str, tmp_path: Path) -> None:
    """D3: a cache folder for reading only, and a file in its place."""
    scene = scenes.make(tmp_path / "scene", "query", each=2)
    scene.arguments.extend(["--index", "ivf"])
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555) if kind == "folder" else cache.touch()
    assert scene.run(tmp_path / "here", Cache(cache)) == 0, forked.said(tmp_path / "here")
    assert forked.contents(tmp_path / "here").keys() == scene.files.keys()


@dataclass(frozen=True)
class Cache:
    """Names a folder for caches, and lets its permissions hold."""

    folder: Path

    def __call__(self) -> None:
        os.environ["XDG_CACHE_HOME"] = str(self.folder)
        obey_permissions()


@pytest.mark.parametrize("years", [-20, 20])
def test_a_file_whose_clock_jumps_is_encoded_anew_and_no_other(years: int, tmp_path: Path) -> None:
    """D6: a time of change in the past or in the future, with another content of the same size."""
    scene = scenes.make(tmp_path / "scene", "encode", each=2)
    scene.finish(tmp_path / "here")
    changed = tmp_path / "scene/images/red/00.png"
    os.utime(changed, (time.time(), time.time() + years * YEAR))
    assert scene.run(tmp_path / "here") == 0
    assert "5 kept" in forked.said(tmp_path / "here")
