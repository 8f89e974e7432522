"""codes.h5.work/: what an unfinished run has encoded, in small codes files that are whole or absent."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ganhash_cli.engine import codes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.draft import Draft
from ganhash_cli.errors import CorruptError

SIZE = 1024  # images; a killed run loses less than this


class Segments:
    """The segments of one output; each is put in place by a rename and never changed after."""

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(f"{out.name}.work")
        self._next = 0

    def adopt_into(self, draft: Draft) -> None:
        """Take over what earlier runs have encoded; damaged or foreign segments are removed."""
        for path in sorted(self.folder.glob("seg-*.h5")):
            try:
                codes.verify(path)
                with codes.open_codes(path) as stored:
                    if not same_making(stored.header, draft.header):
                        raise CorruptError("it belongs to other images or another model")
                    draft.adopt(stored)
                self._next = int(path.stem.removeprefix("seg-")) + 1
            except (CorruptError, ValueError):
                path.unlink()

    def add(self, draft: Draft, rows: Sequence[int]) -> None:
        """Save these rows of the draft."""
        if rows:
            path = self.folder / f"seg-{self._next:06d}.h5"
            codes.write(path, draft.header, draft.rows(rows, labelled=False))
            self._next += 1

    def remove(self) -> None:
        """Remove all of them, once the output holds what they held."""
        shutil.rmtree(self.folder, ignore_errors=True)


def same_making(one: Header, other: Header) -> bool:
    """Whether codes under these headers come from the same root and the same model, computed in the same class."""
    return (one.root, one.maker) == (other.root, other.maker)
