"""model/ while it is trained: what is begun there, what goes on, and what belongs to others and is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ganhash_cli.engine import bundle, differences, files
from ganhash_cli.engine.epochs import METRICS
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.errors import CorruptError, InputError, PluginError, UsageError

BOARD = "tensorboard"
"""The folder in model/ of what is written for TensorBoard, where that is asked for."""
PLAN = "plan.json"
"""In checkpoints/, from the first moment of a run: which run it is, and the sign that the folder is ours."""
_OURS = ("step-", METRICS, PLAN)
_WRITTEN = (bundle.WEIGHTS, bundle.ONNX, bundle.TRAINED_ON, METRICS)


@contextmanager
def begun(folder: Path, run: str, settings: TrainSettings, *, overwrite: bool) -> Iterator[None]:
    """Give `folder` to the run that is called `run`, which goes on where it was stopped.

    A finished model there stays as it is until `completed`, and where the run is refused before its first checkpoint
    nothing of it is left. Raises `UsageError` where the folder holds files that no training of ours wrote, or, without
    `overwrite`, the checkpoints of another run.
    """
    there, work = folder.exists(), folder / bundle.CHECKPOINTS
    _prepare(folder, run, settings, overwrite=overwrite)
    try:
        yield
    except (InputError, UsageError, PluginError):
        if not any(work.glob("*.ckpt")):
            _discard(folder)
            if not there:
                with suppress(OSError):
                    folder.rmdir()
        raise


@contextmanager
def completed(folder: Path) -> Iterator[None]:
    """Write what a finished run leaves in `folder`: an earlier model stops being one first, checkpoints go last."""
    if (folder / bundle.DESCRIPTION).exists():
        _discard_events(folder)
        (folder / bundle.DESCRIPTION).unlink()
    figures = folder / bundle.CHECKPOINTS / METRICS
    if figures.exists():
        with files.atomic_write(folder / METRICS) as stream:
            stream.write(figures.read_bytes())
    else:
        (folder / METRICS).unlink(missing_ok=True)  # of an earlier model, whose training had epochs
    yield
    _discard(folder)


def discard_left(folder: Path, run: str) -> None:
    """Remove what a kill may have left of `run`, which is finished; another that is to replace it stays."""
    plan = _planned(folder / bundle.CHECKPOINTS)
    if plan is None or plan.get("run") == run:
        _discard(folder)


def _discard(folder: Path) -> None:
    """Remove what a run keeps only while it is unfinished, its plan last, so that what is left is known for ours."""
    work = folder / bundle.CHECKPOINTS
    if (work / PLAN).exists():
        for path in sorted(work.iterdir(), key=lambda each: each.name == PLAN):
            if path.name.lstrip(".").startswith(_OURS):
                path.unlink(missing_ok=True)
    with suppress(OSError):  # not there, or not empty: what is left is of others
        work.rmdir()


def _discard_events(folder: Path) -> None:
    """Remove what an earlier model's training wrote for TensorBoard, before the run under way began."""
    began = (folder / bundle.CHECKPOINTS / PLAN).stat().st_mtime_ns
    for path in (folder / BOARD).glob("events.out.tfevents.*"):
        if path.stat().st_mtime_ns < began:
            path.unlink()
    with suppress(OSError):  # not there, or not empty
        (folder / BOARD).rmdir()


def _prepare(folder: Path, run: str, settings: TrainSettings, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="choose another place with --model")
    work = folder / bundle.CHECKPOINTS
    plan = _planned(work)
    if plan is None:
        known = (folder / bundle.DESCRIPTION).exists()
        others = [] if known else [name for name in _WRITTEN if (folder / name).exists()]
        others += [f"{bundle.CHECKPOINTS}/"] if work.exists() and not _empty(work) else []
        if others:
            raise UsageError(
                f"{folder} holds {', '.join(others)}, which ganhash did not write there or did not finish",
                hint="choose another place with --model, or move that away",
            )
    elif plan.get("run") != run:
        if not overwrite and any(work.glob("*.ckpt")):
            other = differences.named(plan.get("settings") or {}, asdict(settings)) or differences.OF_INPUTS
            raise UsageError(
                f"{folder} holds an unfinished run {other}",
                hint="--overwrite discards it; the same command as before continues it",
            )
        _discard(folder)
        plan = None
    if plan is None:
        files.write_json(work / PLAN, {"run": run, "settings": asdict(settings)})


def _empty(work: Path) -> bool:
    """Whether nothing stands there but what a run leaves that was killed while it wrote its plan."""
    return work.is_dir() and all(path.name.startswith(f".{PLAN}.") for path in work.iterdir())


def _planned(work: Path) -> dict[str, Any] | None:
    """Return which run is unfinished, None where none is; nothing is known of one whose plan cannot be read."""
    if not (work / PLAN).exists():
        return None
    try:
        return files.read_json(work / PLAN)
    except (InputError, CorruptError):
        return {}
