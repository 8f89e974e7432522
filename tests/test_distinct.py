"""The distinct codes and their rows, against a dictionary of all rows by code."""

import numpy as np
import pytest

from ganhash_cli.engine import distinct
from ganhash_cli.engine.bits import width


@pytest.mark.parametrize("hashes", [None, 0, 2], ids=["hashed", "all of one hash", "of three hashes"])
@pytest.mark.parametrize("bits", [12, 48, 64, 100, 256])
def test_every_code_has_its_rows_and_codes_come_by_their_first_row(
    bits: int, hashes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hashes is not None:
        monkeypatch.setattr(distinct, "_hashes", lambda codes: (codes[:, -1] % 3 * np.uint64(hashes)) << np.uint64(40))
    rng = np.random.default_rng(bits)
    kinds = rng.integers(0, 256, (30, width(bits)), dtype=np.uint8)
    kinds[1] = kinds[0]
    kinds[1, -1] ^= 1  # codes that differ in the last byte only
    codes = kinds[rng.integers(0, 30, 200)]
    wanted: dict[bytes, list[int]] = {}
    for row, code in enumerate(codes):
        wanted.setdefault(code.tobytes(), []).append(row)
    found = distinct.group(codes)
    rows = [found.rows[a:b].tolist() for a, b in zip(found.starts, found.ends, strict=True)]
    assert [code.tobytes() for code in found.codes] == list(wanted)
    assert rows == list(wanted.values())
    assert len(found) == len(wanted)


def test_no_codes_are_no_groups() -> None:
    nothing = np.empty((0, 8), np.uint8)
    assert len(distinct.group(nothing)) == 0


@pytest.mark.parametrize(("kinds", "share"), [(70_000, 0.7), (95_000, 0.95)])
def test_whether_few_are_different_is_told_by_some_of_them(kinds: int, share: float) -> None:
    rng = np.random.default_rng(kinds)
    different = rng.integers(0, 256, (kinds, 16), dtype=np.uint8)
    codes = np.concatenate([different, different[: 100_000 - kinds]])
    assert distinct.at_most(codes, share + 0.01)
    assert not distinct.at_most(codes, share - 0.01)


def test_one_code_that_many_rows_hold_does_not_make_few_of_the_others() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (100_000, 8), dtype=np.uint8)
    codes[:9_000] = 7
    assert not distinct.at_most(codes, 0.8)
