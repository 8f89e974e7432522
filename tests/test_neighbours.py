"""A page of neighbours, compared with sorting everything."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ganhash_cli.engine import bits, neighbours
from ganhash_cli.engine.index import ExactIndex

BITS, N = 12, 500


@pytest.fixture
def codes() -> NDArray[np.uint8]:
    """Few bits, so that many are tied."""
    return bits.pack(np.random.default_rng(3).standard_normal((N, BITS)))


def slow(codes: NDArray[np.uint8], query: int, most: int, rows: list[int]) -> list[tuple[int, int]]:
    distances = [int(np.unpackbits(codes[query] ^ codes[row]).sum()) for row in rows]
    return sorted((distance, row) for distance, row in zip(distances, rows, strict=True) if distance <= most)


@pytest.mark.parametrize("first", [0, 1, 59, 60, 499, 500, 10**12])
@pytest.mark.parametrize("most", [0, 3, BITS])
@pytest.mark.parametrize("some", [False, True])
def test_a_page_is_a_piece_of_the_sorted_whole(codes: NDArray[np.uint8], first: int, most: int, some: bool) -> None:
    rows = list(range(0, N, 3)) if some else list(range(N))
    whole = slow(codes, 7, most, rows)[first : first + 60]
    chosen = np.array(rows) if some else None
    found = neighbours.page(ExactIndex(codes, BITS), codes[7], first, 60, most, chosen)
    assert list(zip(found.distances.tolist(), found.ids.tolist(), strict=True)) == whole


def test_the_counts_are_of_all_rows_whatever_the_limit(codes: NDArray[np.uint8]) -> None:
    found = neighbours.page(ExactIndex(codes, BITS), codes[7], 0, 1, most=2)
    everything = [distance for distance, _ in slow(codes, 7, BITS, list(range(N)))]
    assert found.counts.tolist() == [everything.count(distance) for distance in range(BITS + 1)]


def test_of_no_codes_there_is_no_neighbour() -> None:
    found = neighbours.page(ExactIndex(np.empty((0, 4), np.uint8), BITS), np.zeros(4, np.uint8), 0, 60)
    assert (found.ids.tolist(), found.counts.sum()) == ([], 0)
