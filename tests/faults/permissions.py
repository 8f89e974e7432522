"""Takes from a process of root the right to read and write whatever it likes, so that it meets the bits of a file."""

import ctypes
import os

_CAPSET_VERSION, _DROP_FROM_BOUNDS = 0x20080522, 24  # linux/capability.h, linux/prctl.h
_OVERRIDE, _READ_SEARCH = 1, 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def obey_permissions() -> None:
    """Let the permissions of files hold for this process and those that it starts, whoever runs it."""
    if os.geteuid():
        return
    system = ctypes.CDLL(None, use_errno=True)
    for right in (_OVERRIDE, _READ_SEARCH):
        _require(system.prctl(_DROP_FROM_BOUNDS, right, 0, 0, 0))
    header, kept = (ctypes.c_uint32 * 2)(_CAPSET_VERSION, 0), (ctypes.c_uint32 * 6)()
    _require(system.capget(header, kept))
    for kind in range(3):  # effective, permitted, inheritable
        kept[kind] &= ~(1 << _OVERRIDE | 1 << _READ_SEARCH)
    _require(system.capset(header, kept))


def _require(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "rights cannot be given up")
