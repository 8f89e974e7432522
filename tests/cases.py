"""Cases of one test of which `make test` runs a few, since the others take as long and differ little."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly_slow(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Mark all values but some as slow."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
