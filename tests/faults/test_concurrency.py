"""Who reads sees one committed version, who writes writes alone, and a lock of the dead holds nothing."""

import errno
import fcntl
import json
import os
import signal
import time
from pathlib import Path

import pytest

import forked
from ganhash_cli.engine import files
from ganhash_cli.errors import LockedError
from linear_hash import write_bundle
from pictures import paint_classes
from reliability_card import record

VERSIONS, READERS, REPLACEMENTS = 5, 4, 50


class Reader:
    """One person who asks again and again, in a folder of their own."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder = folder
        command = ["query", str(place / "images/red/00.png"), "--json", "-k", "40"]
        self._command = [*command, "--codes", str(place / "codes.h5"), "--model", str(place / "model")]
        self.ask()

    def ask(self) -> None:
        forked._log(self.folder).unlink(missing_ok=True)
        self.process = forked.start(self.folder, self._command)

    def answer(self) -> str:
        """Wait for the answer and return its paths and distances."""
        self.process.join()
        said = forked.said(self.folder)
        assert self.process.exitcode == 0, said
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return json.dumps([(line["path"], line["distance"]) for line in lines])


def versions(place: Path) -> list[bytes]:
    """Encode a folder that grows, and return codes.h5 as it was each time."""
    write_bundle(place / "model")
    made = []
    for number in range(1, VERSIONS + 1):
        paint_classes(place / "images", each=2 * number)
        command = ["encode", str(place / "images"), "--model", str(place / "model"), "-o", str(place / "codes.h5")]
        assert forked.run(place / "encoded", command) == 0, forked.said(place / "encoded")
        made.append((place / "codes.h5").read_bytes())
    return made


def replace(place: Path, content: bytes) -> None:
    with files.atomic_write(place / "codes.h5") as stream:  # as `encode` does
        stream.write(content)


@pytest.mark.slow
def test_every_answer_is_that_of_one_version(tmp_path: Path) -> None:
    """C1: four readers while codes.h5 is replaced fifty times."""
    made = versions(tmp_path)
    known = set()
    for content in made:
        replace(tmp_path, content)
        known.add(Reader(tmp_path / "quiet", tmp_path).answer())
    assert len(known) == VERSIONS
    answers: list[str] = []
    readers = [Reader(tmp_path / f"reader-{number}", tmp_path) for number in range(READERS)]
    for number in range(REPLACEMENTS):
        replace(tmp_path, made[number % VERSIONS])
        time.sleep(0.2)
        for reader in readers:
            if reader.process.exitcode is not None:
                answers.append(reader.answer())
                reader.ask()
    answers += [reader.answer() for reader in readers]
    assert set(answers) <= known
    assert len(set(answers)) > 1
    assert len(answers) > READERS
    record(
        "C1",
        "four queries at a time while `codes.h5` is replaced again and again: each answer is that of one version",
        replacements=REPLACEMENTS,
        queries=len(answers),
        versions_seen=len(set(answers)),
        other_answers=0,
    )


def hold_the_lock(path: Path) -> None:
    """Take the lock of a file and tell so, then sleep until killed."""
    with files.lock(path):
        path.with_name("held").touch()
        time.sleep(600)


class Holder:
    """Says to a forked process that it holds a lock."""

    def __init__(self, path: Path, flock: bool = True) -> None:
        self.path, self.flock = path, flock

    def __call__(self) -> None:
        if not self.flock:
            take_flock_away()
        hold_the_lock(self.path)


def take_flock_away() -> None:
    """Let every flock fail as on a file system that has none."""

    def refusing(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = refusing


@pytest.mark.parametrize(("verb", "flock"), [("encode", True), ("encode", False), ("train", True), ("generate", True)])
def test_a_second_writer_is_exit_8_and_a_dead_one_is_taken_over(verb: str, flock: bool, tmp_path: Path) -> None:
    """C2, C3, C4: the message names the owner; so too where the file system knows no locks."""
    output = tmp_path / "there" / {"encode": "codes.h5", "train": "model", "generate": "fakes"}[verb]
    output.parent.mkdir()
    write_bundle(tmp_path / "model")
    images = str(paint_classes(tmp_path / "images", each=2))
    options = {
        "encode": ["--model", str(tmp_path / "model"), "-o", str(output)],
        "train": ["-b", "smallconv", "--no-fakes", "--model", str(output)],
        "generate": ["-g", "tiny", "--steps", "1", "--features", "smallconv", "--out", str(output)],
    }[verb]
    holder = forked.start(tmp_path / "holder", ["--version"], Holder(output, flock))
    while not output.with_name("held").exists():
        assert holder.exitcode is None
        time.sleep(0.01)
    fault = None if flock else take_flock_away
    second = tmp_path / "second"
    assert forked.run(second, [verb, images, *options], fault) == 8, forked.said(second)
    assert f"is being written by process {holder.pid} on " in forked.said(second).replace("\n", " ")
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    if verb == "encode":
        assert forked.run(second, [verb, images, *options], fault) == 0, forked.said(second)
        left = sorted(path.name for path in output.parent.iterdir())
        assert left == ["codes.h5", "held"]
    else:
        with files.lock(output):  # nobody holds it now
            pass


def test_a_lock_without_flock_keeps_two_of_one_process_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: the fallback itself."""
    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    take_flock_away()
    with files.lock(tmp_path / "codes.h5"), pytest.raises(LockedError), files.lock(tmp_path / "codes.h5"):
        pass
    assert list(tmp_path.iterdir()) == []
