"""DSH: similar images at small Euclidean distance, dissimilar ones beyond a margin, logits near -1 and 1."""

import torch
from torch import Tensor

from ganhash_cli.engine.losses.targets import similar


def dsh(logits: Tensor, labels: Tensor, *, margin: float | None = None, regulariser: float = 0.01) -> Tensor:
    """Return the contrastive loss of the pairs of a batch, and how far logits are from -1 and 1.

    `logits` u are (N, bits), `labels` (N, classes) booleans. With D = ||u_i - u_j||^2 it is the mean over all pairs
    of D / 2 for similar and max(0, `margin` - D) / 2 for dissimilar ones, `margin` being twice the bits by default,
    plus `regulariser` times ||u| - 1| of either image, summed over the bits (Liu et al. 2016, "Deep supervised hashing
    for fast image retrieval", eq. 4).
    """
    alike = similar(labels)
    length = logits.square().sum(1)
    distance = (length[:, None] + length[None] - 2 * logits @ logits.T).clamp(min=0)
    wide = 2.0 * logits.shape[1] if margin is None else margin
    pairs = torch.where(alike, distance, torch.relu(wide - distance)) / 2
    return pairs.mean() + 2 * regulariser * (logits.abs() - 1).abs().sum(1).mean()
