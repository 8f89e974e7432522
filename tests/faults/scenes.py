"""The commands that are disturbed: what each is given, and what it leaves where nothing disturbs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import forked
from linear_hash import write_bundle
from pictures import paint_classes

TINY = {
    "generate": ["-g", "tiny", "--steps", "9", "--batch", "4", "--features", "smallconv", "--count", "6"],
    "train": ["-b", "smallconv", "-B", "width=8", "--bits", "12", "--epochs", "3", "--batch", "12", "--size", "32"],
}
RESUMED = ("generate", "train", "encode")
VIEWS = ("query", "dedup", "evaluate", "report", "export")
VERBS = (*RESUMED, "merge", *VIEWS)


@dataclass(frozen=True)
class Scene:
    """A command, the files that it leaves when nothing disturbs it, and how long that takes in seconds."""

    arguments: list[str]
    files: dict[str, str]
    seconds: float
    segment: int = 4

    def run(self, folder: Path, fault: forked.Fault | None = None) -> int:
        """Run the command in `folder` and return its exit code."""
        return forked.run(folder, self.arguments, fault, self.segment)

    def finish(self, folder: Path) -> None:
        """Run the command to its end and compare every file."""
        assert self.run(folder) == 0, forked.said(folder)
        assert forked.contents(folder) == self.files


def make(place: Path, verb: str, each: int = 12, segment: int = 4) -> Scene:
    """Lay out what the verb needs below `place`, `each` images in three classes, and run it once."""
    place.mkdir(parents=True, exist_ok=True)
    arguments = [verb, *_ARGUMENTS.get(verb, _trained)(place, verb, each)]
    assert forked.run(place, ["--version"]) == 0  # so that the server stands before anything is timed
    began = time.monotonic()
    assert forked.run(place / verb, arguments, None, segment) == 0, forked.said(place / verb)
    return Scene(arguments, forked.contents(place / verb), time.monotonic() - began, segment)


def _trained(place: Path, verb: str, each: int) -> list[str]:
    return [str(paint_classes(place / "images", each)), *TINY[verb]]


def _encode(place: Path, _: str, each: int) -> list[str]:
    write_bundle(place / "model")
    return [str(paint_classes(place / "images", each)), "--model", str(place / "model")]


def _merge(place: Path, _: str, each: int) -> list[str]:
    folder, *model = _encode(place, "encode", each)
    parts = [str(place / f"part-{number}.h5") for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        command = ["encode", folder, *model, "--shard", f"{number}/2", "-o", part]
        assert forked.run(place / "parts", command) == 0, forked.said(place / "parts")
    return [*parts, "--overwrite"]


def _codes(place: Path, each: int) -> list[str]:
    folder, *model = _encode(place, "encode", each)
    command = ["encode", folder, *model, "-o", str(place / "codes.h5")]
    assert forked.run(place / "encoded", command) == 0, forked.said(place / "encoded")
    return [*model, "--codes", str(place / "codes.h5")]


def _query(place: Path, _: str, each: int) -> list[str]:
    return [str(place / "images/red/00.png"), *_codes(place, each), "--html", "page.html", "--json"]


def _dedup(place: Path, _: str, each: int) -> list[str]:
    return [_codes(place, each)[-1], "--html", "page.html", "--json"]


def _evaluate(place: Path, _: str, each: int) -> list[str]:
    queries, codes = paint_classes(place / "queries", 2), _codes(place, each)
    views = ["--csv", "curve.csv", "--plot", "curve.png", "--json"]
    return ["--queries", str(queries), *codes, "--allow-overlap", *views]


def _report(place: Path, _: str, each: int) -> list[str]:
    queries, (_, model, *codes) = paint_classes(place / "queries", 2), _codes(place, each)
    return [model, *codes, "--queries", str(queries), "--allow-overlap", "--json"]


def _export(place: Path, _: str, each: int) -> list[str]:
    return [_codes(place, each)[-1], "--for", "vespa", "--json"]


_ARGUMENTS: dict[str, Callable[[Path, str, int], list[str]]] = {
    "encode": _encode,
    "merge": _merge,
    "query": _query,
    "dedup": _dedup,
    "evaluate": _evaluate,
    "report": _report,
    "export": _export,
}
