"""Losses: pure functions, one a file, chosen by name through the tables here.

A similarity loss takes (N, bits) logits of real images and their (N, classes) labels, booleans; its keyword-only
arguments are its options, plain types with defaults, as a plugin's are.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from ganhash_cli.engine.losses.csq import csq
from ganhash_cli.engine.losses.entropy import ENTROPIES
from ganhash_cli.engine.losses.triplet import triplet
from ganhash_cli.plugin.options import Value, parse_options

LOSSES: dict[str, Callable[..., Tensor]] = {"csq": csq, "triplet": triplet}

__all__ = ["ENTROPIES", "LOSSES", "parse"]


def parse(name: str, given: Mapping[str, str]) -> dict[str, Value]:
    """Check `given` option texts against the options of the loss called `name`, and fill in the defaults."""
    loss = LOSSES.get(name, lambda: None)  # what stands in the place of a loss, as itq does, has no options
    return parse_options(loss, given, owner=f"loss {name!r}")
