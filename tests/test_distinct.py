"""The distinct codes and their rows, against a dictionary of all rows by code."""

import numpy as np
import pytest

from ganhash_cli.engine import distinct
from ganhash_cli.engine.bits import width


@pytest.mark.parametrize("bits", [12, 48, 64, 100, 256])
def test_every_code_has_its_rows_and_codes_come_by_their_first_row(bits: int) -> None:
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
    assert len(found) == distinct.count(codes) == len(wanted)


def test_no_codes_are_no_groups() -> None:
    nothing = np.empty((0, 8), np.uint8)
    assert len(distinct.group(nothing)) == distinct.count(nothing) == 0
