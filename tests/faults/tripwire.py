"""Meets a process at every step that changes a file below a folder: to note it, to end the process, to refuse it.

The steps are met before they are taken: "open", "write" and "mid write" (half of it is written), "sync", "replace",
"sync folder" and "mkdir". What is written by Python, h5py or ONNX goes through these functions.
"""

import builtins
import io
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Meet = Callable[[str, str], object]
"""What is called with the kind of a step and the file, relative to the folder, before it is taken."""

ATOMIC = ("open", "write", "mid write", "sync", "replace", "sync folder")


@dataclass(frozen=True)
class Note:
    """Write every step to a file, a line each, kind and paths parted by tabs."""

    folder: Path
    to: Path

    def __call__(self) -> None:
        log = os.open(self.to, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        watch(self.folder, lambda kind, path: os.write(log, f"{kind}\t{path}\n".encode()))


@dataclass(frozen=True)
class Picture:
    """Copy the folder before every step, to `to/NNNN`: what a SIGKILL there would leave."""

    folder: Path
    to: Path

    def __call__(self) -> None:
        log = os.open(self.to.with_suffix(".steps"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        count = 0

        def meet(kind: str, path: str) -> None:
            nonlocal count
            count += 1
            shutil.copytree(self.folder, self.to / f"{count:04}", symlinks=True)
            os.write(log, f"{kind}\t{path}\n".encode())

        watch(self.folder, meet)


@dataclass(frozen=True)
class Die:
    """End the process by SIGKILL before its step `number`, counted from 1, of the kinds."""

    folder: Path
    number: int
    kinds: tuple[str, ...] = ()

    def __call__(self) -> None:
        count = 0

        def meet(kind: str, _: str) -> None:
            nonlocal count
            count += not self.kinds or kind in self.kinds
            if count == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(self.folder, meet)


@dataclass(frozen=True)
class Refuse:
    """Let step `number`, counted from 1, fail with `code`; where it `lasts`, all after it too, as on a full disk."""

    folder: Path
    number: int
    code: int
    lasts: bool

    def __call__(self) -> None:
        count = 0

        def meet(kind: str, path: str) -> None:
            nonlocal count
            count += 1
            if count == self.number or (self.lasts and count > self.number):
                raise OSError(self.code, os.strerror(self.code), path)

        watch(self.folder, meet)


def watch(folder: Path, meet: Meet) -> None:
    """Put `meet` before every step below `folder` from now on, in this process."""
    root = os.path.realpath(folder)

    def inside(path: Any) -> str | None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        whole = os.path.join(os.path.realpath(os.path.dirname(os.fspath(path)) or "."), os.path.basename(path))
        return os.path.relpath(whole, root) if whole.startswith(root) else None

    def before(kind: str, *paths: Any) -> None:
        names = [name for path in paths if (name := inside(path)) is not None]
        if names:
            meet(kind, "\t".join(map(masked, names)))

    class Watched(io.FileIO):
        """A file, opened for writing, that is met at each write and in its midst."""

        def write(self, data: Any, /) -> int:
            whole = memoryview(data).cast("B")
            before("write", self.name)
            done = super().write(whole[: len(whole) // 2]) if len(whole) > 1 else 0
            before("mid write", self.name)
            return done + super().write(whole[done:])

    real_open, real_fsync, real_replace, real_mkdir, real_pwrite = io.open, os.fsync, os.replace, os.mkdir, os.pwrite

    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        writes = set(mode) & set("wxa+") and not isinstance(file, int)
        if not writes or inside(file) is None:
            return real_open(file, mode, *arguments, **named)
        before("open", file)
        raw = Watched(file, mode.replace("b", "").replace("t", ""))
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary)

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        before("sync folder" if folder else "sync", descriptor)
        real_fsync(descriptor)

    def replace(source: Any, target: Any) -> None:
        before("replace", source, target)
        real_replace(source, target)

    def mkdir(path: Any, *arguments: Any, **named: Any) -> None:
        if not os.path.exists(path):
            before("mkdir", path)
        real_mkdir(path, *arguments, **named)

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        before("write", descriptor)
        middle = len(data) // 2
        done = real_pwrite(descriptor, data[:middle], offset) if middle else 0
        before("mid write", descriptor)
        return done + real_pwrite(descriptor, data[done:], offset + done)

    # Stand-ins with the parameters that are used, not all that the real ones have.
    io.open = builtins.open = opened  # type: ignore[assignment]
    os.fsync, os.replace, os.rename, os.mkdir, os.pwrite = fsync, replace, replace, mkdir, pwrite  # type: ignore


def masked(path: str) -> str:
    """Return a path with the number of the process in a temporary's name taken out."""
    return re.sub(r"\.\d+\.tmp$", ".PID.tmp", path)


def steps(log: Path) -> list[list[str]]:
    """Read what `Note` or `Picture` wrote: the kind of each step and its paths."""
    return [line.split("\t") for line in log.read_text().splitlines()]
