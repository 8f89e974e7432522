"""The maximum-entropy loss on fakes: the network shall not be sure about what it has never seen.

All three forms average over images and bits; z are logits, p = sigmoid(z).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def uniform(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy to p = 1/2, -1/2 log p - 1/2 log(1 - p) (LSRO, Zheng et al. 2017, eq. 6).

    Its gradient in z is p - 1/2. Averaged over all codings of the fakes, the binary cross-entropy to a coding
    equals it: the abstract's "model ensemble" (arXiv:1803.09466).
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.5))


def shannon(logits: Tensor) -> Tensor:
    """Return the negative mean entropy of the bits, -H(p) in nats; it fades for confident fakes."""
    p = torch.sigmoid(logits)
    return (p * functional.logsigmoid(logits) + (1 - p) * functional.logsigmoid(-logits)).mean()


def random(logits: Tensor) -> Tensor:
    """Return the cross-entropy to fresh random bits, whose mean over all bits is `uniform`."""
    return functional.binary_cross_entropy_with_logits(logits, torch.randint_like(logits, 2))


ENTROPIES: dict[str, Callable[[Tensor], Tensor]] = {"uniform": uniform, "shannon": shannon, "random": random}


def share_at(step: int, steps: int, warm_up: float, anneal: float) -> float:
    """Return the share of a weight at a step: a rise over the first share `warm_up`, a fall over the last `anneal`.

    >>> [share_at(step, 10, 0.2, 0.2) for step in (0, 1, 5, 9)]
    [0.5, 1.0, 1.0, 0.5]
    """
    done = step + 1
    rise = done / (warm_up * steps) if warm_up else 1.0
    fall = (steps - step) / (anneal * steps) if anneal else 1.0
    return min(1.0, rise, fall)
