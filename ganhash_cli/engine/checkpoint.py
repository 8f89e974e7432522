"""Checkpoints of a training run: saved whole, checked by digest, the last two kept; a damaged one is told of.

Of several processes the first saves, and what it finds all go on from.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from ganhash_cli.engine import ranks
from ganhash_cli.engine.files import atomic_write
from ganhash_cli.errors import CorruptError

KEPT = 2
_DIGEST_BYTES = 32
_LOG = logging.getLogger(__name__)


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values only, as the checkpoint of `step`; keep the last two."""
    if not ranks.first():
        return
    payload = BytesIO()
    torch.save(state, payload)
    with atomic_write(folder / f"step-{step:08}.ckpt") as stream:
        stream.write(hashlib.sha256(payload.getbuffer()).digest())
        stream.write(payload.getbuffer())
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def load_latest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Return step and state of the newest whole checkpoint, None where there is none.

    Damaged ones are removed, with a warning, and passed over for the one before them. Raises `CorruptError` where
    none of those that are there is whole, or one is whole but holds what could run code.
    """
    return ranks.from_first(lambda: _load_latest(folder))


def _load_latest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    damaged: list[Path] = []
    hint = f"to begin anew, remove {folder} and run the same command again"
    for path in _newest_first(folder):
        content = path.read_bytes()
        payload = content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() == content[:_DIGEST_BYTES]:
            step = int(path.stem.removeprefix("step-"))
            _pass_over(damaged, step)
            return step, _state(path, payload, hint)
        damaged.append(path)
    if damaged:
        raise CorruptError(
            f"{_named(damaged)}: the checksum is wrong, and no checkpoint is whole",
            hint=hint,
        )
    return None


def _state(path: Path, payload: bytes, hint: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(BytesIO(payload), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise CorruptError(
            f"{path} holds more than tensors and plain values, and is refused as unsafe",
            hint=hint,
        ) from error
    except Exception as error:  # torch raises many kinds on what it did not write
        raise CorruptError(f"{path} is no checkpoint: {error}", hint=hint) from error
    if not isinstance(state, dict):
        raise CorruptError(f"{path} is no checkpoint: it holds no table", hint=hint)
    return state


def _pass_over(damaged: list[Path], step: int) -> None:
    for path in damaged:
        path.unlink()  # else it would count among those that are kept
    if damaged:
        _LOG.warning(
            "%s: the checksum is wrong, the checkpoint is damaged; going on from step %s", _named(damaged), f"{step:,}"
        )


def _named(paths: list[Path]) -> str:
    return " and ".join(map(str, paths))


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"), reverse=True)
