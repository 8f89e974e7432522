"""codes.h5 → NDJSON that OpenSearch, Elasticsearch and Vespa take in bulk, and what each must be told before.

Meant for OpenSearch's `knn_vector` of data_type binary (2.16), Elasticsearch's `dense_vector` of element_type bit
(8.15) and Vespa's tensor<int8> with the distance metric hamming; none of it was run against such a program.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganhash_cli.engine import files
from ganhash_cli.engine.codes import StoredCodes, open_codes
from ganhash_cli.engine.path_records import path_record
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.pusher import image_id

Engine = Literal["opensearch", "elasticsearch", "vespa"]

BATCH = 4096  # images


@dataclass(frozen=True)
class FeedReport:
    """What was written: `images` of `bits`, as `written` bytes."""

    out: Path
    images: int
    bits: int
    written: int
    seconds: float


def feed(codes: Path, engine: Engine, name: str, out: Path) -> Work[FeedReport]:
    """Write all images of a codes file to `out`, for a collection called `name`; replaces it once it is whole.

    Raises as `open_codes` does, `StorageError` where the disk is full.
    """
    started = time.monotonic()
    with open_codes(codes) as stored:
        for column in stored.columns:
            stored.require_sound(column)
        with files.atomic_write(out) as stream:
            for start in range(0, len(stored), BATCH):
                end = min(start + BATCH, len(stored))
                stream.write("".join(_lines(stored, start, end, engine, name)).encode())
                yield Progress("exporting", end, len(stored), unit="images")
        seconds = time.monotonic() - started
        return FeedReport(out, len(stored), stored.header.bits, out.stat().st_size, seconds)


def schema(engine: Engine, bits: int, name: str) -> str:
    """Return what creates the collection: the body of PUT /NAME, or of Vespa the schema file NAME.sd."""
    whole = (bits + 7) // 8 * 8
    if engine == "vespa":
        return _VESPA.format(name=name, width=whole // 8)
    if engine == "opensearch":
        method = {"name": "hnsw", "space_type": "hamming", "engine": "faiss"}
        code: dict[str, Any] = {"type": "knn_vector", "dimension": whole, "data_type": "binary", "method": method}
        settings: dict[str, Any] = {"settings": {"index": {"knn": True}}}
    else:
        code, settings = {"type": "dense_vector", "element_type": "bit", "dims": whole}, {}
    texts = {field: {"type": "keyword"} for field in ("path", "labels")}
    stored = {"path_b64": {"type": "keyword", "index": False}}
    return json.dumps({**settings, "mappings": {"properties": {"code": code, **texts, **stored}}}, indent=2) + "\n"


def _lines(stored: StoredCodes, start: int, end: int, engine: Engine, name: str) -> Iterator[str]:
    narrow = np.ascontiguousarray(stored.codes[start:end, : (stored.header.bits + 7) // 8])
    rows = zip(
        narrow.view(np.int8).tolist(), stored.paths_of(start, end), stored.labels_between(start, end), strict=True
    )
    for code, path, labels in rows:
        fields = {"code": code, **path_record(path), "labels": list(labels)}
        number = str(image_id(path))
        if engine == "vespa":
            yield _line({"put": f"id:{name}:{name}::{number}", "fields": fields})
        else:
            yield _line({"index": {"_index": name, "_id": number}}) + _line(fields)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"


_VESPA = """\
schema {name} {{
  document {name} {{
    field code type tensor<int8>(x[{width}]) {{
      indexing: attribute | index | summary
      attribute {{ distance-metric: hamming }}
    }}
    field path type string {{ indexing: attribute | summary }}
    field path_b64 type string {{ indexing: summary }}
    field labels type array<string> {{ indexing: attribute | summary }}
  }}
  rank-profile hamming {{
    inputs {{ query(q) tensor<int8>(x[{width}]) }}
    first-phase {{ expression: -distance(field, code) }}
  }}
}}
"""
