"""DTSH: the likelihood that a similar image has the larger inner product than a dissimilar one."""

import torch
from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.relaxation import signs
from ganhash_cli.engine.losses.targets import similar


def dtsh(logits: Tensor, labels: Tensor, *, margin: float | None = None, quantisation: float = 1.0) -> Tensor:
    """Return the negative log-likelihood of the triplets of a batch, and how far logits are from -1 and 1.

    `logits` u are (N, bits), `labels` (N, classes) booleans. With Theta = u_i . u_j / 2 it is the mean of
    log(1 + exp(Theta_an - Theta_ap + margin)) over anchors a, positives p and negatives n, `margin` being half the
    bits by default, plus `quantisation` times the mean of (u - sign u)^2 (Wang et al. 2016,
    arXiv:1612.03900). A batch without triplets has only the second part.
    """
    alike = similar(labels)
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    theta = logits @ logits.T / 2
    wide = logits.shape[1] / 2 if margin is None else margin
    anchor, positive, negative = ((alike & others)[:, :, None] & ~alike[:, None, :]).nonzero(as_tuple=True)
    unlikely = functional.softplus(theta[anchor, negative] - theta[anchor, positive] + wide)
    return unlikely.sum() / max(1, len(anchor)) + quantisation * (logits - signs(logits)).square().mean()
