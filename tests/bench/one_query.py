"""Open a codes file, answer one exact query, and print what that took, beside reading the codes alone, as JSON."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from ganhash_cli.engine import codes
from ganhash_cli.engine.index import ExactIndex


def own_mebibytes() -> float:
    """Return the memory that is this process's own and no map of a file; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0


def main() -> None:
    """Print the seconds, all memory of its own in MiB, and the seconds that reading the codes takes."""
    begun = time.perf_counter()
    with codes.open_codes(Path(sys.argv[1])) as stored:
        opened = time.perf_counter()
        index = ExactIndex(stored.codes, stored.header.bits)
        _, ids = index.search(np.asarray(stored.codes[len(stored) // 2][None]), 10)
        names = [stored.path_of(row) for row in ids[0].tolist()]
        done = time.perf_counter()
        own = own_mebibytes()
        read = time.perf_counter()
        stored.codes.view(np.uint32).max(initial=0)
        reading = time.perf_counter() - read
    assert len(names) == min(10, len(stored))
    figures = {"seconds": done - begun, "opening": opened - begun, "query": done - opened}
    print(json.dumps({**figures, "mebibytes": own, "reading": reading}))


if __name__ == "__main__":
    main()
