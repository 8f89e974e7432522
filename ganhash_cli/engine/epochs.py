"""metrics.jsonl: the figures of a training by epoch, written and read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganhash_cli.engine import files
from ganhash_cli.errors import CorruptError, InputError

METRICS = "metrics.jsonl"
_EPOCH, _SCORE = "epoch", "validation_map"


@dataclass(frozen=True)
class Epochs:
    """The losses by name and the validation mAP of each epoch, (E,) each; nan where an epoch has none."""

    numbers: tuple[int, ...]
    losses: dict[str, tuple[float, ...]]
    validation_map: tuple[float, ...]

    @property
    def best(self) -> int | None:
        """The epoch of the highest validation mAP, the last of several; None where nothing was held out."""
        scored = [(score, number) for number, score in zip(self.numbers, self.validation_map, strict=True)]
        return max((pair for pair in scored if not math.isnan(pair[0])), default=(0.0, None))[1]


def write(history: Iterable[dict[str, float | None]], folder: Path) -> None:
    """Write the figures of every epoch so far to `folder`, one JSON object a line; whole again after a resume."""
    with files.atomic_write(folder / METRICS) as stream:
        stream.writelines(json.dumps(row).encode() + b"\n" for row in history)


def read(folder: Path) -> Epochs:
    """Read the figures of a model's folder; `InputError` where it has none, `CorruptError` where they make no sense."""
    path = folder / METRICS
    if not path.exists():
        raise InputError(f"{folder} has no {METRICS}: it was not trained by epochs")
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        names = dict.fromkeys(name for row in rows for name in row if name not in (_EPOCH, _SCORE))
        found = Epochs(
            numbers=tuple(int(row[_EPOCH]) for row in rows),
            losses={name: tuple(_number(row.get(name)) for row in rows) for name in names},
            validation_map=tuple(_number(row.get(_SCORE)) for row in rows),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptError(f"{path} is damaged: {error}") from error
    if not found.numbers:
        raise InputError(f"{path} has no epoch")
    return found


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
