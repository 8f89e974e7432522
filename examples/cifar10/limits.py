"""Tell what limits the codes of trained models: `python limits.py CIFAR-FOLDER OUT.json BITS [BITS ...]`.

Run where `run.sh` ran. Queries of P1 search 6,000 images of its database, as many of each class as there are, by their
codes, by the cosines of the real-valued outputs, and by nothing but the class whose codes each lies nearest to.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import images, metrics
from ganhash_cli.engine.bits import hamming, pack
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.histograms import of_tables
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.protocols import shuffled
from ganhash_cli.engine.runtime import open_runtime

IMAGES = 6000

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


def some(collection: Collection, count: int) -> Collection:
    """Return so many of the images, equally many of each class, in the order of the SHA-256 of their names."""
    each = count // len(collection.class_names)
    ordered = sorted(collection.entries, key=lambda entry: shuffled(entry.path.decode()))
    rows = [[entry for entry in ordered if entry.labels == (label,)] for label in range(len(collection.class_names))]
    return replace(collection, entries=tuple(entry for members in rows for entry in members[:each]))


def limits(queries: Logits, database: Logits, asked: Labels, known: Labels) -> dict[str, float]:
    """Return what the (N, bits) logits of queries and database retrieve, and how well they tell classes apart.

    `asked` and `known` are the (N,) labels of the two. A class's code has the bits of most of its images there.
    """
    relevant = asked[:, None] == known
    shares = np.stack([(database[known == label] >= 0).mean(0) for label in range(known.max() + 1)])
    nearest = [hamming(pack(logits), pack(shares - 0.5)).argmin(1) for logits in (queries, database)]
    unit = [logits / np.linalg.norm(logits, axis=1, keepdims=True) for logits in (queries, database)]
    ranks = (-unit[0] @ unit[1].T).argsort(1).argsort(1)  # a distance of its own for each
    distances = {
        "codes": hamming(pack(queries), pack(database)),
        "cosines": ranks,
        "classes": (nearest[0][:, None] != nearest[1]).astype(np.int64),
    }
    found = {f"map_by_{name}": metrics.mean(_average_precision(table, relevant)) for name, table in distances.items()}
    return found | {"nearest_to_its_class": float((nearest[1] == known).mean())}


def _average_precision(distances: NDArray[Any], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    parts = [slice(start, start + 50) for start in range(0, len(distances), 50)]
    return np.concatenate([metrics.average_precision(of_tables(distances[part], relevant[part])) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("bits", nargs="+")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--runtime", choices=["auto", "openvino"], default="auto")
    given = parser.parse_args()
    lists = [images.from_csv(given.data / f"cifar10-p1-{part}.csv") for part in ("query", "database")]
    lists[1] = some(lists[1], given.images)
    labels = [np.array([entry.labels[0] for entry in each.entries]) for each in lists]
    rows = []
    for bits in given.bits:
        runtime = open_runtime(Bundle.open(Path(f"model-{bits}")), given.runtime)
        logits = [runtime.logits(finish(images.load(each, runtime.side, strict=True)).array) for each in lists]
        rows.append({"bits": runtime.bits, "images": len(labels[1]), **limits(*logits, *labels)})
        given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
