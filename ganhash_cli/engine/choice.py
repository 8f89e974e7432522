"""How a search is done, exactly or by an index that finds nearly all: the rules, and the measurements behind them.

Exact is what a person expects, so `auto` leaves it only where waiting is saved that would be felt: where comparing
all with all takes `_PATIENCE` and the index, with the time to build it where none is kept, at most half of that.
The figures are seconds of one core of an AMD EPYC with AVX-512, rough ones; `make bench-scale` measures those of 64
bits anew. Another machine shifts where the two meet, not what is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ganhash_cli.engine import ivf_file, parallel
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.ivf import IvfIndex
from ganhash_cli.engine.progress import Work

IndexName = Literal["auto", "exact", "ivf"]

_PATIENCE = 2.0  # seconds
_MOST_NEIGHBOURS = 100  # recall is known of the 10 nearest; far beyond, it would be another
_COMPARED = {4: 0.4e-9, 8: 0.4e-9, 16: 0.65e-9, 32: 1.1e-9, 64: 2.0e-9, 128: 4.0e-9}  # a code, by its bytes
_PROBED = 0.3e-3  # a query by the index
_BUILT = 2.5e-6  # a code; measured at 64 bits


def open_index(
    stored: StoredCodes, wanted: IndexName, cache: Path | None, *, queries: int, k: int, complete: bool
) -> Work[ExactIndex | IvfIndex]:
    """Return what to search `stored` with; `complete` says that all within a distance are needed, which is exact."""
    if complete or wanted == "exact" or (wanted == "auto" and not _index_pays(stored, cache, queries, k)):
        return ExactIndex(stored.codes, stored.header.bits)
    index = yield from ivf_file.open_or_build(stored, cache)
    return index


def _index_pays(stored: StoredCodes, cache: Path | None, queries: int, k: int) -> bool:
    exact, build, probe = seconds(len(stored), stored.codes.shape[1], queries)
    if exact < _PATIENCE or k > _MOST_NEIGHBOURS or exact < 2 * probe:
        return False
    return exact >= 2 * (build + probe) or ivf_file.belongs(cache, stored)


def seconds(codes: int, width: int, queries: int) -> tuple[float, float, float]:
    """Tell how long comparing all takes here, building an index, and searching that; codes are `width` bytes wide.

    >>> [round(each, 1) for each in seconds(1_000_000, 8, 1)][:1]
    [0.0]
    """
    cores = parallel.threads()
    return codes * queries * _COMPARED[width] / cores, codes * _BUILT / cores, queries * _PROBED
