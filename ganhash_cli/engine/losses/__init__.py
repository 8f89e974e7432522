"""Losses: pure functions, one a file, chosen by name through the tables here.

A similarity loss takes (N, bits) logits of real images, (N, N) booleans that say which share a label, and a margin.
"""

from collections.abc import Callable

from torch import Tensor

from ganhash_cli.engine.losses import triplet
from ganhash_cli.engine.losses.entropy import ENTROPIES

LOSSES: dict[str, Callable[..., Tensor]] = {"triplet": triplet.triplet}

__all__ = ["ENTROPIES", "LOSSES"]
