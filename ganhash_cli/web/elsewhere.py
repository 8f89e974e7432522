"""Answers from an index in another program: asked anew for each request, and connected again after it was away."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from ganhash_cli.engine import bits, codes_format, remote, remote_answers
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.pusher import image_id
from ganhash_cli.engine.queries import require_match
from ganhash_cli.engine.remote import Remote
from ganhash_cli.errors import GanhashError
from ganhash_cli.web.refusal import Refused
from ganhash_cli.web.search import PAGE, Search, View, about, absent, hexadecimal, image

MOST = 10_000  # neighbours that can be paged through


class LiveIndex:
    """Holds a connection to the index that `push` filled; where it has gone, a request makes another, once."""

    def __init__(self, bundle: Bundle, url: str, name: str, given: Mapping[str, str]) -> None:
        """Connect once, so that what is wrong is told before the server runs; raises as `remote.opened` does."""
        self._bundle, self._where = bundle, (url, name, given)
        self._held = ExitStack()
        self._remote: Remote | None = None
        self.note = ""
        with self.asked():
            pass

    @contextmanager
    def asked(self) -> Iterator[Remote]:
        """Give the index, of codes of our model; whatever fails ends the connection."""
        self._look()
        try:
            if self._remote is None:
                self._remote = self._held.enter_context(remote.opened(*self._where))
                require_match(self._bundle, self._remote)
                self.note = _note(self._remote)
            else:
                require_match(self._bundle, self._remote)
            yield self._remote
        except GanhashError:
            self.close()
            raise

    def _look(self) -> None:
        """Ask the index anew what it holds; where the connection has gone since the last request, let go of it."""
        try:
            if self._remote is not None:
                self._remote.refresh()
        except GanhashError:
            self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._remote = None
        with suppress(GanhashError):  # it may be gone already
            self._held.close()


class SearchElsewhere(Search):
    """Answers from one model and an index; an id is that of the index, and follows from the path."""

    def __init__(self, bundle: Bundle, live: LiveIndex) -> None:
        super().__init__(bundle)
        self._live = live

    def about(self) -> dict[str, Any]:
        """Return what is searched and what may be sent; labels cannot be chosen, so none are named."""
        with self._live.asked() as there, there.asking() as index:
            header = there.require_header()
            return about(index.count(), header, header.fingerprint, (), self._live.note)

    def images(self, path: bytes | None, limit: int) -> dict[str, Any]:
        """Return the image of a path, or without one up to `limit` images: the lowest ids, which are random."""
        with self._live.asked() as there, there.asking() as index:
            header = there.require_header()
            ids = index.ids(0, limit) if path is None else [image_id(path)]
            found = [(number, each) for number, each in zip(ids, index.images(ids), strict=True) if each]
        if path is not None and [each[1] for _, each in found] != [path]:
            raise absent(path)
        return {
            "codes": header.fingerprint,
            "images": [image(number, *each, header, header.fingerprint) for number, each in found],
        }

    def _header(self) -> Header:
        with self._live.asked() as there:
            return there.require_header()

    def _file(self, number: int, codes: str | None) -> tuple[bytes, bytes]:
        with self._live.asked() as there:
            header = there.require_header()
            if codes is not None and codes != header.fingerprint:
                raise Refused(409, "the codes were replaced, and their images with them", "search again")
            with there.asking() as index:
                [image] = index.images([number])
            if image is None:
                raise Refused(404, f"there is no image {number}", "search again")
            return header.root, codes_format.inside(image[1], there.path)

    def _near(self, code: bits.Codes, view: View) -> dict[str, Any]:
        if view.label is not None:
            raise Refused(400, "an index in another program is searched whole", "leave out label")
        if view.offset + view.limit > MOST:
            raise Refused(400, f"of an index in another program, the first {MOST:,} can be seen", "ask for less")
        started = time.perf_counter()
        with self._live.asked() as there, there.asking() as index:
            header, wanted = there.require_header(), view.offset + view.limit + 1
            narrow = code[: (header.bits + 7) // 8]
            if view.max_distance is None:
                found = index.search(narrow, wanted)
            else:
                found = index.within(narrow, min(view.max_distance, header.bits), wanted)
            shown = found[view.offset : wanted - 1]
            images = index.images([number for _, number, _, _ in shown])
            searched = index.count()
        numbered = zip(range(view.offset + 1, wanted), shown, images, strict=False)
        hits = [
            {"rank": rank, "distance": near, **image(number, kept[0], path, labels, header, header.fingerprint)}
            for rank, (near, number, path, labels), kept in numbered
            if kept
        ]
        distances = np.array([each[0] for each in found], np.int64)
        return {
            "code": hexadecimal(code, header.bits),
            "bits": header.bits,
            "codes": header.fingerprint,
            "searched": searched,
            "counts": np.bincount(distances, minlength=header.bits + 1).tolist(),
            "total": len(found),
            "complete": len(found) < wanted,
            "offset": view.offset,
            "milliseconds": round(1000 * (time.perf_counter() - started), 1),
            "note": self._live.note,
            "hits": hits,
        }


def _note(there: Remote) -> str:
    """Say what the answers of this index may miss; an approximate one is measured by the first of its images."""
    with there.asking() as index:
        if index.exact:
            ties = "" if index.ordered else "; which of equals it shows is its own choice"
            return f"searched by {there.path}{ties}"
        found = [image[0] for image in index.images(index.ids(0, remote_answers.MOST_MEASURED)) if image]
    if not found:
        return f"searched by {there.path}"
    measured = remote_answers.sampled_recall(there, np.stack(found), PAGE)
    return f"searched by {there.path}, approximately: {measured} of its images"
