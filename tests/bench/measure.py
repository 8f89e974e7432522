"""How the benchmarks measure: whole commands and calls, in turn, and the rows that become build/bench.json."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

REPORT = Path(__file__).parents[2] / "build" / "bench.json"


@dataclass(frozen=True)
class Row:
    """One line of the table: what a user would do instead (`peer`), and what the machine allows (`limit`).

    `reach` is what was aimed at, in the row's unit or, where `ratio` is set, times the peer's figure.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    ours: float
    peer: float | None
    limit: float | None
    reach: float
    ratio: bool = False

    @property
    def reached(self) -> bool:
        """Whether our figure is as good as was aimed at."""
        aim = self.reach * self.peer if self.ratio and self.peer is not None else self.reach
        return self.ours <= aim if self.better == "lower" else self.ours >= aim


@dataclass
class Report:
    """The rows of one run."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Note a row and show it at once."""
        self.rows.append(row)
        print(f"\n{line(row)}", flush=True)

    def write(self, path: Path = REPORT) -> None:
        """Write the rows as JSON; earlier rows of other names stay, so that parts can be run alone."""
        named = {row["name"]: row for row in (json.loads(path.read_text()) if path.exists() else [])}
        named |= {row.name: asdict(row) | {"reached": row.reached} for row in self.rows}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(list(named.values()), indent=1) + "\n")


def line(row: Row) -> str:
    """Return a row as one line of text."""

    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4g}"

    aim = f"{row.reach:g}{' x peer' if row.ratio else f' {row.unit}'}"
    verdict = "reached" if row.reached else "MISSED"
    return (
        f"{row.name}: ours {shown(row.ours)} {row.unit}, peer {shown(row.peer)}, limit {shown(row.limit)};"
        f" {row.better} is better, aim {aim}: {verdict}"
    )


@dataclass(frozen=True)
class Cost:
    """What one process took: wall-clock seconds, and the most memory it held, in MiB."""

    seconds: float
    mebibytes: float


# A process counts as its own what it held before its program began, its parent's memory: a small one starts it.
_STARTER = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
with open(sys.argv[1], "wb") as errors:
    code = subprocess.call(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=errors)
seconds = time.perf_counter() - begun
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def command(arguments: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end in `folder` and return its cost; `RuntimeError` with its words where it fails."""
    errors = folder / "stderr.txt"
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, os.fspath(errors)]
    done = subprocess.run(
        [*starter, *(os.fspath(argument) for argument in arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        check=True,
    )
    code, seconds, mebibytes = json.loads(done.stdout)
    if code:
        raise RuntimeError(f"{arguments} ended with {code}: {errors.read_text(errors='replace')[-2000:]}")
    return Cost(seconds, mebibytes)


def in_turn(rounds: int, *candidates: Callable[[], Cost]) -> list[Cost]:
    """Run the candidates one after the other, `rounds` times, and return the medians of each."""
    costs = [[candidate() for candidate in candidates] for _ in range(rounds)]
    return [
        Cost(statistics.median(c.seconds for c in column), statistics.median(c.mebibytes for c in column))
        for column in zip(*costs, strict=True)
    ]


def python(program: str, folder: Path, *arguments: str, threads: int | None = None) -> Cost:
    """Run a Python program given as text; with `threads`, that many for every library."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")} if threads else {}
    return command([sys.executable, "-c", program, *arguments], folder, limits)


def seconds(rounds: int, *turns: Callable[[], object]) -> list[float]:
    """Take turns, `rounds` times, and return the median seconds of each."""
    taken = [[timed(turn) for turn in turns] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def timed(turn: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    begun = time.perf_counter()
    turn()
    return time.perf_counter() - begun
