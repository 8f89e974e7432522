"""Contrastive hashing, without labels: two views of one image have one code, other images have others."""

import torch
from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.relaxation import straight_through


def contrastive(logits: Tensor, second: Tensor, *, temperature: float = 0.3, bottleneck: float = 0.001) -> Tensor:
    """Return the contrastive loss of two views of the same images, and how far their bits are from agreeing.

    `logits` and `second` are (N, bits), row by row of the same images. With cosines of the bits, passed straight
    through, over `temperature`, each view is told from the 2 N - 2 views of other images by softmax cross-entropy
    (NT-Xent, Chen et al. 2020, arXiv:2002.05709); to it comes `bottleneck` times the mean, over images, of the
    divergence of the bits' probabilities, symmetric and summed over bits (CIBHash, Qiu et al. 2021, arXiv:2105.06138).
    """
    count = len(logits)
    codes = functional.normalize(straight_through(torch.cat([logits, second])))
    scores = codes @ codes.T / temperature
    scores = scores.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=scores.device), -torch.inf)
    partner = torch.arange(2 * count, device=scores.device).roll(count)
    return functional.cross_entropy(scores, partner) + bottleneck * _divergence(logits, second)


def _divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return half of KL(p, q) + KL(q, p), summed over bits; it equals (p - q) (logit p - logit q) / 2."""
    apart = torch.sigmoid(first) - torch.sigmoid(second)
    return (apart * (first - second)).sum(1).mean() / 2
