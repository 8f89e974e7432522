"""Losses: pure functions, one a file, chosen by name through the tables here.

What a loss takes by position tells what it asks for: `logits`, (N, bits), of real images; their `labels`, (N, classes)
booleans; `second`, the logits of other views of them; `seen`, the logits and labels of the images that were seen last,
these among them; the `progress` of training, a share; a `classifier`, a linear layer that learns beside the network.
Its keyword-only arguments are its options, plain types with defaults, as a plugin's are.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganhash_cli.engine.losses.contrastive import contrastive
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
    "contrastive": contrastive,
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

OF_TRIPLETS = ("dtsh", "triplet")
"""Those to which a batch says nothing where no image has both a similar and a dissimilar one in it."""

SCALES = {"dpsh": 0.25, "hashnet": 0.25}
"""The standard deviation that logits start with where it is not `model.INITIAL_SCALE`.

dpsh takes inner products of the logits as they are: at 2 a pair of 48 bits starts with a Theta of 14, for or against,
so that the loss teaches little but to shrink. hashnet sharpens its codes as it goes on, and must not start with sharp
ones.
"""

__all__ = ["ENTROPIES", "LOSSES", "OF_TRIPLETS", "SCALES", "asks", "call", "parse", "require_usable"]


def parse(name: str, given: Mapping[str, str]) -> dict[str, Value]:
    """Check `given` option texts against the options of the loss called `name`, and fill in the defaults."""
    loss = LOSSES.get(name, lambda: None)  # what stands in the place of a loss, as itq does, has no options
    return parse_options(loss, given, owner=f"loss {name!r}")


def asks(name: str) -> tuple[str, ...]:
    """Return what the loss called `name` takes by position.

    >>> asks("triplet"), asks("contrastive")
    (('logits', 'labels'), ('logits', 'second'))
    """
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    return tuple(each.name for each in parameters if each.kind is not each.KEYWORD_ONLY)


def call(name: str, known: Mapping[str, Any], options: Mapping[str, Value]) -> Tensor:
    """Return the loss called `name` of what it asks for among what is `known`."""
    return LOSSES[name](*(known[each] for each in asks(name)), **options)


def require_usable(name: str, options: Mapping[str, Value], classes: int, bits: int) -> None:
    """Try a loss on four images; `UsageError` where it cannot take so many classes or bits, or an option's value.

    Every number that a loss takes is a size, a weight or a distance: below 0 it would reverse the loss. Some leave
    nothing of it at 0.
    """
    for option, value in options.items():
        if isinstance(value, float | int) and not 0 <= value < math.inf:
            raise UsageError(
                f"--loss {name}: {option}={value:g} must be a number from 0", hint="docs/losses.md says what it takes"
            )
    views = torch.linspace(-1, 1, 8 * bits).sin().reshape(2, bits, 4).mT.contiguous().requires_grad_()
    logits, second = views
    labels = torch.eye(max(1, classes), dtype=torch.bool)[torch.tensor([0, 0, 1, 1]).clamp(max=max(0, classes - 1))]
    known = {"logits": logits, "labels": labels, "second": second, "seen": (logits, labels), "progress": 1.0}
    try:
        loss = call(name, {**known, "classifier": torch.nn.Linear(bits, labels.shape[1])}, options)
        (slope,) = torch.autograd.grad(loss, views)
    except ValueError as error:
        raise UsageError(f"--loss {name}: {error}", hint="docs/losses.md says what it takes") from error
    given = ", ".join(f"{option}={value}" for option, value in options.items())
    if not torch.isfinite(loss) or not torch.isfinite(slope).all():
        raise UsageError(
            f"--loss {name} with {given} gives {float(loss.detach())} for ordinary images",
            hint="docs/losses.md says what it takes",
        )
    if classes > 1 and not slope.any():
        raise UsageError(
            f"--loss {name} with {given} teaches nothing: its gradient is 0", hint="docs/losses.md says what it takes"
        )
