"""Which GPUs torch can use, asked in a process of its own, and only where its build leaves the question open.

Importing torch takes seconds, and a broken driver may keep it for ever.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganhash_cli.plugin import source

SECONDS = 30.0
# Each of them computes, since a device that is there may still not work.
_ASK = """
import json, torch
there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
for device in there:
    try:
        there[device] = there[device] and float(torch.ones(1, device=device) + 1) == 2
    except Exception:
        there[device] = False
print("\\n" + json.dumps(there))
"""
_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA, Windows below Linux, AMD

How = Literal["build", "driver", "torch", "no torch", "failed", "no answer"]


@dataclass(frozen=True)
class Accelerators:
    """Whether CUDA and MPS work, None where it is not known, and how that is known.

    "build": torch is built without them; "driver": no driver is there; "torch": it was asked; "failed" and "no
    answer": it was asked, and could not be imported or did not end within `SECONDS`.
    """

    cuda: bool | None
    mps: bool | None
    how: How


def accelerators(
    tell: Callable[[], None], drivers: tuple[str, ...] = _DRIVERS, seconds: float = SECONDS
) -> Accelerators:
    """Find out which devices torch can use; `tell` is called before torch is asked, which takes seconds."""
    spec = source.module_spec("torch")
    if spec is None or not spec.origin:
        return Accelerators(None, None, "no torch")
    if sys.platform == "linux" and not _built_for_gpus(Path(spec.origin).with_name("version.py")):
        return Accelerators(False, False, "build")
    if sys.platform == "linux" and not any(map(os.path.exists, drivers)):
        return Accelerators(False, False, "driver")
    tell()
    return _ask(seconds)


def _ask(seconds: float) -> Accelerators:
    path = os.pathsep.join(sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _ASK],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        return Accelerators(found["cuda"], found["mps"], "torch")
    except subprocess.TimeoutExpired:
        return Accelerators(None, None, "no answer")
    except (OSError, ValueError, LookupError, TypeError):
        return Accelerators(None, None, "failed")


def _built_for_gpus(version: Path) -> bool:
    """Read from torch's own file whether it was built with CUDA or ROCm; yes where that cannot be told."""
    try:
        body = ast.parse(version.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return True
    values = {
        target.id: node.value.value
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    return "cuda" not in values or any(values.get(name) for name in ("cuda", "hip"))
