"""codes.h5.work/: what an unfinished run has encoded, in small codes files that are whole or absent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ganhash_cli.engine import codes
from ganhash_cli.engine.codes_format import Header, require_fit
from ganhash_cli.engine.draft import Draft
from ganhash_cli.errors import CorruptError, MismatchError, UsageError

SIZE = 1024  # images; a killed run loses less than this
_NAME = re.compile(r"seg-(\d{6,})\.h5")


class Segments:
    """The segments of one output; each is put in place by a rename and never changed after."""

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(f"{out.name}.work")
        self._next = 0

    def adopt_into(self, draft: Draft, *, overwrite: bool = False) -> None:
        """Take over what earlier runs have encoded; damaged segments are removed.

        Those of another root, shard, model or arithmetic raise `UsageError` or `MismatchError`, as a finished file of
        them does; with `overwrite` they are removed.
        """
        removed = (CorruptError, UsageError, MismatchError) if overwrite else (CorruptError,)
        for number, path in self._found():
            try:
                with codes.open_codes(path) as stored:
                    stored.verify()
                    require_fit(stored.header, self.folder, draft.header)
                    draft.adopt(stored)
                self._next = number + 1
            except removed:
                path.unlink()

    def fit(self, header: Header) -> bool:
        """Whether a run of this header takes them over; damaged ones cost nothing."""
        for _, path in self._found():
            try:
                require_fit(codes.read_header(path)[0], self.folder, header)
            except CorruptError:
                continue
            except (UsageError, MismatchError):
                return False
        return True

    def add(self, draft: Draft, rows: Sequence[int]) -> None:
        """Save these rows of the draft."""
        if rows:
            path = self.folder / f"seg-{self._next:06d}.h5"
            codes.write(path, draft.header, draft.rows(rows, labelled=False))
            self._next += 1

    def remove(self) -> None:
        """Remove all of them, once the output holds what they held, and the folder unless others keep things there."""
        with suppress(OSError):  # what stays is taken over by the next run
            for path in (*(path for _, path in self._found()), *self.folder.glob(".seg-*.tmp")):
                path.unlink()
            self.folder.rmdir()

    def _found(self) -> list[tuple[int, Path]]:
        """Return what is there, with its numbers, which rise; what is called otherwise is not ours."""
        named = ((_NAME.fullmatch(path.name), path) for path in self.folder.glob("seg-*.h5"))
        return sorted((int(match[1]), path) for match, path in named if match)
