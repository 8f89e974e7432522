"""Within what limits numbers lie that an option sets, for the command line and for settings made by a program."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ganhash_cli.errors import UsageError


class Within(NamedTuple):
    """From `min` to `max`, both included."""

    min: float
    max: float

    def __str__(self) -> str:
        return f"{self.min:,} to {self.max:,}"


MAX_BITS = 1024  # of a code
GENERATE = {
    "count": Within(1, 10_000_000),
    "steps": Within(1, 100_000_000),
    "minutes": Within(0.001, 1_000_000),
    "size": Within(28, 128),  # pixels
    "batch": Within(2, 65_536),
    "learning_rate": Within(1e-9, 1),
    "consistency": Within(0, 1000),
}
TRAIN = {
    "bits": Within(1, MAX_BITS),
    "epochs": Within(1, 100_000),
    "batch": Within(4, 65_536),
    "size": Within(16, 1024),  # pixels
    "entropy_weight": Within(0, 1000),
    "fakes_per_real": Within(0.01, 100),
    "fake_filter": Within(0, 1),
    "label_weight": Within(0, 1000),
    "learning_rate": Within(1e-9, 10),
    "weight_decay": Within(0, 1000),
    "validation": Within(0, 0.9),
}


def require_within(settings: Mapping[str, Any], limits: dict[str, Within]) -> None:
    """Raise `UsageError` where one of the settings lies outside its limits; None is left for others to decide.

    >>> require_within({"bits": 48}, {"bits": Within(1, 1024)})
    """
    for name, (low, high) in limits.items():
        value = settings[name]
        if value is not None and not low <= value <= high:
            raise UsageError(
                f"--{name.replace('_', '-')} {value}: must be from {Within(low, high)}",
                hint="`ganhash COMMAND --help` tells what it is for",
            )
