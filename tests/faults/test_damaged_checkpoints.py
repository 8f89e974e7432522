"""A damaged checkpoint costs the steps since the one before it and is told of; where none is whole, that is said."""

import shutil
import signal
from pathlib import Path

import pytest
import scenes
from scenes import Scene
from tripwire import Die

import forked
from reliability_card import record

CUTS = 50
WHERE = {"train": "model/checkpoints", "generate": "fakes/.work/checkpoints"}


def stopped(verb: str, scene: Scene, folder: Path) -> list[Path]:
    """Kill a run where two checkpoints are whole; return them, the newest first."""
    number = 6  # before it there are too few
    while len(found := sorted((folder / WHERE[verb]).glob("step-*.ckpt"), reverse=True)) < 2:
        shutil.rmtree(folder, ignore_errors=True)
        number += 1
        assert scene.run(folder, Die(folder, number, ("sync folder",))) == -signal.SIGKILL
    return found


def cut(path: Path, part: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * part // CUTS])


def flip(path: Path, part: int) -> None:
    content = bytearray(path.read_bytes())
    content[(len(content) - 1) * part // CUTS] ^= 1 << part % 8
    path.write_bytes(content)


def go_on(scene: Scene, folder: Path) -> str:
    """Run the command to its end, and return what it said of it."""
    forked._log(folder).unlink(missing_ok=True)
    scene.finish(folder)
    return forked.said(folder)


def damage_everywhere(verb: str, tmp_path: Path, parts: range) -> int:
    """Damage the newest checkpoint at each part of its length in both ways; return how often it was found."""
    scene, place = scenes.make(tmp_path / "scene", verb), tmp_path / "place"
    newest, before = stopped(verb, scene, place)
    kept, name = tmp_path / "kept", str(newest.relative_to(place))
    shutil.copytree(place, kept)
    count = 0
    for part in parts:
        for damage in (cut, flip):
            shutil.rmtree(place)
            shutil.copytree(kept, place)
            damage(place / name, part)
            said = go_on(scene, place)
            assert f"{name}: the checksum is wrong" in said.replace("\n", " ")
            assert f"going on from step {int(before.stem.removeprefix('step-'))}" in said.replace("\n", " ")
            count += 1
    return count


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", WHERE)
def test_a_checkpoint_damaged_anywhere_is_passed_over_with_a_warning(verb: str, tmp_path: Path) -> None:
    """R9: cut at every 1/50 of its length, and a bit flipped at each."""
    found = damage_everywhere(verb, tmp_path, range(CUTS))
    assert found == 2 * CUTS
    record(
        f"R9 {verb}",
        f"the newest checkpoint of `{verb}` cut at every 1/50 of its length, or one bit flipped there: a warning, "
        "and the end as if nothing had been",
        damaged=2 * CUTS,
        found=found,
    )


@pytest.mark.parametrize("verb", ["generate", pytest.param("train", marks=pytest.mark.slow)])
def test_where_no_checkpoint_is_whole_that_is_exit_6_and_what_to_do(verb: str, tmp_path: Path) -> None:
    """R9: both damaged; the hint leads to the end."""
    scene, place = scenes.make(tmp_path / "scene", verb), tmp_path / "place"
    for path in stopped(verb, scene, place):
        flip(path, 25)
    for _ in range(2):
        assert scene.run(place) == 6
    assert f"remove {WHERE[verb]}" in forked.said(place).replace("\n", " ")
    shutil.rmtree(place / WHERE[verb])
    scene.finish(place)
