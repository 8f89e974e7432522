"""`ganhash dedup --exact`: all equal pictures of near codes, whatever lies between, beside a loop over all pairs."""

from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.engine import codes, duplicates
from ganhash_cli.engine.progress import finish
from test_dedup_command import LENGTH, grouped, kinds, names, noise, store
from test_encode_command import Printed

MOST = LENGTH // 16


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def copy(source: str, target: str) -> None:
    """Write the same pixels into another file, in the format of its name."""
    Path(target).parent.mkdir(exist_ok=True)
    with Image.open(source) as image:
        image.save(target)


def test_a_better_stranger_near_one_of_two_equal_pictures_hides_neither(capsys: Printed) -> None:
    noise("stranger.png", (40, 40), seed=1)
    noise("b.png", seed=2)
    copy("folder/b.png", "folder/c.bmp")
    store("codes.h5", {"stranger.png": 0b000, "b.png": 0b011, "c.bmp": 0b111})
    [group] = grouped(capsys, "codes.h5", "--exact")
    assert sorted(names(group)) == ["b.png", "c.bmp"]


def test_equal_pictures_farther_apart_are_told_by_exact_where_a_group_tells_them(capsys: Printed) -> None:
    noise("best.png", (40, 40), seed=1)
    noise("b.png", seed=2)
    copy("folder/b.png", "folder/c.png")
    store("codes.h5", {"best.png": 0b0000, "b.png": 0b0011, "c.png": 0b1100})
    assert [kind for _, kind, _ in kinds(grouped(capsys, "codes.h5")[0])] == ["best", "near", "exact"]
    [group] = grouped(capsys, "codes.h5", "--exact")
    assert kinds(group) == [("b.png", "best", 0), ("c.png", "exact", 4)]


def test_an_equal_picture_of_the_reference_is_found_behind_a_nearer_stranger(capsys: Printed) -> None:
    noise("same.png", seed=1, root="library")
    noise("stranger.png", seed=2, root="library")
    copy("library/same.png", "incoming/a.bmp")
    store("library.h5", {"same.png": 0b1, "stranger.png": 0b0}, root="library")
    store("incoming.h5", {"a.bmp": 0b0}, root="incoming")
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5", "--exact")
    assert kinds(group) == [("same.png", "reference", 0), ("a.bmp", "exact", 1)]


def test_of_several_equal_pictures_of_the_reference_the_nearest_is_named(capsys: Printed) -> None:
    noise("a.bmp", seed=1, root="library")
    copy("library/a.bmp", "library/b.png")
    copy("library/a.bmp", "incoming/x.png")
    store("library.h5", {"a.bmp": 0b11, "b.png": 0b01}, root="library")
    store("incoming.h5", {"x.png": 0b00}, root="incoming")
    [group] = grouped(capsys, "incoming.h5", "--reference", "library.h5", "--exact")
    assert kinds(group) == [("b.png", "reference", 0), ("x.png", "exact", 1)]


def heap(root: str, seed: int) -> dict[str, tuple[int, int]]:
    """Write 24 files of 6 pictures in 2 shapes, with codes in one heap; return the picture and code of each name."""
    random = np.random.default_rng(seed)
    made = {}
    for number in range(24):
        picture = int(random.integers(6))
        made[f"{number:02}.png"] = picture, int(random.integers(64))
        noise(f"{number:02}.png", (16, 16 + picture % 2), seed=picture, root=root)
    store(f"{root}.h5", {name: code for name, (_, code) in made.items()}, root=root)
    return made


def found(root: str, reference: str = "") -> list[Sequence[str]]:
    """Return the names of each group of equal pictures."""
    with codes.open_codes(Path(f"{root}.h5")) as stored, codes.open_codes(Path(f"{reference or root}.h5")) as known:
        groups = finish(
            duplicates.find_in_reference(stored, known, MOST, exact=True)
            if reference
            else duplicates.find(stored, MOST, exact=True)
        )
    return [[Path(member.look.path.decode()).name for member in group.members] for group in groups]


@pytest.mark.parametrize("seed", range(4))
def test_all_equal_pictures_of_near_codes_are_in_one_group_and_no_others(seed: int) -> None:
    made = heap("folder", seed)
    groups = found("folder")
    assert all(len({made[name][0] for name in group}) == 1 for group in groups)
    for one, other in combinations(made, 2):
        if made[one][0] == made[other][0] and (made[one][1] ^ made[other][1]).bit_count() <= MOST:
            assert sum({one, other} <= set(group) for group in groups) == 1, (one, other)


@pytest.mark.parametrize("seed", range(4))
def test_all_pictures_that_the_reference_holds_within_the_distance_are_below_an_equal_one(seed: int) -> None:
    made, library = heap("incoming", seed), heap("library", seed + 9)
    groups = found("incoming", "library")
    assert all(library[first][0] == made[name][0] for first, *rest in groups for name in rest)
    below = [name for _, *rest in groups for name in rest]
    held = {
        name
        for name, other in product(made, library)
        if made[name][0] == library[other][0] and (made[name][1] ^ library[other][1]).bit_count() <= MOST
    }
    assert held <= set(below)
    assert len(below) == len(set(below))
