"""What this machine has: processor, memory, room on the disk; without torch, and without a name of anybody's."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganhash_cli.engine import parallel

# What speeds up the arithmetic of torch and ONNX Runtime, by the flags of /proc/cpuinfo, x86's and ARM's.
FEATURES = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni", "asimddp"},
    "BF16": {"avx512_bf16", "amx_bf16", "bf16"},
}


@dataclass(frozen=True)
class Machine:
    """System and processor; `memory` and `available` are bytes, None where the system does not say."""

    system: str
    release: str
    architecture: str
    features: dict[str, bool] | None
    cores: int
    memory: int | None
    available: int | None


@dataclass(frozen=True)
class Place:
    """A folder to write to: `free` bytes, and what the system says where nothing can be written."""

    free: int | None
    fault: str = ""


def machine(root: Path = Path("/")) -> Machine:
    """Describe this machine; what Linux tells of it lies below `root`."""
    memory, available = _memory(root)
    info = _read(root / "proc/cpuinfo")
    return Machine(
        system=platform.system(),
        release=platform.release(),
        architecture=platform.machine(),
        features=_features(info) if info else None,
        cores=parallel.threads(root),
        memory=memory,
        available=available,
    )


def working_folder() -> Place:
    """Try the current folder."""
    return _place(os.getcwd)


def temporary_folder() -> Place:
    """Try the folder for temporary files."""
    return _place(tempfile.gettempdir)


def _place(where: Callable[[], str]) -> Place:
    """Write one byte to a nameless file there; a folder that only looks writable is found out."""
    free = None
    try:
        folder = where()
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"\0")
            stream.flush()
    except OSError as error:
        return Place(free, (error.errno and os.strerror(error.errno)) or "it cannot be used")
    return Place(free)


def _features(info: str) -> dict[str, bool]:
    lines = (line.partition(":") for line in info.splitlines())
    flags: set[str] = next(
        (set(value.split()) for name, _, value in lines if name.strip() in ("flags", "Features")), set()
    )
    return {name: bool(any_of & flags) for name, any_of in FEATURES.items()}


def _memory(root: Path) -> tuple[int | None, int | None]:
    """Return how many bytes of memory there are and how many are free, within what the container grants."""
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    known = {words[0]: int(words[1]) << 10 for words in lines if len(words) == 3}
    memory, available = known.get("MemTotal:"), known.get("MemAvailable:")
    if memory is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read(root / "sys/fs/cgroup/memory.max").strip()
    if limit.isdigit() and memory and int(limit) < memory:
        used = _read(root / "sys/fs/cgroup/memory.current").strip()
        free = int(limit) - int(used) if used.isdigit() else int(limit)
        memory, available = int(limit), max(0, min(available or free, free))
    return memory, available


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
