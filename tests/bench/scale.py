"""How the cost of search grows with the number of codes: `make bench-scale` writes build/scale.json.

Each number is measured by processes of its own, so that none sees the memory of another. Codes are those of
crowds.py, of 64 bits; queries are none of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "build" / "scale.json"
BITS, QUERIES, ROUNDS = 64, 200, 5
STEPS = [10**4, 10**5, 10**6, 10**7, 10**8]


def write(path: Path, count: int) -> dict[str, Any]:
    """Write a codes file of that many images."""
    from bench import crowds

    made = crowds.clustered(count, BITS)
    begun = time.perf_counter()
    crowds.write(path, made, BITS)
    return {"codes": count, "bits": BITS, "write_seconds": time.perf_counter() - begun, "bytes": path.stat().st_size}


def index(path: Path) -> dict[str, Any]:
    """Build the approximate index of a codes file and search it and the codes, one query at a time."""
    import faiss
    import numpy as np

    from bench import crowds
    from ganhash_cli.engine import codes, ivf_file
    from ganhash_cli.engine.index import ExactIndex
    from ganhash_cli.engine.progress import finish

    queries = crowds.clustered(QUERIES, BITS, seed=1)
    with codes.open_codes(path) as stored:
        exact = ExactIndex(stored.codes, BITS)
        exact.search(queries[:1], 10)
        few = queries[: max(5, min(QUERIES, 10**8 // len(stored)))]
        one = [_timed(exact, query) for query in few]
        begun = time.perf_counter()
        finish(ivf_file.open_or_build(stored, path.parent))
        built, peak = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begun = time.perf_counter()
        kept = finish(ivf_file.open_or_build(stored, path.parent))
        opened = time.perf_counter() - begun
        first = [_timed(kept, query) for query in queries]  # each list is checked when it is first read
        again = [_timed(kept, query) for query in queries]
        wanted = exact.search(few, 10)[0]
        found = kept.search(few, 10)[0] <= wanted[:, -1:]
    return {
        "exact_seconds": statistics.median(one),
        "build_seconds": built,
        "build_mebibytes": peak,
        "index_bytes": ivf_file.place(path.parent, path).stat().st_size,
        "index_open_seconds": opened,
        "approximate_first_seconds": first[0],
        "approximate_seconds": statistics.median(again),
        "recall": float(np.mean(found)),
        "recall_told": kept.recall,
        "lists": len(kept.lists.centres),
        "probes": kept.lists.probes,
        "threads": faiss.omp_get_max_threads(),
    }


def _timed(index: Any, query: Any) -> float:
    begun = time.perf_counter()
    index.search(query[None], 10)
    return time.perf_counter() - begun


def cold(path: Path) -> dict[str, Any]:
    """Return what opening a codes file and one exact query take in a process of its own, the median of several."""
    runs = [json.loads(_child(HERE / "one_query.py", path)) for _ in range(ROUNDS + 1)][1:]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        "open_seconds": medians["opening"],
        "cold_query_seconds": medians["query"],
        "mebibytes": medians["mebibytes"],
        "reading_seconds": medians["reading"],
    }


def _child(program: Path, *arguments: str | Path) -> bytes:
    command = [sys.executable, program, *(os.fspath(argument) for argument in arguments)]
    path = os.pathsep.join([os.fspath(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}, check=True).stdout


def main() -> None:
    """Measure each number of codes in turn; what an earlier run measured of others stays."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--most", type=float, default=STEPS[-1], help="codes, at most")
    options.add_argument("--only", nargs=3, metavar=("WHAT", "PATH", "COUNT"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.only:
        what, path, count = given.only
        print(json.dumps(write(Path(path), int(count)) if what == "write" else index(Path(path))))
        return
    rows = {row["codes"]: row for row in (json.loads(OUT.read_text()) if OUT.exists() else [])}
    for count in (step for step in STEPS if step <= given.most):
        with tempfile.TemporaryDirectory(prefix="ganhash-scale-") as folder:
            path = Path(folder) / "codes.h5"
            row = json.loads(_child(Path(__file__), "--only", "write", path, str(count)))
            row |= cold(path)
            row |= json.loads(_child(Path(__file__), "--only", "index", path, str(count)))
        rows[count] = row
        print(json.dumps(row), flush=True)
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps([rows[each] for each in sorted(rows)], indent=1) + "\n")


if __name__ == "__main__":
    main()
