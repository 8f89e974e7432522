"""Logits → codes that have a gradient: smooth ones between -1 and 1, or the bits themselves passed straight through."""

import torch
from torch import Tensor


def relaxed(logits: Tensor) -> Tensor:
    """Turn logits z into relaxed codes v = 2 sigmoid(z) - 1 = tanh(z / 2) in (-1, 1)."""
    return torch.tanh(logits / 2)


def signs(logits: Tensor) -> Tensor:
    """Turn logits into bits of -1 and 1, by the sign rule: z >= 0 is 1. They have no gradient."""
    return torch.where(logits.detach() >= 0, 1.0, -1.0).to(logits)


def straight_through(logits: Tensor) -> Tensor:
    """Return the signs of logits, with the gradient of the logits themselves (Bengio et al. 2013, arXiv:1308.3432)."""
    return logits + (signs(logits) - logits).detach()
