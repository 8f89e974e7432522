"""Who stands for whom among codes, against one loop over all pairs; the radius search against the whole table."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganhash_cli.engine import bits, cover, distinct
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.progress import finish

LENGTHS = [12, 31, 48, 64, 100, 256]
RADII = range(9)


def clustered(length: int, count: int, seed: int) -> Codes:
    """Return packed codes in heaps: few centres, of each some with random bits flipped; some are equal."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2, (max(1, count // 12), length))
    chosen = centres[random.integers(0, len(centres), count)]
    flipped = random.random(chosen.shape) < random.choice([0.0, 1 / length, 3 / length, 6 / length], (count, 1))
    return bits.pack(np.where(flipped, 1 - chosen, chosen) - 0.5)


def by_hand(codes: Codes, most: int) -> list[int]:
    """Go through the codes, best first: one that nobody stands for stands for all that are near and still free."""
    table = bits.hamming(codes, codes)
    owner = [-1] * len(codes)
    for row in range(len(codes)):
        if owner[row] < 0:
            for other in range(len(codes)):
                if owner[other] < 0 and table[row, other] <= most:
                    owner[other] = row
    return owner


def pairs(left: Codes, right: Codes, most: int) -> set[tuple[int, int]]:
    found = cover.within(left, right, most)
    return {pair for block in found for pair in zip(block.left.tolist(), block.right.tolist(), strict=True)}


@pytest.fixture(params=["as chosen", "by parts", "all with all"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each of the two ways to find pairs at any size, in blocks so small that there are many."""
    monkeypatch.setattr(cover, "_BLOCK", 64)
    monkeypatch.setattr(cover, "_FIRST", 8)
    if request.param == "by parts":
        monkeypatch.setattr(cover, "_SCAN_COST", 1e9)
    elif request.param == "all with all":
        monkeypatch.setattr(cover, "_SCAN_COST", 0.0)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("most", RADII)
def test_the_best_stand_for_what_is_near_them_as_a_plain_loop_says(length: int, most: int) -> None:
    for seed in range(3):
        codes = clustered(length, 90, seed)
        assert finish(cover.cover(codes, most)).tolist() == by_hand(codes, most)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("most", RADII)
def test_the_pairs_within_a_distance_are_those_of_the_whole_table(length: int, most: int) -> None:
    codes = clustered(length, 120, seed=most)
    left, right = codes[:70], codes[70:]
    wanted = {(a, b) for a, b in np.argwhere(bits.hamming(left, right) <= most).tolist()}
    assert pairs(left, right, most) == wanted


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("most", RADII)
def test_the_crowded_codes_are_those_with_another_near(length: int, most: int) -> None:
    codes = distinct.group(clustered(length, 90, seed=most)).codes
    table = bits.hamming(codes, codes)
    np.fill_diagonal(table, 1 << 20)
    assert finish(cover.crowded(codes, most)).tolist() == (table.min(axis=1) <= most).tolist()


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("most", RADII)
def test_the_nearest_are_all_the_nearest_of_the_whole_table(
    length: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cover, "_EDGES", 50)
    codes = clustered(length, 120, seed=most)
    table = bits.hamming(codes[:70], codes[70:])
    least = table.min(axis=1, keepdims=True)
    wanted = np.argwhere((table == least) & (least <= most)).tolist()
    assert np.stack(finish(cover.nearest(codes[:70], codes[70:], most)), axis=1).tolist() == wanted


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("most", RADII)
def test_the_codes_that_face_each_other_are_those_of_the_whole_table(length: int, most: int) -> None:
    codes = clustered(length, 120, seed=most)
    near = bits.hamming(codes[:70], codes[70:]) <= most
    left, right = finish(cover.facing(codes[:70], codes[70:], most))
    assert (left.tolist(), right.tolist()) == (near.any(axis=1).tolist(), near.any(axis=0).tolist())


def test_both_ways_are_taken_where_each_pays() -> None:
    """Few bits apart among many codes, the parts tell most pairs apart; many bits apart, they tell nothing."""
    codes = np.random.default_rng(0).integers(0, 256, (4000, 8), dtype=np.uint8)
    wide = codes.view(np.uint64)
    assert cover._masks(wide, wide, 64, 2) is not None
    assert cover._masks(wide, wide, 64, 40) is None


def test_where_too_many_are_near_fewer_are_decided_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cover, "_EDGES", 50)
    codes = clustered(64, 200, seed=1)
    assert finish(cover.cover(codes, 6)).tolist() == by_hand(codes, 6)


def test_a_chain_is_no_group() -> None:
    codes = np.array([[0, 0, 0, 0b00], [0, 0, 0, 0b01], [0, 0, 0, 0b11]], np.uint8)
    assert finish(cover.cover(codes, 1)).tolist() == [0, 0, 2]


def test_the_middle_of_a_chain_stands_for_both_ends_where_it_is_the_best() -> None:
    codes = np.array([[0, 0, 0, 0b01], [0, 0, 0, 0b00], [0, 0, 0, 0b11]], np.uint8)
    assert finish(cover.cover(codes, 1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("most", [0, 2, 8])
def test_no_codes_are_no_work(most: int) -> None:
    nothing: NDArray[np.uint8] = np.empty((0, 8), np.uint8)
    assert (len(finish(cover.cover(nothing, most))), len(finish(cover.crowded(nothing, most)))) == (0, 0)
    assert pairs(nothing, nothing, most) == set()
