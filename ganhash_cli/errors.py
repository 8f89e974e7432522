"""Everything ganhash raises on purpose, with the exit code on the class.

    GanhashError
    ├── UsageError        2   the command cannot mean what it says
    ├── InputError        4   an input is missing, unreadable or empty
    ├── MismatchError     5   a model and codes do not belong together
    ├── CorruptError      6   a file is damaged, or refused as unsafe
    ├── StorageError      7   out of space, out of memory, or an I/O error
    ├── LockedError       8   another process holds the output
    ├── PluginError       9   a plugin could not be loaded
    ├── NothingFound     10   nothing within the distance asked for
    ├── InstallationError 11  a package that ganhash needs is missing, unfit or broken
    └── Interrupted 128+n   stopped by signal n: 129, 130 or 143

Exit code 3 (done, some inputs skipped) is a result, not an error, so it has no class.
"""

import signal


class GanhashError(Exception):
    """An error that is shown as one line: what and where, then a hint what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GanhashError):
    """The command cannot mean what it says."""

    exit_code = 2


class InputError(GanhashError):
    """An input is missing, unreadable or empty."""

    exit_code = 4


class MismatchError(GanhashError):
    """A model and codes do not belong together."""

    exit_code = 5


class CorruptError(GanhashError):
    """A file is damaged, or refused as unsafe."""

    exit_code = 6


class StorageError(GanhashError):
    """Out of space, out of memory, or an I/O error."""

    exit_code = 7


class LockedError(GanhashError):
    """Another process holds the output."""

    exit_code = 8


class PluginError(GanhashError):
    """A plugin could not be loaded."""

    exit_code = 9


class NothingFound(GanhashError):
    """Nothing lies within the distance asked for."""

    exit_code = 10


class InstallationError(GanhashError):
    """A package that ganhash needs is missing, unfit or broken."""

    exit_code = 11


class Interrupted(GanhashError):
    """Stopped by a signal; `saved` says whether the state was, so that the same command goes on from there.

    It is None where that is not known, since the command was stopped at once.
    """

    def __init__(self, signum: int, *, saved: bool | None = True) -> None:
        if saved is None:
            super().__init__(
                "stopped at once", hint="the same command goes on from what was saved before, or begins anew"
            )
        elif saved:
            super().__init__("interrupted, state saved", hint="run the same command again to continue")
        else:
            super().__init__("interrupted, nothing was written", hint="the same command begins anew")
        self.exit_code = 128 + signum
        self.signal = signal.Signals(signum)
