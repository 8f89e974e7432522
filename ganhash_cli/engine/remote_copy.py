"""An index in another program → codes, paths and labels in memory: figures over all distances need all codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import bits, codes_format
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header, Rows
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.remote import Remote
from ganhash_cli.plugin.contracts import Image

BATCH = 4096  # images
_UNKNOWN = {"size", "mtime_ns", "confidence"}  # what an index does not keep


class Copy:
    """What `StoredCodes` has of codes, paths and labels, in the same order; `path` says where it comes from."""

    def __init__(self, path: str, header: Header, columns: dict[str, NDArray[Any]], paths: list[bytes]) -> None:
        self.path, self.header = path, header
        self.codes: bits.Codes = columns["codes"]
        self._columns, self._paths = columns, paths

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def labelled(self) -> bool:
        """Whether images have labels."""
        return bool(self.header.class_names)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what there is."""
        return tuple(self._columns)

    def column(self, name: str) -> NDArray[Any]:
        """Return a whole column."""
        return self._columns[name]

    def path_of(self, row: int) -> bytes:
        """Return the path of a row, relative to the root; `CorruptError` where it leads out of it."""
        return codes_format.inside(self._paths[row], self.path)


Database = StoredCodes | Copy


def copy(remote: Remote) -> Work[Copy]:
    """Fetch all images of an index, batch by batch; raises as `Remote` does."""
    header = remote.require_header()
    images: list[Image] = []
    first = 0
    with remote.asking() as index:
        total = index.count()
        while ids := index.ids(first, BATCH):
            images += [image for image in index.images(ids) if image]
            first = ids[-1] + 1
            yield Progress("fetching codes", min(len(images), total), total, unit="images")
            if first >> 63:
                break
    return _arranged(remote.path, header, images)


def _arranged(path: str, header: Header, images: list[Image]) -> Copy:
    images.sort(key=lambda image: image[1])
    names = tuple(sorted({name for _, _, labels in images for name in labels}))
    numbers = {name: number for number, name in enumerate(names)}
    codes = np.zeros((len(images), bits.width(header.bits)), np.uint8)
    if images:
        codes[:, : (header.bits + 7) // 8] = np.stack([code for code, _, _ in images])
    paths = [each for _, each, _ in images]
    labels = [tuple(numbers[name] for name in each) for _, _, each in images] if names else None
    none = np.zeros(len(images))
    rows = Rows(codes, paths, none.astype(np.uint64), none.astype(np.int64), none.astype(np.uint8), labels)
    columns, _ = codes_format.pack(header, rows)
    known = {name: data for name, data in columns.items() if name not in _UNKNOWN}
    return Copy(path, replace(header, class_names=names), known, paths)
