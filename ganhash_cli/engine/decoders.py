"""Many image files → squares, in processes of their own: one that dies, hangs or takes too much memory costs one file.

Such a process may take so much memory and so many seconds a file, no more; what it sends back is pixels, digests and
reasons, which are read as such and never run. It ends by itself when its parent does.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import BytesIO
from itertools import chain, islice
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin

from ganhash_cli.engine import children, decoding, parallel
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.errors import StorageError

MEMORY = 2 << 30  # bytes of address space that one process may take; the largest picture we accept takes 1.3 GB
SECONDS = 30  # for one file
FEW = 8  # files that are sooner decoded than a process has started
_PART = 16  # files that are asked for at once
_FLUSH = 0.1  # seconds after which a process tells what it has
_HEAD = struct.Struct("<cQ")  # what it is, and its length in bytes
_READY, _SQUARE, _DIGEST, _REASON, _ROOM, _BUG = b"h", b"s", b"d", b"r", b"l", b"b"
_CHILD = "from ganhash_cli.engine.decoders import serve; serve()"

T = TypeVar("T")
File = bytes | BytesIO  # a path, or what a file holds
Square = NDArray[np.uint8]
Result = Square | str | Undecodable


def squares(files: Iterable[bytes], side: int) -> Iterator[Square | Undecodable]:
    """Decode files to (side, side, 3) RGB squares in their order, on all processors, not far ahead."""
    files, few = iter(files), list[bytes]()
    few += islice(files, FEW + 1)
    if len(few) <= FEW:
        yield from parallel.each(lambda file: decoding.attempt(lambda: decoding.square(file, side)), few, ahead=4)
        return
    with Decoders() as decoders:
        yield from _by_parts(partial(decoders.squares, side=side), chain(few, files))


def picture_digests(files: Iterable[bytes]) -> Iterator[str | Undecodable]:
    """Return of each file the SHA-256 of its whole picture in hexadecimal, in their order, on all processors.

    Equal where two files decode to equal pixels in full size. Of several frames only the first is ever decoded, so
    such files are equal only where all their bytes are.
    """
    with Decoders() as decoders:
        yield from _by_parts(decoders.digests, files)


def _by_parts(function: Callable[[list[bytes]], list[T]], files: Iterable[bytes]) -> Iterator[T]:
    for results in parallel.each(function, _parts(iter(files))):
        yield from results


def _parts(files: Iterator[bytes]) -> Iterator[list[bytes]]:
    while part := list(islice(files, _PART)):
        yield part


class Decoders:
    """Up to `count` processes that decode, each started when it is first needed; threads may ask at once."""

    def __init__(self, count: int | None = None) -> None:
        self._idle: SimpleQueue[_Process | None] = SimpleQueue()
        self._all: list[_Process] = []
        self._count = count or parallel.threads()
        for _ in range(self._count):
            self._idle.put(None)

    def start(self, most: int) -> Self:
        """Start up to `most` of them now, so that nobody waits for them later."""
        for _ in range(min(most, self._count)):
            self._idle.put(self._take())
        return self

    def squares(self, files: Sequence[bytes], side: int) -> list[Square | Undecodable]:
        """Decode files to (side, side, 3) RGB squares in their order."""
        return cast(list[Square | Undecodable], self._ask(files, side))

    def content(self, content: bytes, side: int, memory: int) -> Square | Undecodable:
        """Decode what a file holds to a square; `Undecodable` where that could take more than `memory` bytes."""
        return cast(Square | Undecodable, self._ask([BytesIO(content)], side, memory)[0])

    def digests(self, files: Sequence[bytes]) -> list[str | Undecodable]:
        """Return of each file the SHA-256 of its whole picture, as `picture_digests` does."""
        return cast(list[str | Undecodable], self._ask(files, 0))

    def _ask(self, files: Sequence[File], side: int, memory: int | None = None) -> list[Result]:
        results: list[Result] = []
        process = self._take()
        alone = False  # once one has died: by which file is found by asking for each alone, of a process that is new
        try:
            while len(results) < len(files):
                rest = files[len(results) :]
                try:
                    for result in process.results(rest[:1] if alone else rest, side, memory):
                        results.append(result)
                except _Died as death:
                    if alone or (len(rest) == 1 and isinstance(death, _Late)):
                        results.append(Undecodable(str(death)))
                    alone = True
                    process.close()
                    process = self._new()
        except BaseException:
            process.close()  # it may be in the middle of something
            self._idle.put(None)
            raise
        self._idle.put(process)
        return results

    def _take(self) -> _Process:
        """Return an idle process, or a new one; where that cannot start, another thread may try in its place."""
        process = self._idle.get()
        try:
            return process or self._new()
        except BaseException:
            self._idle.put(None)
            raise

    def _new(self) -> _Process:
        process = _Process()
        self._all.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all of them, whatever they do."""
        for process in self._all:
            process.close()


class _Died(Exception):
    """A process has ended before it was done; the message is the reason that is shown."""


class _Late(_Died):
    """It took longer than it may; asked again, it would take as long."""


class _Process:
    """One process that decodes, as seen by its parent."""

    def __init__(self) -> None:
        try:
            self._child = children.start(_CHILD)
        except OSError as error:
            raise _cannot_start(error.strerror or str(error)) from error
        self._to = cast(IO[bytes], self._child.stdin)
        self._from = cast(IO[bytes], self._child.stdout)
        self._ready = False

    def results(self, files: Sequence[File], side: int, memory: int | None) -> Iterator[Result]:
        """Ask for some files, or one content; raises `_Died` where the process does not come to the next one."""
        if not self._ready:
            try:
                self._message()
            except _Died as death:
                raise _cannot_start(str(death)) from death
            self._ready = True
        contents = [file.getvalue() for file in files if isinstance(file, BytesIO)]
        names = [file.decode("latin-1") if isinstance(file, bytes) else len(file.getvalue()) for file in files]
        self._say(json.dumps([side, memory, names]).encode() + b"\n", *contents)
        for _ in files:
            yield self._result(side)

    def _result(self, side: int) -> Result:
        with ExitStack() as held:
            while True:
                kind, content = self._message()
                if kind != _ROOM:
                    break
                held.enter_context(decoding.room(int(content)))
                self._say(b"\n")
        if kind == _BUG:
            raise RuntimeError(content.decode(errors="replace"))
        if kind == _SQUARE and len(content) == 3 * side**2:
            return np.frombuffer(content, np.uint8).reshape(side, side, 3)
        if kind == _DIGEST:
            return content.decode("ascii", errors="replace")
        return Undecodable(content.decode(errors="replace"))

    def _say(self, *parts: bytes) -> None:
        try:
            for part in parts:
                self._to.write(part)
            self._to.flush()
        except OSError as error:
            raise self._death() from error

    def _message(self) -> tuple[bytes, bytes]:
        head = self._from.read(_HEAD.size)
        if len(head) == _HEAD.size:
            kind, length = _HEAD.unpack(head)
            content = self._from.read(length)
            if len(content) == length:
                return kind, content
        raise self._death()

    def _death(self) -> _Died:
        self._child.kill()  # it has closed its end, so it has ended or is of no more use
        code = self._child.wait()
        if code == -getattr(signal, "SIGALRM", 0):
            return _Late(f"cannot be decoded within {SECONDS} s")
        return _Died(f"the decoder crashed on it ({children.ending(code)})")

    def close(self) -> None:
        """End the process, whatever it does."""
        self._child.kill()
        self._child.wait()
        for stream in (self._to, self._from):
            with suppress(OSError):
                stream.close()


def _cannot_start(reason: str) -> StorageError:
    return StorageError(
        f"cannot start a process that decodes images: {reason}",
        hint="see that there are memory and processes left, then run the same command again",
    )


def serve() -> None:
    """Decode what is asked for on stdin and answer on stdout, until stdin ends: what a process of `Decoders` does."""
    tell = os.fdopen(os.dup(1), "wb", buffering=256 << 10)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 1)  # what else is printed is no answer
    children.limit(MEMORY)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the processors are taken by other processes
    with suppress(BrokenPipeError):
        _answer(sys.stdin.buffer, tell)
    os._exit(0)


def _answer(asked: IO[bytes], tell: IO[bytes]) -> None:
    told = 0.0

    def send(kind: bytes, content: bytes | memoryview, at_once: bool = False) -> None:
        nonlocal told
        tell.write(_HEAD.pack(kind, len(content)))
        tell.write(content)
        if at_once or time.monotonic() > told + _FLUSH:
            tell.flush()
            told = time.monotonic()

    @contextmanager
    def room(pixels: int) -> Iterator[None]:
        _watch(0)
        send(_ROOM, str(pixels).encode(), at_once=True)
        asked.readline()
        _watch(SECONDS)
        yield

    send(_READY, b"", at_once=True)
    while line := asked.readline():
        side, memory, names = json.loads(line)
        for name in names:
            file = name.encode("latin-1") if isinstance(name, str) else BytesIO(asked.read(name))
            _watch(SECONDS)
            kind, content = _attempt(file, side, memory, room)
            _watch(0)
            send(kind, content)
        tell.flush()


def _attempt(file: File, side: int, memory: int | None, room: decoding.Room) -> tuple[bytes, bytes | memoryview]:
    try:
        if side:
            return _SQUARE, np.ascontiguousarray(decoding.square(file, side, room, memory)).reshape(-1).data
        return _DIGEST, decoding.picture_digest(cast(bytes, file), room).encode()
    except Undecodable as reason:
        return _REASON, str(reason).encode(errors="replace")
    except MemoryError:
        return _REASON, f"takes more than {MEMORY >> 30} GiB of memory to decode".encode()
    except Exception:
        return _BUG, traceback.format_exc().encode(errors="replace")


def _watch(seconds: int) -> None:
    """Have the system end this process unless it comes back within so many seconds; 0 for never."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)
