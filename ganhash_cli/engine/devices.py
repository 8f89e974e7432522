"""Where torch computes, and in which precision: the only place that asks."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Literal

import torch

from ganhash_cli.engine import depthwise
from ganhash_cli.errors import UsageError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

_BFLOAT16 = ("avx512_bf16", "amx_bf16")  # of `torch.cpu.get_capabilities`, which torch 2.10 may not have

Precision = Literal["auto", "float32", "bfloat16"]


def choose(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes cuda, then mps, then cpu. `UsageError` where it is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in present.items() if there)
    if not present.get(name, False):
        raise UsageError(f"this machine has no {name} device that torch can use", hint="use --device auto")
    return torch.device(name)


def keep_freed_memory() -> None:
    """Let the C library keep what one step frees for the next, where it is glibc.

    By default it gives large blocks back to the system, which fills them with zeros when the next step asks again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that glibc takes


def settle(precision: Precision, device: torch.device) -> Precision:
    """Return what "auto" means for a hashing network: bfloat16 on a processor that computes in it, else float32."""
    if precision != "auto":
        return precision
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    able = device.type == "cpu" and any(known.get(name) for name in _BFLOAT16)
    return "bfloat16" if able else "float32"


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Run a forward pass in a precision; "auto" that nobody settled is float32."""
    low = precision == "bfloat16"
    quick = depthwise.Quick() if low and device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=low), quick:
        yield
