"""Queries that leaked: what looking for them takes."""

import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from ganhash_cli.engine import decoders, decoding, overlap
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.queries import Queries
from ganhash_cli.engine.remote_copy import Copy
from linear_hash import BITS, SIDE, made_up

IMAGES, ASKED = 2_000, 400


def test_memory_does_not_grow_with_the_pairs_of_equal_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    square = np.zeros((SIDE, SIDE, 3), np.uint8)

    def squares(files: Iterable[bytes], side: int) -> Iterator[np.ndarray]:
        return (square for _ in files)

    monkeypatch.setattr(decoders, "squares", squares)
    columns: dict[str, Any] = {"codes": np.zeros((IMAGES, 4), np.uint8)}
    stored = Copy("memory", Header(BITS, "0" * 64, b"/", SIDE, "folder/"), columns, [b"a.png"] * IMAGES)
    digests = (decoding.pixel_digest(square), *["0" * 64] * (ASKED - 1))
    logits, codes = np.full((ASKED, BITS), -1, np.float32), np.zeros((ASKED, 4), np.uint8)
    asked = Queries(tuple(b"%d.png" % n for n in range(ASKED)), codes, ((),) * ASKED, (), logits, digests)
    tracemalloc.start()
    found = finish(overlap.find(asked, stored, made_up()))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.in_database, found.unreadable) == ((b"0.png",), 0)
    assert most < 4 * IMAGES * ASKED  # bytes: less than half a pointer for each pair
