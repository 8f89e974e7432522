"""Checkpoints of a training run: saved whole, checked by digest, the last two kept."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from ganhash_cli.engine.files import atomic_write
from ganhash_cli.errors import CorruptError

KEPT = 2
_DIGEST_BYTES = 32


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values only, as the checkpoint of `step`; keep the last two."""
    payload = BytesIO()
    torch.save(state, payload)
    with atomic_write(folder / f"step-{step:08}.ckpt") as stream:
        stream.write(hashlib.sha256(payload.getbuffer()).digest())
        stream.write(payload.getbuffer())
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def load_latest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Return step and state of the newest whole checkpoint, None where there is none.

    A damaged one is passed over for the one before it; `CorruptError` where all are damaged.
    """
    found = _newest_first(folder)
    for path in found:
        content = path.read_bytes()
        payload = content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() == content[:_DIGEST_BYTES]:
            state: dict[str, Any] = torch.load(BytesIO(payload), map_location="cpu", weights_only=True)
            return int(path.stem.removeprefix("step-")), state
    if found:
        raise CorruptError(f"every checkpoint in {folder} is damaged", hint="start again with --overwrite")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.ckpt"), reverse=True)
