"""A plugin whose code crashes where it is imported: a line that names it and an exit code, no bare signal."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_FATAL = [getattr(signal, name) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE") if hasattr(signal, name)]
_ACTION_BYTES = 256  # more than a `struct sigaction` has anywhere


@contextmanager
def told(message: str, code: int) -> Iterator[None]:
    """End the process with `message` on stderr and the exit code where a fatal signal would end it unsaid.

    As far as that is possible: nothing that was torn is mended, and where not even this comes to pass, the signal
    does. Python's own handlers are of no use, since they run only once the code that failed has come back.
    """
    if os.name == "nt":
        yield
        return

    def tell(_: int) -> None:
        os.write(2, line)
        os._exit(code)

    line = f"{message}\n".encode(errors="replace")
    system, handler = ctypes.CDLL(None), ctypes.CFUNCTYPE(None, ctypes.c_int)(tell)
    system.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    system.signal.restype = ctypes.c_void_p
    before = {number: ctypes.create_string_buffer(_ACTION_BYTES) for number in _FATAL}
    for number, action in before.items():
        system.sigaction(int(number), None, action)
        system.signal(int(number), ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        for number, action in before.items():
            system.sigaction(int(number), action, None)
