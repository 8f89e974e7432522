"""A codes file of strangers, read whole by a process with limits first: what crashes HDF5 there is not opened here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ganhash_cli.engine import children, codes
from ganhash_cli.errors import CorruptError, GanhashError, InputError, StorageError

_MEMORY = 1 << 30  # besides the file itself, which is mapped
_SECONDS, _BYTES_A_SECOND = 30, 4 << 20
_MESSAGE = 2000  # characters of what the process says
_CHILD = "from ganhash_cli.engine.untrusted import read_and_tell; read_and_tell()"


def require_harmless(path: Path) -> None:
    """Have a process of its own read and verify all of a codes file.

    Raises `CorruptError` where that fails or never ends, and `InputError` where the file cannot be opened. One that is
    missing is left to whoever opens it.
    """
    if not path.is_file():
        return
    seconds = _SECONDS + path.stat().st_size // _BYTES_A_SECOND
    try:
        with children.start(_CHILD, os.fspath(path), str(seconds)) as child:
            try:
                said, _ = child.communicate(timeout=2 * seconds)
            except BaseException:
                child.kill()
                raise
    except subprocess.TimeoutExpired as late:
        raise _refusal(path, f"cannot be read within {2 * seconds} s") from late
    except OSError as error:
        raise StorageError(f"cannot start a process that reads {path}: {error.strerror}") from error
    if child.returncode == CorruptError.exit_code:
        raise CorruptError(said.decode(errors="replace")[:_MESSAGE], hint="ask whoever made it for a sound one")
    if child.returncode == InputError.exit_code:
        raise InputError(said.decode(errors="replace")[:_MESSAGE], hint="name a codes file, one that you may read")
    if child.returncode:
        raise _refusal(path, f"ended the process that read it ({children.ending(child.returncode)})")


def read_and_tell() -> None:
    """Verify the codes file in `sys.argv[1]` within `sys.argv[2]` seconds; say what is wrong, and end with its code."""
    path = Path(sys.argv[1])
    children.limit(_MEMORY + path.stat().st_size, int(sys.argv[2]))
    try:
        codes.verify(path)
    except GanhashError as error:
        sys.stdout.buffer.write(error.message.encode(errors="replace"))
        sys.stdout.buffer.flush()
        os._exit(error.exit_code)
    os._exit(0)


def _refusal(path: Path, reason: str) -> CorruptError:
    return CorruptError(f"{path} is refused as unsafe: it {reason}", hint="ask whoever made it for a sound one")
