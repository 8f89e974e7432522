"""The one check that a number lies within its limits, for settings that an option of the same name sets."""

from ganhash_cli.errors import UsageError


def require_within(option: str, value: float | None, low: float, high: float) -> None:
    """Raise `UsageError` where `value` lies outside `low` to `high`; None is left for others to decide.

    >>> require_within("bits", 48, 1, 1024)
    """
    if value is not None and not low <= value <= high:
        raise UsageError(
            f"--{option} {value}: must be from {low:,} to {high:,}",
            hint="`ganhash COMMAND --help` tells what it is for",
        )
