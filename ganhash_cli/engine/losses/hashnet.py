"""HashNet: the likelihood of the pairs, rare ones weighing more, by tanh codes that sharpen as training goes on."""

import torch
from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.targets import similar


def hashnet(logits: Tensor, labels: Tensor, progress: float, *, alpha: float = 0.1, sharpest: float = 10.0) -> Tensor:
    """Return the weighted negative log-likelihood of the pairs of a batch.

    `logits` z are (N, bits), `labels` (N, classes) booleans, `progress` is the share of training that is done. Codes
    are g = tanh(beta z), beta growing from 1 to `sharpest` (Cao et al. 2017, arXiv:1702.00758). With
    Theta = `alpha` g_i . g_j it is the mean of w (log(1 + exp Theta) - s Theta) over all pairs S, where the similar
    ones, S1, weigh c |S| / |S1| and the others, S0, |S| / |S0|; c is the share of the labels of either that both have,
    which is 1 where images have one label each.
    """
    codes = torch.tanh((1 + (sharpest - 1) * progress) * logits)
    theta = alpha * codes @ codes.T
    alike = similar(labels)
    unlikely = functional.binary_cross_entropy_with_logits(theta, alike.to(theta), reduction="none")
    numbers = labels.to(theta)
    both = numbers @ numbers.T
    either = numbers.sum(1)[:, None] + numbers.sum(1)[None] - both
    groups = [(both / either * unlikely)[alike], unlikely[~alike]]
    # The weights make every group count by its mean; a batch may lack dissimilar pairs.
    return torch.stack([group.mean() for group in groups if len(group)]).sum()
