"""Rows of codes.h5 → what their files are today: how large, the same file or not, still what was encoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ganhash_cli.engine import decoders, decoding, files, wording
from ganhash_cli.engine.codes import CHANGED, StoredCodes
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.queries import openable

_EVERY, _DIGESTS = 1024, 64  # headers or pictures from one report of progress to the next; no more need no report


class Look(NamedTuple):
    """A file as it is: `path` can be opened from here, `size` in bytes as it was encoded, width and height in pixels.

    `file` is equal for names of one file, as links are. `fault` says why a file cannot be judged, and is else empty.
    """

    path: bytes
    size: int
    width: int
    height: int
    file: tuple[int, int]
    fault: str

    @property
    def shape(self) -> tuple[int, int]:
        """The shorter and the longer side, since EXIF may turn a picture."""
        return min(self.width, self.height), max(self.width, self.height)


@dataclass(frozen=True)
class Looks:
    """Looks by row."""

    by_row: Mapping[int, Look]

    def best_first(self) -> list[int]:
        """Return the rows by resolution, then size, then path; what cannot be judged comes last."""
        return sorted(self.by_row, key=self._preference)

    def _preference(self, row: int) -> tuple[int, int, int]:
        look = self.by_row[row]
        return -look.width * look.height, -look.size, row  # rows stand in the order of their paths


def look(stored: StoredCodes, rows: Sequence[int]) -> Work[Looks]:
    """Read the headers of the files of these rows, and no pixels."""
    sizes, times, paths = stored.column("size").tolist(), stored.column("mtime_ns").tolist(), stored.paths()
    found = {}
    for done, row in enumerate(rows, start=1):
        found[row] = _look(openable(stored.header.root, paths[row]), sizes[row], times[row])
        if len(rows) > _EVERY and (done % _EVERY == 0 or done == len(rows)):
            yield Progress("reading headers", done, len(rows), unit="images")
    return Looks(found)


def digests(looks: Sequence[Look]) -> Work[dict[bytes, str]]:
    """Return the digests of whole pictures by path; of files that cannot be read there are none."""
    paths = [look.path for look in looks]
    found = {}
    for done, (path, digest) in enumerate(zip(paths, decoders.picture_digests(paths), strict=True), start=1):
        if not isinstance(digest, Undecodable):
            found[path] = digest
        if len(paths) > _DIGESTS and (done % _DIGESTS == 0 or done == len(paths)):
            yield Progress("comparing pixels", done, len(paths), unit="images")
    return found


def _look(path: bytes, size: int, mtime_ns: int) -> Look:
    try:
        status = os.stat(path)
        if (status.st_size, files.mtime_ns(status)) != (size, mtime_ns):
            raise Undecodable(CHANGED)
        width, height = decoding.dimensions(path)
    except OSError as error:
        return Look(path, size, 0, 0, (0, 0), wording.fault(error))
    except Undecodable as reason:
        return Look(path, size, 0, 0, (0, 0), str(reason))
    return Look(path, size, width, height, (status.st_dev, status.st_ino), "")
