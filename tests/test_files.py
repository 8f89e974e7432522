"""Files are whole or absent, locks name their owner, and a full disk is said."""

import errno
import hashlib
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import filelock
import pytest

from ganhash_cli.engine import files
from ganhash_cli.errors import CorruptError, InputError, LockedError, StorageError

HOLDER = """
import sys
from pathlib import Path
from ganhash_cli.engine.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def enter_lock(path: Path) -> None:
    with files.lock(path):
        pass


def refuse(code: int) -> Callable[..., None]:
    def refusing(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refusing


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
@pytest.mark.parametrize("path", ["/proc/x.html", "/proc/y/x.html"])
@pytest.mark.parametrize("make", [partial(files.write_json, value={}), enter_lock])
def test_where_the_system_makes_no_file_its_words_are_told(path: str, make: Callable[[Path], None]) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        make(Path(path))


def test_an_input_that_is_missing_is_no_fault_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.storage_errors(tmp_path / "out"):
        (tmp_path / "in").read_bytes()


def test_a_file_appears_only_once_it_is_whole(tmp_path: Path) -> None:
    with files.atomic_write(tmp_path / "new") as stream:
        stream.write(b"whole")
        stream.flush()
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new").read_bytes() == b"whole"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_a_file_that_is_written_anew_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(mode)
    with files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "file").stat().st_mode & 0o7777) == (b"new", mode)


def test_nobody_reads_a_file_while_it_is_written_who_could_not_read_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    with files.atomic_write(tmp_path / "file") as stream:
        assert os.fstat(stream.fileno()).st_mode & 0o077 == 0


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(there: bool, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    if there:
        (tmp_path / "big" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("big/file")
    with files.atomic_write(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (os.readlink(tmp_path / "link"), (tmp_path / "big" / "file").read_bytes()) == ("big/file", b"new")
    assert (names(tmp_path), names(tmp_path / "big")) == (["big", "link"], ["file"])


def test_a_file_and_a_link_to_it_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("codes.h5")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "codes.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(LockedError, match="link is being written"), files.lock(tmp_path / "link"):
            pass
        holder.communicate("")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with files.atomic_write(tmp_path / "a" / "b" / "new") as stream:
        stream.write(b"whole")
    assert (tmp_path / "a" / "b" / "new").read_bytes() == b"whole"


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new" * (1 // 0))
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"old", ["file"])


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
def test_a_refusal_of_the_system_leaves_the_old_file_and_is_a_storage_error(
    step: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, step, refuse(code))
    with pytest.raises(StorageError, match=os.strerror(code)), files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_the_file_is_synced_before_it_takes_its_place_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(f"sync {os.fstat(fd).st_ino}"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    with files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    file, folder = (tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino
    assert calls == [f"sync {file}", "replace", f"sync {folder}"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_syncs_no_folder_takes_files_all_the_same(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (refuse(code) if stat.S_ISDIR(os.fstat(fd).st_mode) else fsync)(fd))
    with files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"new", ["file"])


def test_a_folder_that_cannot_be_synced_for_another_reason_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(StorageError, match="file"), files.storage_errors(tmp_path / "file"):
        files.sync_folder(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="taken"), files.atomic_write(tmp_path / "taken") as stream:
        stream.write(b"new")
    assert names(tmp_path) == ["taken"]


def test_a_file_in_the_place_of_a_parent_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(StorageError, match="cannot write"), files.atomic_write(tmp_path / "file" / "new"):
        pass


def test_other_errors_of_the_system_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic_write(tmp_path / "file"):
        (tmp_path / "no such input").read_bytes()


@pytest.mark.parametrize("name", ["codes.h5", "codes[1].h5"])
def test_a_temporary_of_a_dead_process_is_removed(name: str, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process()
    process.start()
    process.join()
    (tmp_path / f".{name}.{process.pid}.tmp").write_bytes(b"part")
    with files.atomic_write(tmp_path / name) as stream:
        stream.write(b"new")
    assert names(tmp_path) == [name]


def test_a_temporary_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    try:
        theirs = f".file.{process.pid}.tmp"
        (tmp_path / theirs).write_bytes(b"part")
        with files.atomic_write(tmp_path / "file") as stream:
            stream.write(b"new")
        assert names(tmp_path) == [theirs, "file"]
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(("found", "wanted"), [(7, 7), (10**19, 2**63 - 1), (-(10**19), -(2**63))])
def test_a_time_that_64_bits_cannot_hold_is_the_nearest_they_can(found: int, wanted: int) -> None:
    assert files.mtime_ns(os.stat_result([0] * 10, {"st_mtime_ns": found})) == wanted


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    value = {"name": "Ä\udc80".encode(errors="replace").decode(), "numbers": [1, 2.5, None]}
    files.write_json(tmp_path / "value.json", value)
    assert files.read_json(tmp_path / "value.json") == value


def test_a_name_that_is_not_utf_8_comes_back_from_json(tmp_path: Path) -> None:
    value = {"source": os.fsdecode(b"caf\xe9") + " ü"}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value


def test_json_is_written_for_people_too(tmp_path: Path) -> None:
    files.write_json(tmp_path / "value.json", {"name": "Ä"})
    assert (tmp_path / "value.json").read_bytes() == '{\n  "name": "Ä"\n}\n'.encode()


def test_a_digest_of_json_depends_on_no_order_and_no_alphabet() -> None:
    text = '{"a":"\\u00c4","b":[1,2]}'
    assert files.json_digest({"b": [1, 2], "a": "Ä"}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "folder", "found"), [("/a/b/c", "/a/b", "c"), ("/a/x", "/a/b", "../x"), ("/a/b", "/a/b", ".")]
)
def test_a_relative_path_leads_from_the_folder_to_the_path(path: str, folder: str, found: str) -> None:
    assert files.relative(path.encode(), folder.encode()) == found.encode()


def test_a_path_on_another_drive_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", refuse)
    assert files.relative(b"D:\\a", b"C:\\b") == b"D:\\a"


def test_json_that_is_missing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"value\.json is missing") as raised:
        files.read_json(tmp_path / "value.json")
    assert raised.value.hint == files._AGAIN


@pytest.mark.parametrize("read", [files.read_json, files.sha256])
def test_what_cannot_be_read_is_an_input_error(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} cannot be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_json_that_is_damaged_or_no_object_is_corrupt(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "value.json").write_bytes(content)
    with pytest.raises(CorruptError, match=r"value\.json") as raised:
        files.read_json(tmp_path / "value.json")
    assert raised.value.hint == files._AGAIN


def test_a_digest_is_the_sha_256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert files.sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("below", ["x.h5", "deep/x.h5"])
@pytest.mark.parametrize("writing", [files.lock, files.atomic_write])
def test_a_file_in_the_place_of_a_folder_is_named(
    writing: Callable[[Path], AbstractContextManager[object]], below: str, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(StorageError, match=r"plain is not a folder") as caught, writing(tmp_path / "plain" / below):
        pass
    assert "space" not in caught.value.hint


def test_a_lock_held_by_another_process_is_refused_and_names_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "codes.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid} on "), files.lock(tmp_path / "codes.h5"):
            pass
        holder.communicate("")


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "codes.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    with files.lock(tmp_path / "codes.h5"):
        assert f"process {os.getpid()} " in (tmp_path / ".codes.h5.owner").read_text()


def test_a_lock_leaves_nothing_behind_and_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with files.lock(tmp_path / "codes.h5"):
            pass
    assert names(tmp_path) == []


def test_where_there_are_no_locks_a_file_is_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "acquire", unknown)
    with files.lock(tmp_path / "codes.h5"):
        with pytest.raises(LockedError, match=f"written by process {os.getpid()} "), files.lock(tmp_path / "codes.h5"):
            pass
        assert ".codes.h5.held" in names(tmp_path)
    assert names(tmp_path) == []


def test_another_refusal_of_a_lock_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with pytest.raises(StorageError, match="Permission denied"), files.lock(tmp_path / "codes.h5"):
        pass


def test_a_temporary_of_another_persons_process_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    (tmp_path / ".file.4194305.tmp").write_bytes(b"part")  # no process has so high a number
    monkeypatch.setattr(os, "kill", refused)
    with files.atomic_write(tmp_path / "file") as stream:
        stream.write(b"new")
    assert names(tmp_path) == [".file.4194305.tmp", "file"]


def test_the_digest_of_a_record_is_that_of_its_compact_ascii_json_by_name() -> None:
    text = b'{"a":{"c":[1,"\\u00fc"],"d":null},"b":0.5}'
    record = {"b": 0.5, "a": {"d": None, "c": [1, "ü"]}}
    assert files.json_digest(record) == hashlib.sha256(text).hexdigest()
