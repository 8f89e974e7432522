"""Files that a user names to be written: each has a suffix of its kind, and replaces nothing but one of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.errors import UsageError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD_BYTES = 1 << 16  # a page's title stands behind its policy


@dataclass(frozen=True)
class Kind:
    """What a file is called, its suffixes, the usual one first, and what stands in the head of each that we wrote."""

    what: str
    suffixes: tuple[str, ...]
    marks: tuple[bytes, ...]


PAGE = Kind("HTML page", (".html", ".htm"), (b"<title>ganhash: ",))
PICTURE = Kind("PNG", (".png",), (b"tEXtSoftware\0ganhash",))
CURVE = Kind("CSV of precision and recall", (".csv",), (b"radius,recall,precision,",))
LINES = Kind("file of JSON lines", (".ndjson", ".jsonl", ".json"), (b'{"index":{"_index":', b'{"put":"id:'))
CODES = Kind("codes file", (".h5", ".hdf5"), (HDF5_SIGNATURE,))

PNG_TEXT = {"Software": "ganhash"}


def require(path: Path, kind: Kind, option: str) -> None:
    """Raise `UsageError` where `path`, given as `option`, has another suffix, or is not ours to replace."""
    _require_file(path)
    if path.suffix.lower() not in kind.suffixes:
        wanted = kind.suffixes[0]
        raise UsageError(
            f"{option} {path}: a name in {wanted} is wanted, for the {kind.what}", hint=f"{option} {path.stem}{wanted}"
        )
    _require_ours(path, kind)


def require_codes(path: Path) -> None:
    """Raise `UsageError` where `path` is no file, or one that neither by name nor by content is a codes file."""
    _require_file(path)
    if path.suffix.lower() not in CODES.suffixes:  # what is called one may be damaged, and is replaced all the same
        _require_ours(path, CODES)


def _require_file(path: Path) -> None:
    """Refuse a folder, and a pipe or a device, in whose place a file would come."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file in it")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file", hint="name another file")


def _require_ours(path: Path, kind: Kind) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if not any(mark in head for mark in kind.marks):
        raise UsageError(
            f"{path} is there already, and is no {kind.what} that ganhash wrote",
            hint="name another file, or move this one away if it can go",
        )
