"""The one place that draws: results on stdout, everything else on stderr; names from files made safe.

Rich is imported only when something is drawn with it, so that `--help` and piped output stay quick.
"""

from __future__ import annotations

import codecs
import io
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from ganhash_cli import terminal
from ganhash_cli.engine.names import safe as safe
from ganhash_cli.engine.names import shortened
from ganhash_cli.engine.path_records import path_record
from ganhash_cli.errors import GanhashError, Interrupted, NothingFound

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from ganhash_cli.engine.progress import Progress, Work
    from ganhash_cli.engine.strips import Strip

T = TypeVar("T")


class ProgressName(StrEnum):
    """How progress is shown on stderr."""

    auto = "auto"
    json = "json"


LINE_SECONDS, LINE_SECONDS_VERBOSE = 30.0, 2.0  # between lines of progress where there is no terminal

_OBJECT_SECONDS = 0.2
_NARROW, _WIDE = 40, 80  # columns from which there is room for the time left, and for a bar and counts

_muted: list[tuple[TextIO, TextIO]] = []  # the streams that were there before

verbosity = 0
"""-1 quiet, 0 normal, 1 with more lines of progress, 2 with tracebacks."""


machine = False
"""Whether errors are JSON, as `--json` asks."""

progress_as = ProgressName.auto
"""How progress is shown. With json every line on stderr is a JSON object."""


def mute() -> None:
    """Print nothing from now on: another process of the same command speaks."""
    _muted.append((sys.stdout, sys.stderr))
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives


def unmute() -> None:
    """Print again."""
    while _muted:
        sys.stdout, sys.stderr = _muted.pop()


def mend_streams() -> None:
    """Give a stream that was closed before we began somewhere to go, and let no result fail at a letter.

    Without this, Python prints what is for a closed stderr among the results, and the next file that is opened takes
    the number of a closed stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # for as long as the process lives
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print one line of result."""
    print(text, file=sys.stdout)


def discard_output() -> None:
    """Let what is printed on stdout from now on, and what waits to be, go nowhere: nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """Print one line for the person at the terminal; silent with -q."""
    if verbosity >= 0:
        _tell(_line({"note": text}) if progress_as == ProgressName.json else text)


def warn(text: str) -> None:
    """Print one warning."""
    _tell(_line({"warning": text}) if progress_as == ProgressName.json else f"warning: {text}")


def fail(error: GanhashError) -> None:
    """Print an error and, below it, what to do next; for programs both as one JSON object."""
    if machine or progress_as == ProgressName.json:
        facts = {"kind": type(error).__name__, "exit": error.exit_code, "message": error.message, "hint": error.hint}
        _tell(_line({"error": facts}))
        return
    if isinstance(error, Interrupted):  # what a person asked for, told with -q too: it decides what to do next
        _tell(f"{error.message}; {error.hint}")
        return
    what = "" if isinstance(error, NothingFound) else "error: "  # to find nothing is an answer
    _tell(f"{what}{safe(error.message)}")
    if error.hint:
        _tell(f"  hint: {safe(error.hint)}")


def emit(record: dict[str, Any], schema: int = 1) -> None:
    """Print one JSON object on one line; `schema` grows when a reader of today could misread the command's records.

    Each `Path` in it becomes a text, with its exact bytes beside it where they are not UTF-8.
    """
    fields: dict[str, Any] = {}
    for name, value in record.items():
        fields |= path_record(os.fsencode(value), name) if isinstance(value, Path) else {name: value}
    print(_line(fields, schema), file=sys.stdout)


def _line(record: dict[str, Any], schema: int = 1) -> str:
    plain = any(codecs.lookup(stream.encoding or "utf-8").name != "utf-8" for stream in (sys.stdout, sys.stderr))
    return json.dumps({"schema": schema, **record}, ensure_ascii=plain).encode(errors="replace").decode()


def _tell(text: str) -> None:
    """Print a line on stderr; where nobody can read it any more, the work goes on all the same."""
    try:
        print(text, file=sys.stderr)
    except OSError:  # a closed pipe, or a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def count(value: int) -> str:
    """Write a number for a table: grouped for a person, plain for a program."""
    return f"{value:,}" if sys.stdout.isatty() else str(value)


def distance(value: int, bits: int) -> str:
    """Write a distance for a table: beside the length of the codes for a person, by itself for a program."""
    return f"{value}/{bits}" if sys.stdout.isatty() else str(value)


def table(columns: list[str], rows: list[list[str]], links: list[str] | None = None) -> None:
    """Print rows as a table on a terminal, without columns that are empty, and as tab-separated lines elsewhere.

    A terminal of fewer than 40 columns gets the lines, too: a table would wrap every cell.

    `links`, one a row, make the last column clickable where the terminal can.
    """
    if not sys.stdout.isatty() or terminal.width() < _NARROW:
        for row in rows:
            say("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    filled = [place for place in range(len(columns)) if not rows or any(row[place] for row in rows)]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for place in filled:
        drawn.add_column(columns[place], overflow="fold")
    for index, row in enumerate(rows):
        cells = [Text(row[place]) for place in filled]
        if links:
            cells[-1].stylize(f"link {links[index]}")
        drawn.add_row(*cells)
    Console(highlight=False).print(drawn)


def pictures(strip: Strip, drawing: str) -> None:
    """Draw pictures on a terminal, which turns `drawing` into them, and their captions below."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    from ganhash_cli.engine.sheet import RIGHT, WRONG

    def fitting(caption: str) -> str:
        return shortened(caption, lambda shown: cell_len(shown) <= strip.tile)

    say(drawing)
    marks = {True: f"bold {RIGHT}", False: f"bold {WRONG}", None: "bold"}
    firsts = [Text(fitting(caption.first), marks[caption.right]) for caption in strip.captions]
    seconds = [Text(fitting(caption.second), "dim") for caption in strip.captions]
    for line in (firsts, seconds):
        for text in line:
            text.truncate(strip.tile, pad=True)
        Console(highlight=False).print(Text(" " * strip.gap).join(line), no_wrap=True)


def follow(work: Work[T], seen: Callable[[Progress], object] = lambda _: None, *, saves: bool = True) -> T:
    """Draw the progress of `work` on stderr, show it to `seen` too, and return its result.

    The first Ctrl+C, SIGTERM or SIGHUP is thrown into the work at its next step, so that it can save, if it `saves`, or
    clean up; the second stops it at once.
    """
    pending: list[int] = []
    stages: list[str] = []
    with _signals(pending, stages, saves=saves), _bars() as bars:
        draw = _on(bars) if bars else _in_objects() if progress_as == ProgressName.json else _in_lines()
        try:
            progress = next(work)
            while True:
                stages[:] = [progress.stage]
                draw(progress)
                seen(progress)
                progress = work.throw(Interrupted(pending[0], saved=saves)) if pending else next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Hold a first Ctrl+C back while a large package is loaded: where it hits the beginnings of one, that aborts."""
    note(f"loading {what}")
    pending: list[int] = []
    with _held_back([signal.SIGINT], pending.append):
        yield
    if pending:
        raise Interrupted(pending[0], saved=False)


def set_up_logging() -> None:
    """Show what plugins and the engine log; they speak through `logging`, never by printing."""
    for name in ("ganhash_plugins", "ganhash_cli.engine", "ganhash_cli.web"):
        logger = logging.getLogger(name)
        logger.handlers = [_Notes()]
        logger.setLevel(logging.INFO)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        (warn if record.levelno >= logging.WARNING else note)(safe(record.getMessage()))


@contextmanager
def _signals(pending: list[int], stages: list[str], *, saves: bool) -> Iterator[None]:
    def seen(signum: int) -> None:
        pending.append(signum)
        step = f"this step of {stages[0]}" if stages else "this step"
        note(f"stopping after {safe(step)}{', to save the state' if saves else ''}; once more to stop at once")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    with _held_back(numbers, seen):
        yield


@contextmanager
def _held_back(numbers: list[signal.Signals], seen: Callable[[int], object]) -> Iterator[None]:
    """Give a signal to `seen` when it comes first, and let it do what it does by itself when it comes again."""

    def remember(signum: int, frame: FrameType | None) -> None:
        seen(signum)
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)

    try:
        before = {signum: signal.signal(signum, remember) for signum in numbers}
    except ValueError:  # not the main thread, as in a program that uses us as a library
        before = {}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def _bars() -> Iterator[Bar | None]:
    drawn = progress_as == ProgressName.auto and verbosity >= 0
    if not drawn or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich import progress
    from rich.console import Console, RenderableType
    from rich.table import Column
    from rich.text import Text

    class Bars(progress.Progress):
        """Bars, and below them the figures of the stage that is running, which have no room beside a bar."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if figures := [task.fields["figures"] for task in self.tasks if not task.finished and task.visible]:
                yield Text(figures[-1], style="dim", no_wrap=True, overflow="ellipsis")

    err = Console(stderr=True)
    columns: list[progress.ProgressColumn] = [
        progress.TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        progress.TextColumn("{task.percentage:>3.0f} %", table_column=Column(no_wrap=True, min_width=5)),
    ]
    if err.width >= _WIDE:
        columns[1:1] = [progress.BarColumn(bar_width=min(24, err.width - 65))]
        columns += [progress.TextColumn("{task.fields[count]}"), progress.TimeElapsedColumn()]
    if err.width >= _NARROW:
        columns += [progress.TimeRemainingColumn(), progress.TextColumn("left")]
    with Bars(*columns, console=err) as bars:
        yield bars


def _in_objects() -> Callable[[Progress], None]:
    """Return what prints progress for programs: where a stage begins and ends, and five times a second between."""
    last, stage = 0.0, ""

    def draw(step: Progress) -> None:
        nonlocal last, stage
        now = time.monotonic()
        if step.stage == stage and step.done < step.total and now - last < _OBJECT_SECONDS:
            return
        last, stage = now, step.stage
        figures = {name: value if math.isfinite(value) else None for name, value in step.figures.items()}
        facts = {"stage": step.stage, "done": step.done, "total": step.total, "unit": step.unit, "figures": figures}
        _tell(_line(facts))

    return draw


def _in_lines() -> Callable[[Progress], None]:
    """Return what prints progress where there is no terminal: each stage's end, and now and then a line."""
    began = last = time.monotonic()
    stage, first = "", 0.0

    def draw(step: Progress) -> None:
        nonlocal began, last, stage, first
        now = time.monotonic()
        if step.stage != stage:
            began, stage, first = now, step.stage, step.done
            if step.total == 1 and step.done == 0:  # all of it is one step, of which no other word comes till its end
                note(stage)
        if step.done >= step.total or now - last >= (LINE_SECONDS if verbosity < 1 else LINE_SECONDS_VERBOSE):
            parts = (f"{step.stage}:", *_texts(step), f"{now - began:.0f} s", _left(now - began, first, step))
            note("  ".join(part for part in parts if part))
            last = now

    return draw


def _left(spent: float, first: float, step: Progress) -> str:
    """Say how long a stage that began at `first` goes on if it does as before; nothing where that is not known."""
    if step.done >= step.total or step.done <= first:
        return ""
    return f"{spent / (step.done - first) * (step.total - step.done):.0f} s left"


def _on(bars: Bar) -> Callable[[Progress], None]:
    """Return what draws progress as bars, one a stage."""
    tasks: dict[str, Any] = {}

    def draw(step: Progress) -> None:
        count, figures = _texts(step)
        if step.stage not in tasks:
            # What an earlier run has done says nothing of how fast this one is.
            tasks[step.stage] = bars.add_task(
                step.stage, total=step.total, completed=int(step.done), count=count, figures=figures
            )
        bars.update(tasks[step.stage], completed=step.done, total=step.total, count=count, figures=figures)

    return draw


def _texts(step: Progress) -> tuple[str, str]:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in step.figures.items())
    return f"{step.done:,.0f}/{step.total:,.0f} {step.unit}".rstrip(), figures
