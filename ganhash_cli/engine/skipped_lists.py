"""codes.h5.skipped.jsonl: which files gave no code, and why, beside the codes of the others, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ganhash_cli.engine import files
from ganhash_cli.engine.images import Skipped
from ganhash_cli.engine.path_records import path_of_record, path_record
from ganhash_cli.errors import CorruptError

_AGAIN = "encode that shard again, or remove the list"
_NO_RECORD = (AttributeError, KeyError, RecursionError, TypeError, ValueError)  # what a line raises that is none


def skipped_list(out: Path) -> Path:
    """Return the list beside the codes file `out`."""
    return out.with_name(f"{out.name}.skipped.jsonl")


def write(out: Path, lines: list[bytes]) -> None:
    """Write the list beside `out`; remove that of an earlier run where nothing was skipped."""
    path = skipped_list(out)
    if not lines:
        with files.storage_errors(path):
            path.unlink(missing_ok=True)
        return
    with files.atomic_write(path) as stream:
        stream.writelines(line + b"\n" for line in lines)


def lines_of(skipped: Iterable[Skipped]) -> list[bytes]:
    """Return the lines of a list, in the byte order of the paths."""
    records = ({**path_record(bad.path), "reason": bad.reason} for bad in sorted(skipped, key=lambda bad: bad.path))
    return [json.dumps(record, ensure_ascii=False).encode(errors="replace") for record in records]


def merged(parts: Iterable[Path]) -> list[bytes]:
    """Return the lines of the lists beside all parts, in the byte order of the paths.

    Each comes once: of a folder that cannot be listed every shard tells. Raises `CorruptError` where a list is none.
    """
    path_of: dict[bytes, bytes] = {}
    for path in filter(Path.exists, map(skipped_list, parts)):
        if not path.is_file():  # a pipe would be waited for without end
            raise CorruptError(f"{path} is not a regular file", hint=_AGAIN)
        with files.read_errors(path):
            lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                path_of[line] = path_of_record(json.loads(line))
            except _NO_RECORD as error:
                raise CorruptError(f"{path}, line {number}, names no file that was skipped", hint=_AGAIN) from error
    return sorted(path_of, key=lambda line: (path_of[line], line))
