"""Losses: pure functions, one a file, chosen by name through the tables here.

A similarity loss takes (N, bits) logits of real images and their (N, classes) labels, booleans; those that ask for it
also the `progress` of training, a share, or a `classifier`, a linear layer that learns beside the network. Its
keyword-only arguments are its options, plain types with defaults, as a plugin's are.
"""

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ganhash_cli.engine.losses.csq import csq
from ganhash_cli.engine.losses.dpn import dpn
from ganhash_cli.engine.losses.dpsh import dpsh
from ganhash_cli.engine.losses.dsh import dsh
from ganhash_cli.engine.losses.dtsh import dtsh
from ganhash_cli.engine.losses.entropy import ENTROPIES
from ganhash_cli.engine.losses.greedyhash import greedyhash
from ganhash_cli.engine.losses.hashnet import hashnet
from ganhash_cli.engine.losses.orthohash import orthohash
from ganhash_cli.engine.losses.triplet import triplet
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin.options import Value, parse_options

LOSSES: dict[str, Callable[..., Tensor]] = {
    "csq": csq,
    "dpn": dpn,
    "dpsh": dpsh,
    "dsh": dsh,
    "dtsh": dtsh,
    "greedyhash": greedyhash,
    "hashnet": hashnet,
    "orthohash": orthohash,
    "triplet": triplet,
}

__all__ = ["ENTROPIES", "LOSSES", "asks", "parse", "require_usable"]


def parse(name: str, given: Mapping[str, str]) -> dict[str, Value]:
    """Check `given` option texts against the options of the loss called `name`, and fill in the defaults."""
    loss = LOSSES.get(name, lambda: None)  # what stands in the place of a loss, as itq does, has no options
    return parse_options(loss, given, owner=f"loss {name!r}")


def require_usable(name: str, options: Mapping[str, Value], classes: int, bits: int) -> None:
    """Try a loss on four images; `UsageError` where it cannot take so many classes or bits, or an option's value."""
    known = {"progress": 0.0, "classifier": torch.nn.Linear(bits, classes)}
    labels = torch.eye(classes, dtype=torch.bool)[torch.arange(4) % classes]
    try:
        LOSSES[name](torch.ones(4, bits), labels, *(known[fact] for fact in asks(name)), **options)
    except ValueError as error:
        raise UsageError(f"--loss {name}: {error}", hint="docs/losses.md says what it takes") from error


def asks(name: str) -> tuple[str, ...]:
    """Return what the loss called `name` takes by position besides logits and labels.

    >>> asks("triplet"), asks("hashnet"), asks("greedyhash")
    ((), ('progress',), ('classifier',))
    """
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    return tuple(each.name for each in parameters if each.kind is not each.KEYWORD_ONLY)[2:]
