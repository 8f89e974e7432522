"""What belongs to the whole process and no plugin may change: torch's settings, random states, stdout."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch

_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
}


def settings() -> dict[str, Any]:
    """Return torch's settings of this process by what they are called."""
    return {name: read() for name, (read, _) in _SETTINGS.items()}


def draws() -> dict[str, float]:
    """Return the next random number of Python and of numpy, whose states belong to the whole process."""
    return {"random": random.random(), "numpy": float(np.random.rand())}


def seed_everything(seed: int) -> None:
    """Set the random states of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def kept() -> Iterator[None]:
    """Put everything back at the end, and send to stderr meanwhile what a plugin prints."""
    before, of_python, of_numpy = settings(), random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        for name, (_, write) in _SETTINGS.items():
            write(before[name])
