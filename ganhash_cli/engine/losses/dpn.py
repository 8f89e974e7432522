"""DPN: polarisation, which pushes every logit beyond a margin on the side of its hash centre, and no farther."""

import torch
from torch import Tensor

from ganhash_cli.engine.losses.targets import target_bits


def dpn(logits: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
    """Return the mean of max(0, `margin` - u t) over images and bits.

    `logits` u are (N, bits), `labels` (N, classes) booleans; t, of -1 and 1, is the image's hash centre (Fan et al.
    2020, "Deep polarized network for supervised learning of accurate binary hashing codes"). An image of
    several classes has the majority of their centres' bits.
    """
    target = 2 * target_bits(labels, logits.shape[1]).to(logits) - 1
    return torch.relu(margin - logits * target).mean()
