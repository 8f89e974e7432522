"""codes.h5 as it stands now: a file put in its place is opened in turn, or refused and the old one kept."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import StoredCodes, open_codes
from ganhash_cli.engine.queries import require_match
from ganhash_cli.engine.untrusted import require_harmless
from ganhash_cli.errors import CorruptError, GanhashError, MismatchError

log = logging.getLogger(__name__)

_IN_PLACE = "was overwritten in place, so that there are no codes to search"
_MOVE = "put codes there with `mv`, or by `ganhash encode`: a copy is written into the very file that is searched"


class LiveCodes:
    """Holds the codes of one model open; `note` says why what stands there now is not used, empty where it is."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        """Open the codes.

        Raises `InputError` where there are none, `CorruptError` where they are unsafe, and `MismatchError` where they
        are another model's.
        """
        self.note = ""
        self._path, self._bundle = path, bundle
        self._seen = _identity(path)
        self._stored, self._held = self._open()

    def current(self) -> StoredCodes:
        """Return the codes to search now, after a look at whether another file has taken their place.

        Raises `CorruptError` where the file that is held was written to: its old codes are gone, the new ones refused.
        """
        seen = _identity(self._path)
        if seen != self._seen:
            self._renew(seen)
        if self._stored.overwritten:
            raise CorruptError(self.note or f"{self._path} {_IN_PLACE}", hint=_MOVE)
        return self._stored

    def close(self) -> None:
        """Let go of the file."""
        self._held.close()

    def _renew(self, seen: tuple[int, ...] | None) -> None:
        try:
            stored, held = self._open()
        except GanhashError as error:
            if isinstance(error, CorruptError | MismatchError):
                self._seen = seen  # what is wrong with a file stays so; whatever else failed may pass
            lost = self._stored.overwritten
            note = f"{error.message}; " + (f"it {_IN_PLACE}" if lost else "the codes of before are searched")
            if note != self.note:
                log.warning("%s", note)
            self.note = note
            return
        self._held.close()
        self._stored, self._held, self._seen, self.note = stored, held, seen, ""
        log.info("%s was replaced: %s images now", self._path, f"{len(stored):,}")

    def _open(self) -> tuple[StoredCodes, ExitStack]:
        require_harmless(self._path)  # a server is to live, whoever made the codes
        with ExitStack() as stack:
            stored = stack.enter_context(open_codes(self._path))
            require_match(self._bundle, stored)
            return stored, stack.pop_all()


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what changes when another file takes the place of `path`; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
