"""What comes of a check: passed, failed or skipped, with the reason, alone and in a report."""

from __future__ import annotations

import unittest
from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped"]


class Failed(AssertionError):
    """A plugin does not keep its word; the message says what was found and what was promised."""


class NotApplicable(unittest.SkipTest):
    """A check has nothing to look at; pytest shows it as skipped, since it knows its base class."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check; `reason` is empty where it passed."""

    check: str
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all checks, in their order."""

    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> list[Outcome]:
        """Return the checks the plugin keeps."""
        return self._with("passed")

    @property
    def failed(self) -> list[Outcome]:
        """Return the checks it breaks, each with what was found."""
        return self._with("failed")

    @property
    def skipped(self) -> list[Outcome]:
        """Return the checks that had nothing to look at, each with the reason."""
        return self._with("skipped")

    def __str__(self) -> str:
        return f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"

    def _with(self, status: Status) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == status]


def expect(kept: bool, otherwise: str) -> None:
    """Raise `Failed` with `otherwise` unless a promise is `kept`; unlike `assert` it also works under `-O`."""
    if not kept:
        raise Failed(otherwise)
