"""What a command may find around it, each as something done in its process before it begins; loads nothing."""

import os
import sys
from collections.abc import Callable


def narrow() -> None:
    """Ask for few columns and no colours."""
    os.environ.update(COLUMNS="20", TERM="dumb", NO_COLOR="1")


def ascii_only() -> None:
    """Know no letters but those of ASCII, and fail at others where the command does not see to it."""
    os.environ.update(LANG="C", LC_ALL="C")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]  # they are files here


def no_stdout() -> None:
    """Do as `>&-`: Python then has no stdout at all."""
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]  # as Python itself does


def no_stderr() -> None:
    """Do as `2>&-`."""
    os.close(2)
    sys.stderr = None  # type: ignore[assignment]  # as Python itself does


def nobody_reads_stdout() -> None:
    """Do as a `| head -1` that has ended."""
    _leave(1)


def nobody_reads_stderr() -> None:
    """Do the same for stderr."""
    _leave(2)


def _leave(stream: int) -> None:
    reader, writer = os.pipe()
    os.dup2(writer, stream)
    os.close(reader)
    os.close(writer)


ALL: tuple[Callable[[], None], ...] = (
    narrow,
    ascii_only,
    no_stdout,
    no_stderr,
    nobody_reads_stdout,
    nobody_reads_stderr,
)
