"""Where torch computes, and in which precision: the only place that asks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from ganhash_cli.errors import UsageError

Precision = Literal["auto", "float32", "bfloat16"]


def choose(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes cuda, then mps, then cpu. `UsageError` where it is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in present.items() if there)
    if not present.get(name, False):
        raise UsageError(f"this machine has no {name} device that torch can use", hint="use --device auto")
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context for a forward pass; "auto" is float32, the one precision shown to be safe everywhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
