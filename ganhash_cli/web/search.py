"""What is answered, as values: about the codes, a page of neighbours, a thumbnail; used by one thread at a time."""

from __future__ import annotations

import os
import time
import weakref
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from ganhash_cli import __version__
from ganhash_cli.engine import bits, decoding, neighbours, wording
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import CHANGED, StoredCodes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.decoders import Decoders
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.index import ExactIndex
from ganhash_cli.engine.names import safe
from ganhash_cli.engine.path_records import path_record
from ganhash_cli.engine.queries import hash_square
from ganhash_cli.engine.runtime import Runtime, open_runtime
from ganhash_cli.web.live import LiveCodes
from ganhash_cli.web.refusal import Refused
from ganhash_cli.web.uploads import MOST_BYTES, MOST_DECODED

PAGE, MOST_PAGE = 60, 500  # neighbours
SOME = 24  # images to start from
_NAMED = 10  # labels
SIDE, QUALITY = 192, 80  # pixels and JPEG quality of a thumbnail, drawn half as wide or more


@dataclass(frozen=True)
class View:
    """Which neighbours are wanted: `limit` from `offset` on, no farther than `max_distance`, with `label`."""

    offset: int = 0
    limit: int = PAGE
    max_distance: int | None = None
    label: str | None = None


class Search(ABC):
    """Answers from one model; what searches its codes says how in `about`, `_header`, `_file` and `_near`."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._opened: Runtime | None = None
        self._decoders = Decoders(1)
        weakref.finalize(self, self._decoders.close)

    @property
    def width(self) -> int:
        """How many bits a code has."""
        return self._bundle.bits

    def _runtime(self) -> Runtime:
        """Return the model in the arithmetic of the codes as they stand now."""
        numeric = self._header().numeric
        if self._opened is None or self._opened.numeric != numeric:
            self._opened = open_runtime(self._bundle, numeric=numeric)
        return self._opened

    def warm_up(self) -> None:
        """Load the model; raises `CorruptError` where it is damaged, `StorageError` where no image can be decoded."""
        self._decoders.start(1)
        side = self._bundle.side
        self._runtime().logits(np.zeros((1, side, side, 3), np.uint8))

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return what is searched and what may be sent."""

    def query(self, content: bytes, view: View) -> dict[str, Any]:
        """Return the neighbours of an image by what its file holds; raises `Undecodable` where that is no image."""
        # In another process, which has limits: in this one an image could take the turns of all others for minutes.
        square = self._decoders.content(content, self._bundle.side, MOST_DECODED)
        if isinstance(square, Undecodable):
            raise square
        return self._near(hash_square(self._runtime(), square), view)

    def neighbours(self, code: str, view: View) -> dict[str, Any]:
        """Return the neighbours of a code in hexadecimal, as an earlier answer gave it."""
        return self._near(_code(code, self._bundle.bits), view)

    @abstractmethod
    def images(self, path: bytes | None, limit: int) -> dict[str, Any]:
        """Return the image of a path, or without one up to `limit` images; raises `Refused` where it is not there."""

    def thumbnail(self, number: int, codes: str | None) -> bytes:
        """Return the image of an id as a small JPEG; `codes` tells of which codes the answer was that gave the id.

        Raises `Refused`: 404 where there is no such image, 409 where the codes are others now, 410 where the image has
        gone or changed, and `Undecodable`.
        """
        root, name = self._file(number, codes)
        path = os.path.join(root, name)
        try:
            square = decoding.square(path, SIDE)
        except Undecodable as reason:
            if os.path.exists(path):
                raise
            raise Refused(410, f"{safe(name)} is {wording.MISSING}", "encode the folder again") from reason
        jpeg = BytesIO()
        Image.fromarray(square).save(jpeg, "JPEG", quality=QUALITY)
        return jpeg.getvalue()

    @abstractmethod
    def _header(self) -> Header: ...

    @abstractmethod
    def _file(self, number: int, codes: str | None) -> tuple[bytes, bytes]:
        """Return the root and the path below it of an image; raises `Refused` where that is known to have changed."""

    @abstractmethod
    def _near(self, code: bits.Codes, view: View) -> dict[str, Any]: ...


class SearchFile(Search):
    """Answers from one model and a file of the codes it made; an id is a row."""

    def __init__(self, bundle: Bundle, live: LiveCodes) -> None:
        super().__init__(bundle)
        self._live = live

    def about(self) -> dict[str, Any]:
        """Return what is searched and what may be sent."""
        stored = self._live.current()
        labels = stored.header.class_names if stored.labelled else ()
        return about(len(stored), stored.header, stored.digest, labels, self._live.note)

    def images(self, path: bytes | None, limit: int) -> dict[str, Any]:
        """Return the image of a path, or without one up to `limit` images, spread over all and so over folders."""
        stored = self._live.current()
        if path is None:
            rows = np.linspace(0, len(stored) - 1, min(limit, len(stored)), dtype=np.int64).tolist()
        else:
            rows = [bisect_left(range(len(stored)), path, key=stored.path_of)]  # they stand in the order of paths
            if rows[0] == len(stored) or stored.path_of(rows[0]) != path:
                raise absent(path)
        return {"codes": stored.digest, "images": [_image(stored, row) for row in rows]}

    def _header(self) -> Header:
        return self._live.current().header

    def _file(self, number: int, codes: str | None) -> tuple[bytes, bytes]:
        stored = self._live.current()
        if codes is not None and codes != stored.digest:
            raise Refused(409, "the codes were replaced, and their rows with them", "search again")
        if number >= len(stored):
            numbered = f"they are numbered from 0 to {len(stored) - 1}" if len(stored) else "there are none at all"
            raise Refused(404, f"there is no image {number}", numbered)
        if stored.changed(number):
            raise Refused(410, f"{safe(stored.path_of(number))} {CHANGED}", "encode the folder again")
        return stored.header.root, stored.path_of(number)

    def _near(self, code: bits.Codes, view: View) -> dict[str, Any]:
        stored, started = self._live.current(), time.perf_counter()
        width = stored.header.bits
        if view.label is not None and view.label not in stored.header.class_names:
            raise Refused(400, f"there is no label {safe(view.label)!r}", _known(stored.header.class_names))
        rows = None if view.label is None else stored.rows_of(view.label)
        most = width if view.max_distance is None else min(view.max_distance, width)
        found = neighbours.page(ExactIndex(stored.codes, width), code, view.offset, view.limit, most, rows)
        pairs = zip(found.distances.tolist(), found.ids.tolist(), strict=True)
        hits = [
            {"rank": rank, "distance": distance, **_image(stored, row)}
            for rank, (distance, row) in enumerate(pairs, view.offset + 1)
        ]
        return {
            "code": hexadecimal(code, width),
            "bits": width,
            "codes": stored.digest,
            "searched": len(stored),
            "counts": found.counts.tolist(),
            "total": int(found.counts[: most + 1].sum()),
            "complete": True,
            "offset": view.offset,
            "milliseconds": round(1000 * (time.perf_counter() - started), 1),
            "note": self._live.note,
            "hits": hits,
        }


def about(images: int, header: Header, codes: str, labels: Sequence[str], note: str) -> dict[str, Any]:
    """Return what is searched and what may be sent."""
    return {
        "version": __version__,
        "images": images,
        "bits": header.bits,
        "fingerprint": header.fingerprint,
        "codes": codes,
        **path_record(header.root, "root"),
        "labels": list(labels),
        "note": note,
        "most_bytes": MOST_BYTES,
        "most_pixels": decoding.MAX_PIXELS,
    }


def _known(labels: Sequence[str]) -> str:
    """Say which labels can be chosen, the first of them where they are many."""
    if not labels:
        return "there is none here"
    more = f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    return f"choose {', '.join(map(safe, labels[:_NAMED]))}{more}"


def absent(path: bytes) -> Refused:
    """Return the refusal where no image has this path."""
    return Refused(404, f"there is no image {safe(path)} here", "it may have gone before the folder was encoded again")


def image(
    number: int, code: bits.Codes, path: bytes, labels: Sequence[str], header: Header, codes: str
) -> dict[str, Any]:
    """Return what is told of an image."""
    return {
        "id": number,
        "code": hexadecimal(code, header.bits),
        **path_record(path),
        "name": safe(path),
        "labels": list(labels),
        "thumbnail": f"/thumbnail/{number}?codes={codes}",
    }


def _image(stored: StoredCodes, row: int) -> dict[str, Any]:
    return image(row, stored.codes[row], stored.path_of(row), stored.labels_of(row), stored.header, stored.digest)


def hexadecimal(code: bits.Codes, width: int) -> str:
    """Return a code of `width` bits in hexadecimal."""
    return code[: (width + 7) // 8].tobytes().hex()


def _code(text: str, width: int) -> bits.Codes:
    """Read a code of `width` bits from hexadecimal; what it has beyond them must be zero, as `pack` leaves it."""
    digits = 2 * ((width + 7) // 8)
    try:
        code = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError:
        code = np.empty(0, np.uint8)
    if len(text) != digits or len(code) * 2 != digits or np.unpackbits(code)[width:].any():
        raise Refused(400, f"code: not {digits} hexadecimal digits that hold {width} bits", "take it from an answer")
    return code
