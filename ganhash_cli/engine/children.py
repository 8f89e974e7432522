"""Python processes of our own that may take so much memory and time: what they run may die without harm to us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a Python program that finds the modules that are found here, with pipes for stdin and stdout.

    Raises `OSError` where the system has no room for one.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OPENBLAS_NUM_THREADS": "1",  # each thread that is not used takes address space all the same
        "MALLOC_ARENA_MAX": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libtiff, HDF5 and others write there what they think of a file
        env=environment,
        start_new_session=True,  # Ctrl+C is for its parent
    )


def limit(memory: int, seconds: int | None = None) -> None:
    """Let this process take no more than so many bytes of address space and seconds of a processor, and leave no core.

    Where the system knows no such limits, there are none.
    """
    with suppress(ImportError):
        import resource

        wanted = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
        for kind, amount in wanted.items():
            most = resource.getrlimit(kind)[1]
            if amount is not None:
                with suppress(ValueError, OSError):
                    resource.setrlimit(kind, (amount if most == resource.RLIM_INFINITY else min(amount, most), most))


def ending(code: int) -> str:
    """Name how a process ended.

    >>> ending(-11), ending(1)
    ('SIGSEGV', 'exit 1')
    """
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
