"""Time mAP@all of 1,000 queries against so many codes of 64 bits: ours, the usual sorted loop, and distances alone."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUERIES, BITS, CLASSES, ROUNDS = 1_000, 64, 10, 3
LOOPED = 59_000_000  # pairs that the sorted loop goes through; of more, a share is timed


def sorted_loop(queries: NDArray[Any], database: NDArray[Any], own: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Return mAP as the published code of most methods does: codes of -1 and 1, a sort for each query."""
    total = 0.0
    for query, label in zip(queries, own, strict=True):
        relevant = theirs == label
        ranked = relevant[np.argsort(0.5 * (BITS - query @ database.T), kind="stable")]
        places = np.flatnonzero(ranked) + 1.0
        total += (np.arange(1, len(places) + 1) / places).mean()
    return total / len(queries)


def main(count: int) -> None:
    """Print the median seconds of each, taken in turn, as JSON, for `count` codes."""
    from ganhash_cli.engine import bits, histograms, metrics
    from ganhash_cli.engine.relevance import Relevance

    random = np.random.default_rng(0)
    own, theirs = random.integers(0, CLASSES, QUERIES), random.integers(0, CLASSES, count)
    centres = random.integers(0, 2, (CLASSES, BITS))
    signs = [np.where(random.random((len(y), BITS)) < 0.2, 1 - centres[y], centres[y]) for y in (own, theirs)]
    queries, database = (np.packbits(rows.astype(bool), axis=1) for rows in signs)
    floats = [(2 * rows - 1).astype(np.float32) for rows in signs]

    def ours() -> float:
        relevance = Relevance([str(number) for number in range(CLASSES)], theirs, np.arange(count), count)
        counts = histograms.of_codes(queries, database, BITS, relevance.rows([(str(y),) for y in own]))
        return metrics.mean(metrics.average_precision(counts))

    def distances() -> None:
        for start in range(0, QUERIES, block):
            bits.hamming(queries[start : start + block], database)

    looped = min(QUERIES, LOOPED // count)
    block = max(1, 2_000_000 // count)
    turns: dict[str, Callable[[], object]] = {
        "ours": ours,
        "peer": lambda: sorted_loop(floats[0][:looped], floats[1], own[:looped], theirs),
        "limit": distances,
    }
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            begun = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(json.dumps(medians | {"peer": medians["peer"] * QUERIES / looped}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
