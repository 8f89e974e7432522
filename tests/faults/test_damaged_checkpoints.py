"""A damaged checkpoint costs the steps since the one before it and is told of; where none is whole, that is said."""

import shutil
import signal
from pathlib import Path

import pytest
import scenes
from scenes import Scene
from tripwire import Die

import forked
from ganhash_cli.engine import checkpoint
from reliability_card import record

CUTS = 50
WHERE = {"train": "model/checkpoints", "generate": "fakes/.work/checkpoints"}


def stopped(verb: str, scene: Scene, folder: Path) -> list[Path]:
    """Kill a run where two checkpoints are whole; return them, the newest first."""
    number = 6  # before it there are too few, and while a third is written three
    while len(found := sorted((folder / WHERE[verb]).glob("step-*.ckpt"), reverse=True)) != 2:
        shutil.rmtree(folder, ignore_errors=True)
        number += 1
        assert scene.run(folder, Die(folder, number, ("sync folder",))) == -signal.SIGKILL
    return found


def cut(content: bytes, part: int) -> bytes:
    return content[: len(content) * part // CUTS]


def flip(content: bytes, part: int) -> bytes:
    changed = bytearray(content)
    changed[(len(content) - 1) * part // CUTS] ^= 1 << part % 8
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("verb", WHERE)
def test_a_checkpoint_damaged_anywhere_is_passed_over(verb: str, tmp_path: Path) -> None:
    """R9: cut at every 1/50 of its length, and a bit flipped at each; by what reads them in every run."""
    newest, before = stopped(verb, scenes.make(tmp_path / "scene", verb), tmp_path / "place")
    content = newest.read_bytes()
    damages = [damage(content, part) for part in range(CUTS) for damage in (cut, flip)]
    found = 0
    for damaged in damages:
        newest.write_bytes(damaged)
        latest = checkpoint.load_latest(newest.parent)
        found += latest is not None and latest[0] == int(before.stem.removeprefix("step-"))
    assert found == len(damages) == 2 * CUTS
    record(
        f"R9 {verb}",
        f"the newest checkpoint of `{verb}` cut at every 1/50 of its length, or one bit flipped there: found, and "
        "the one before is read",
        damaged=len(damages),
        found=found,
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", WHERE)
def test_a_run_goes_on_past_a_damaged_checkpoint_with_a_warning(verb: str, tmp_path: Path) -> None:
    """R9: the command itself, for a checkpoint that is empty, cut in its middle, and changed near its end."""
    scene, place, kept = scenes.make(tmp_path / "scene", verb), tmp_path / "place", tmp_path / "kept"
    newest, before = stopped(verb, scene, place)
    content = newest.read_bytes()
    shutil.copytree(place, kept)
    for damaged in (cut(content, 0), cut(content, CUTS // 2), flip(content, CUTS - 1)):
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        newest.write_bytes(damaged)
        forked.log_of(place).unlink(missing_ok=True)
        scene.finish(place)
        said = forked.said(place).replace("\n", " ")
        assert f"{newest.relative_to(place)}: the checksum is wrong" in said
        assert f"going on from step {int(before.stem.removeprefix('step-'))}" in said


@pytest.mark.parametrize("verb", ["generate", pytest.param("train", marks=pytest.mark.slow)])
def test_where_no_checkpoint_is_whole_that_is_exit_6_and_what_to_do(verb: str, tmp_path: Path) -> None:
    """R9: both damaged; the hint leads to the end."""
    scene, place = scenes.make(tmp_path / "scene", verb), tmp_path / "place"
    for path in stopped(verb, scene, place):
        path.write_bytes(flip(path.read_bytes(), CUTS // 2))
    for _ in range(2):
        assert scene.run(place) == 6
    assert f"remove {WHERE[verb]}" in forked.said(place).replace("\n", " ")
    shutil.rmtree(place / WHERE[verb])
    scene.finish(place)
