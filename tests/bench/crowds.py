"""Codes as trained networks make them, and files of any number of them: what the benchmarks of search search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits as packing
from ganhash_cli.engine import codes, codes_format
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.shards import Shard, shard_of

CENTRES, DIMENSIONS = 2_000, 48
_BLOCK = 1 << 18


def clustered(count: int, bits: int, seed: int = 0) -> packing.Codes:
    """Return the signs of random projections of a mixture of Gaussians: a few directions carry most of the variance.

    The mixture is one and the same for all seeds: those of another seed are queries that the codes do not hold.
    """
    random = np.random.default_rng(0)
    spectrum = 1 / np.sqrt(1 + np.arange(DIMENSIONS))
    centres = random.standard_normal((CENTRES, DIMENSIONS)) * spectrum
    spread = 0.5 * np.exp(0.4 * random.standard_normal(CENTRES))
    projection = random.standard_normal((DIMENSIONS, bits)).astype(np.float32)
    weights = 1 / np.arange(1, CENTRES + 1) ** 0.7
    ends = np.cumsum(weights / weights.sum())
    random = np.random.default_rng(seed + 1)
    made = np.empty((count, packing.width(bits)), np.uint8)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        which = np.searchsorted(ends[:-1], random.random(size))
        noise = random.standard_normal((size, DIMENSIONS), np.float32) * (spread[which, None] * spectrum)
        made[start : start + size] = packing.pack((centres[which] + noise).astype(np.float32) @ projection)
    return made


def with_copies(made: packing.Codes, each: int) -> packing.Codes:
    """Return as many codes, of which about one in `each` is different."""
    return made[np.random.default_rng(0).integers(0, len(made) // each, len(made))]


def write(path: Path, made: packing.Codes, bits: int) -> None:
    """Write a codes file of images that are nowhere, with names such as cameras give, without a list of them."""
    _write(path, made, _names(len(made)), Header(bits, "0" * 64, b"/nowhere", 64, "nothing"))


def write_shards(folder: Path, made: packing.Codes, bits: int, count: int) -> list[Path]:
    """Write the same images as `count` shards, in files of their own."""
    names, parts = _names(len(made)), []
    numbers = np.array([shard_of(bytes(name), count) for name in names])
    for number in range(1, count + 1):
        header = Header(bits, "0" * 64, b"/nowhere", 64, "nothing", shard=Shard(number, count))
        parts.append(folder / f"part-{number:02}.h5")
        _write(parts[-1], made[numbers == number], names[numbers == number], header)
    return parts


def _write(path: Path, made: packing.Codes, names: NDArray[np.uint8], header: Header) -> None:
    count, random = len(made), np.random.default_rng(0)
    columns: dict[str, NDArray[Any]] = {
        "codes": made,
        "path_bytes": names.ravel(),
        "path_offsets": names.shape[1] * np.arange(count + 1, dtype=np.uint64),
        "size": random.integers(1 << 20, 1 << 23, count).astype(np.uint64),
        "mtime_ns": 10**9 * np.cumsum(random.integers(1, 600, count)),
        "confidence": random.integers(0, 256, count, dtype=np.uint8),
    }
    codes.write_columns(
        path, columns, codes_format.facts(header, {name: codes_format.digest(data) for name, data in columns.items()})
    )


def _names(count: int) -> NDArray[np.uint8]:
    """Return `photos/ffffff/IMG_nnnnnnnn.jpg` for each number, a thousand a folder, (count, letters)."""
    names = np.tile(np.frombuffer(b"photos/000000/IMG_00000000.jpg", np.uint8), (count, 1))
    numbers = np.arange(count, dtype=np.int64)
    for at, digits, what in ((7, 6, numbers // 1000), (18, 8, numbers)):
        for place in range(digits):
            names[:, at + place] += (what // 10 ** (digits - 1 - place) % 10).astype(np.uint8)
    return names
