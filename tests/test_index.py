"""The exact search against a sort of all distances, which is slow and obvious."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from ganhash_cli.engine import index, scan
from ganhash_cli.engine.bits import Codes, hamming, pack
from ganhash_cli.engine.index import ExactIndex

BITS = (1, 12, 32, 48, 64, 100, 128, 256, 1024)


def clustered(count: int, bits: int, seed: int = 0) -> Codes:
    """Return codes of which many are equal, as those of a trained network are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((12, bits))
    return pack(centres[random.integers(0, 12, count)] + 0.3 * random.standard_normal((count, bits)))


def sorted_all(codes: Codes, queries: Codes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    table = hamming(queries, codes)
    ids = np.argsort(table, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(table, ids, 1), ids


@pytest.mark.parametrize("bits", BITS)
def test_the_nearest_are_those_of_a_full_sort(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 64)
    codes, queries = clustered(300, bits), clustered(7, bits, seed=1)
    distances, ids = ExactIndex(codes, bits).search(queries, 20)
    wanted_distances, wanted_ids = sorted_all(codes, queries, 20)
    assert np.array_equal(ids, wanted_ids)
    assert np.array_equal(distances, wanted_distances)


@pytest.fixture
def faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything but the first 32 codes be searched by faiss, 64 codes at a time."""
    for name, value in {
        "_FAISS_PAYS": 0,
        "_FAISS_LOADED_PAYS": 0,
        "_FIRST": 32,
        "_BLOCK": 64,
        "_TILE": 48,
        "_WIDE_BY_TILES": 0,
        "_HEAP_MOST": 20,
    }.items():
        monkeypatch.setattr(scan, name, value)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("k", [1, 20, 299])
@pytest.mark.usefixtures("faiss")
def test_faiss_gives_the_same_ids(bits: int, k: int) -> None:
    codes, queries = clustered(300, bits), clustered(7, bits, seed=1)
    found, wanted = ExactIndex(codes, bits).search(queries, k), sorted_all(codes, queries, k)
    assert np.array_equal(found[1], wanted[1])
    assert np.array_equal(found[0], wanted[0])
    assert [table.dtype for table in found] == [np.int32, np.int64]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("k", [20, 299])
@pytest.mark.usefixtures("faiss")
def test_one_query_is_answered_alike_by_threads_that_share_the_codes(
    bits: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_SPLIT", 0)
    codes, queries = clustered(300, bits), clustered(1, bits, seed=1)
    found, wanted = ExactIndex(codes, bits).search(queries, k), sorted_all(codes, queries, k)
    assert np.array_equal(found[1], wanted[1])
    assert np.array_equal(found[0], wanted[0])


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.usefixtures("faiss")
def test_faiss_finds_the_same_within_a_radius_and_as_many_at_a_distance(bits: int) -> None:
    codes, queries = clustered(300, bits), clustered(4, bits, seed=1)
    table, order = sorted_all(codes, queries, 300)
    at = table[:, 9]
    for row, (distances, ids) in enumerate(ExactIndex(codes, bits).radius(queries, at[0])):
        assert ids.tolist() == order[row][table[row] <= at[0]].tolist()
        assert distances.tolist() == table[row][table[row] <= at[0]].tolist()
    assert ExactIndex(codes, bits).ties(queries, at).tolist() == (table == at[:, None]).sum(axis=1).tolist()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("k", [1, 20, 299])
@pytest.mark.usefixtures("faiss")
def test_a_search_of_the_distinct_codes_gives_the_same_ids(bits: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few = clustered(40, bits)
    codes = few[np.random.default_rng(2).integers(0, 40, 300)]
    queries = np.concatenate([clustered(7, bits, seed=1), few[:3]])
    monkeypatch.setattr(index, "_DISTINCT_PAYS", 1)
    searched = ExactIndex(codes, bits)
    found = searched.search(queries, k)
    assert len(searched._distinct) < 60  # so that this is what was searched
    wanted = sorted_all(codes, queries, k)
    assert np.array_equal(found[1], wanted[1])
    assert np.array_equal(found[0], wanted[0])
    assert [table.dtype for table in found] == [np.int32, np.int64]


def test_the_distances_are_int32_and_the_ids_int64() -> None:
    distances, ids = ExactIndex(clustered(9, 48), 48).search(clustered(2, 48), 3)
    assert (distances.dtype, ids.dtype) == (np.int32, np.int64)


def test_more_neighbours_than_codes_gives_them_all() -> None:
    codes = clustered(5, 48)
    assert sorted(ExactIndex(codes, 48).search(codes[:1], 99)[1][0].tolist()) == [0, 1, 2, 3, 4]


def test_equal_codes_come_in_the_order_of_their_ids() -> None:
    codes = np.zeros((50, 8), np.uint8)
    assert ExactIndex(codes, 64).search(codes[:1], 50)[1][0].tolist() == list(range(50))


@pytest.mark.parametrize(("count", "queries"), [(0, 2), (3, 0), (0, 0)])
def test_nothing_to_search_gives_empty_tables(count: int, queries: int) -> None:
    found = ExactIndex(clustered(count, 48), 48).search(clustered(queries, 48), 10)
    assert [table.shape for table in found] == [(queries, min(10, count))] * 2


def test_codes_without_padding_are_searched_alike() -> None:
    codes, queries = clustered(100, 48), clustered(3, 48, seed=1)
    narrow = ExactIndex(codes[:, :6], 48).search(queries[:, :6], 10)
    assert np.array_equal(narrow[1], ExactIndex(codes, 48).search(queries, 10)[1])


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="48 bits"):
        ExactIndex(np.zeros((3, 5), np.uint8), 48)


@pytest.mark.parametrize("most", [0, 9, 48])
def test_a_radius_holds_every_code_within_it(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_CHUNK", 64)
    codes, queries = clustered(300, 48), clustered(4, 48, seed=1)
    table, order = sorted_all(codes, queries, 300)
    for row, (distances, ids) in enumerate(ExactIndex(codes, 48).radius(queries, most)):
        assert ids.tolist() == order[row][table[row] <= most].tolist()
        assert distances.tolist() == table[row][table[row] <= most].tolist()


def test_a_radius_among_no_codes_is_empty() -> None:
    [(distances, ids)] = ExactIndex(clustered(0, 48), 48).radius(clustered(1, 48), 48)
    assert (len(distances), len(ids)) == (0, 0)


def test_ties_are_all_codes_at_that_distance() -> None:
    codes, queries = clustered(300, 48), clustered(4, 48, seed=1)
    wanted = [int((row == 20).sum()) for row in hamming(queries, codes)]
    assert ExactIndex(codes, 48).ties(queries, np.full(4, 20)).tolist() == wanted


def test_one_query_over_many_codes_imports_no_faiss() -> None:
    program = (
        "import sys, numpy as np; from ganhash_cli.engine.index import ExactIndex\n"
        "codes = np.zeros((100_000, 8), np.uint8); ExactIndex(codes, 64).search(codes[:1], 10)\n"
        "sys.exit('faiss' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
