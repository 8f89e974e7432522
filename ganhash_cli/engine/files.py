"""Files that are whole or absent: atomic writes, digests, locks, and JSON beside them."""

import errno
import glob
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ganhash_cli.errors import CorruptError, InputError, LockedError, StorageError

_STORAGE_ERRNOS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),  # something else stands in the way
}

_AGAIN = "bring it back, or make anew what it describes, with --overwrite"
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}  # what file systems say that have no flock, such as some of networks
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # and that sync no folder, such as some of FUSE and CIFS


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into a `StorageError` that names it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_ERRNOS and not _is_missing(error, path):
            raise
        if plain := next((each for each in path.parents if os.path.exists(each) and not os.path.isdir(each)), None):
            raise StorageError(f"cannot write {path}: {plain} is not a folder", hint="choose another place") from error
        raise StorageError(
            f"cannot write {path}: {os.strerror(error.errno or 0)}",
            hint="make space or choose a place you may write to, then run the same command again",
        ) from error


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to read `path` into an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        hint = "let this user read it, or name another one" if isinstance(error, PermissionError) else ""
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _is_missing(error: OSError, path: Path) -> bool:
    """Whether `path` itself, a temporary of it or a folder above it could not be made, as in /proc."""
    if error.errno != errno.ENOENT or not isinstance(error.filename, str | bytes):
        return False
    name = Path(os.fsdecode(error.filename))
    return name in (path, *path.parents) or (name.parent == path.parent and name.name.startswith(f".{path.name}."))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give the name of a temporary file in the folder of `path`; it takes its place only once it is whole.

    The temporary is synced before the rename and the folder after it, so that after a crash `path` is the old
    file or the new one, never a part. The new file has the mode of the old one; a link to it stays a link.
    """
    with storage_errors(path):
        target = _linked(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(target)
        mode = _mode(target)
        try:
            if mode is not None:  # nobody may read the new one who could not read the old one, at no time
                os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
            yield temporary
            with temporary.open("rb") as written:
                if mode is not None:
                    os.fchmod(written.fileno(), mode)
                os.fsync(written.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file for writing that appears under `path` only when it is whole."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        yield stream
        stream.flush()


def mtime_ns(status: os.stat_result) -> int:
    """Return when a file was changed, in nanoseconds, within 64 bits: clocks go wrong, and file systems bear it."""
    return max(-(1 << 63), min(status.st_mtime_ns, (1 << 63) - 1))


def relative(path: bytes, folder: bytes) -> bytes:
    """Return an absolute path as it is relative to an absolute folder, or unchanged where it is on another drive."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return path


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: without it a rename may be lost with the power."""
    if os.name == "nt":  # Windows cannot open a folder to sync it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; bytes of a name that are not UTF-8 come back as they were."""
    with atomic_write(path) as stream:
        # Of a lone surrogate, a backslash makes what JSON writes for it too.
        text = json.dumps(value, indent=2, ensure_ascii=False)
        stream.write(text.encode(errors="backslashreplace") + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; `InputError` where none can be read, `CorruptError` where it is no JSON object."""
    with read_errors(path):
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing", hint=_AGAIN) from error
        except (ValueError, RecursionError) as error:
            raise CorruptError(f"{path} is not valid JSON: {error}", hint=_AGAIN) from error
    if not isinstance(value, dict):
        raise CorruptError(f"{path} does not hold a JSON object", hint=_AGAIN)
    return value


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with read_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record as compact ASCII JSON with sorted keys, in hexadecimal."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` for this process; `LockedError` names the owner where another one holds it."""
    from filelock import FileLock, SoftFileLock, Timeout

    target = _linked(path)
    lock_path = target.with_name(f".{target.name}.lock")
    owner_path = target.with_name(f".{target.name}.owner")
    with storage_errors(lock_path):
        target.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock_path, timeout=0)
        try:
            try:
                held.acquire()
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                # A file whose presence is the lock; it names its process, so that one that died holds nothing.
                held = SoftFileLock(lock_path.with_suffix(".held"), timeout=0)
                held.acquire()
        except Timeout as error:
            if not lock_path.exists():  # so nobody holds it: the system may have refused it, and says why
                lock_path.touch()
                lock_path.unlink(missing_ok=True)
            owner = owner_path.read_text() if owner_path.exists() else "another process"
            raise LockedError(
                f"{path} is being written by {owner}",
                hint="wait for it, or stop it and run the command again",
            ) from error
    try:
        with storage_errors(owner_path):
            owner_path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        owner_path.unlink(missing_ok=True)
        # Removed while still held: whoever had opened it finds it gone on getting the lock, and tries anew.
        lock_path.unlink(missing_ok=True)
        held.release()


def _linked(path: Path) -> Path:
    """Return what a link leads to, so that the link stays and both names have one lock; or `path` itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _mode(path: Path) -> int | None:
    """Return the mode of a file, None where there is none, or on Windows, which has no such modes."""
    if os.name == "nt" or not path.is_file():
        return None
    return stat.S_IMODE(path.stat().st_mode)


def _remove_stale(path: Path) -> None:
    """Remove temporaries of `path` whose process is gone."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        pid = stale.name.split(".")[-2]
        if pid.isdigit() and int(pid) != os.getpid() and not _alive(int(pid)):
            stale.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
