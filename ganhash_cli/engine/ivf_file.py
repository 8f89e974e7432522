"""An index kept in the user's cache: found again by the path of its codes, used only where it is theirs and sound.

It never lies beside the codes, where it could come with them from somebody else. Nothing is lost with it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import numpy as np

from ganhash_cli.engine import codes_format, ivf, safe_hdf5
from ganhash_cli.engine.bits import width
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Column
from ganhash_cli.engine.ivf import IvfIndex, Lists
from ganhash_cli.engine.names import safe
from ganhash_cli.engine.progress import Work
from ganhash_cli.engine.safe_hdf5 import h5py
from ganhash_cli.errors import CorruptError, StorageError

log = logging.getLogger(__name__)

FORMAT, SCHEMA = b"ganhash-ivf", 1
COLUMNS = {
    "centres": Column("u1", rank=2, mapped=True),
    "offsets": Column("<u8", mapped=True),
    "codes": Column("u1", rank=2, mapped=True),
    "row_offsets": Column("<u4", mapped=True),
    "rows": Column("<u4", mapped=True),
    "digests": Column("u1", rank=2, mapped=True),
}
_CHECKED = ("centres", "offsets", "digests")  # on opening; the others list by list, when they are read
_MILLION = 1_000_000


def place(cache: Path, codes: Path) -> Path:
    """Return where the index of a codes file is kept: one for each path, so that new codes replace the old index."""
    name = hashlib.sha256(os.fsencode(codes.resolve())).hexdigest()[:32]
    return cache / "ivf" / f"{name}.h5"


def open_or_build(stored: StoredCodes, cache: Path | None) -> Work[IvfIndex]:
    """Return the index of a codes file, kept in `cache` or built and kept there; without a cache it is not kept."""
    path = None if cache is None else place(cache, stored.path)
    if path is not None and os.path.exists(path):
        try:
            return read(path, stored)
        except CorruptError as error:
            log.info("the index of %s is built anew: %s", safe(os.fspath(stored.path)), error.message)
    index = yield from ivf.build(stored.codes, stored.header.bits)
    if path is not None:
        try:
            write(path, index.lists, stored.codes_digest)
        except (StorageError, OSError) as error:  # whatever it is, the search goes on
            log.info("the index is not kept: %s", error)
    return index


def belongs(cache: Path | None, stored: StoredCodes) -> bool:
    """Tell whether an index of these codes is kept."""
    path = None if cache is None else place(cache, stored.path)
    if path is None or not os.path.exists(path):
        return False
    try:
        read(path, stored)
    except CorruptError:
        return False
    return True


def write(path: Path, lists: Lists, codes_digest: str) -> None:
    """Write an index of the codes with this digest, atomically; `StorageError` where that cannot be done."""
    columns = {name: getattr(lists, name) for name in COLUMNS}
    facts: dict[str, bytes | int] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "bits": lists.bits,
        "probes": lists.probes,
        "recall_millionths": round(_MILLION * lists.recall),
        "codes": codes_digest.encode(),
        **{f"sha256_{name}": codes_format.digest(columns[name]) for name in _CHECKED},
    }
    safe_hdf5.write(path, columns, {**facts, "sha256": codes_format.seal(facts)})


def read(path: Path, stored: StoredCodes) -> IvfIndex:
    """Return the index at `path`, mapped into memory; `CorruptError` where it is not sound, or not of these codes."""
    try:
        with path.open("rb") as stream:
            if hasattr(os, "geteuid") and os.fstat(stream.fileno()).st_uid != os.geteuid():
                raise CorruptError("the one that is kept belongs to another user")
            with h5py.File(stream, "r", locking=False) as file:
                safe_hdf5.check(file, COLUMNS, stream.seek(0, 2))
                lists = _lists(file, stored, {name: safe_hdf5.mapped(stream, file[name]) for name in COLUMNS})
    except (MemoryError, CorruptError):
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError, ValueError and more on bad data
        raise CorruptError(f"the one that is kept cannot be read: {error}") from error
    return IvfIndex(lists, check=True)


def _lists(file: h5py.File, stored: StoredCodes, data: dict[str, np.ndarray]) -> Lists:
    names = ("format", "codes", "sha256", *(f"sha256_{name}" for name in _CHECKED))
    numbers = ("schema", "bits", "probes", "recall_millionths")
    safe_hdf5.check_attributes(file, {**dict.fromkeys(names, bytes), **dict.fromkeys(numbers, int)})
    facts = dict(file.attrs)
    if (facts["format"], facts["schema"]) != (FORMAT, SCHEMA):
        raise CorruptError("the one that is kept has another format")
    if facts.pop("sha256") != codes_format.seal(facts):
        raise CorruptError("the checksum of the one that is kept is wrong")
    if facts["codes"].decode() != stored.codes_digest or facts["bits"] != stored.header.bits:
        raise CorruptError("the codes have changed since")
    for name in _CHECKED:
        if codes_format.digest(data[name]) != facts[f"sha256_{name}"]:
            raise CorruptError(f"the checksum of {name} in the one that is kept is wrong")
    lists = Lists(int(facts["bits"]), **data, probes=int(facts["probes"]), recall=facts["recall_millionths"] / _MILLION)
    _check_shapes(lists, len(stored))
    return lists


def _check_shapes(lists: Lists, rows: int) -> None:
    """Refuse an index whose parts do not fit each other; each list is held to its digest when it is read."""
    count, wide, codes = len(lists.centres), width(lists.bits), len(lists.codes)
    shapes = {
        "centres": (count, wide),
        "offsets": (count + 1,),
        "codes": (codes, wide),
        "row_offsets": (codes + 1,),
        "rows": (rows,),
        "digests": (count, hashlib.sha256().digest_size),
    }
    wrong = [name for name, shape in shapes.items() if getattr(lists, name).shape != shape]
    offsets = lists.offsets
    if wrong or not 1 <= lists.probes <= count or not 0 <= lists.recall <= 1:
        raise CorruptError("the parts of the one that is kept do not fit each other")
    if offsets[0] or offsets[-1] != codes or (offsets[1:] < offsets[:-1]).any():
        raise CorruptError("the lists of the one that is kept do not follow each other")
