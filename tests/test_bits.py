"""Packing and the Hamming distance, against the slow and obvious."""

import numpy as np
import pytest

from ganhash_cli.engine.bits import hamming, pack, unpack, width
from ganhash_cli.engine.limits import MAX_BITS

LENGTHS = [1, 7, 8, 9, 12, 31, 32, 33, 48, 64, 100, 128, 1024]


def logits(bits: int, rows: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, bits]).standard_normal((rows, bits))


def packed_slowly(row: np.ndarray) -> bytes:
    text = "".join("1" if value >= 0 else "0" for value in row)
    return int(text.ljust(8 * width(len(row)), "0"), 2).to_bytes(width(len(row)), "big")


@pytest.mark.parametrize("bits", LENGTHS)
def test_a_width_is_the_smallest_power_of_two_from_four_that_holds_the_bits(bits: int) -> None:
    assert width(bits) == next(size for size in (4, 8, 16, 32, 64, 128) if 8 * size >= bits)


@pytest.mark.parametrize("bits", [0, -1, MAX_BITS + 1])
def test_a_length_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="bits must be 1 to 1024"):
        width(bits)


@pytest.mark.parametrize("bits", LENGTHS)
def test_bits_are_packed_most_significant_first_and_padded_with_zeros(bits: int) -> None:
    values = logits(bits)
    assert pack(values).tobytes() == b"".join(map(packed_slowly, values))


def test_zero_is_a_one_also_where_it_is_negative() -> None:
    assert pack(np.array([[0.0, -0.0]])).tolist() == [[0b11000000, 0, 0, 0]]


def test_what_is_no_number_is_a_zero() -> None:
    assert pack(np.array([[np.nan, np.inf, -np.inf]])).tolist() == [[0b01000000, 0, 0, 0]]


@pytest.mark.parametrize("bits", LENGTHS)
def test_unpacking_gives_the_signs_back(bits: int) -> None:
    values = logits(bits)
    assert np.array_equal(unpack(pack(values), bits), values >= 0)


def test_no_rows_give_no_codes() -> None:
    assert pack(np.empty((0, 48))).shape == (0, 8)


def test_logits_of_another_rank_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(N, bits\)"):
        pack(np.zeros(8))


@pytest.mark.parametrize("bits", LENGTHS)
def test_the_distance_is_the_number_of_signs_that_differ(bits: int) -> None:
    a, b = logits(bits, 5, seed=1), logits(bits, 7, seed=2)
    slow = [[sum((x >= 0) != (y >= 0) for x, y in zip(row, other, strict=True)) for other in b] for row in a]
    assert hamming(pack(a), pack(b)).tolist() == slow
