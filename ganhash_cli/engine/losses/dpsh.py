"""DPSH: the likelihood of which pairs are similar, by the inner products of their codes."""

from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.relaxation import signs
from ganhash_cli.engine.losses.targets import similar


def dpsh(logits: Tensor, labels: Tensor, seen: tuple[Tensor, Tensor], *, quantisation: float = 0.1) -> Tensor:
    """Return the negative log-likelihood of the pairs, and how far logits are from -1 and 1.

    `logits` u are (N, bits), `labels` (N, classes) booleans; `seen` are the logits of M images, these or
    more, through which no gradient shall flow, and their labels. Images that share a label are similar, s = 1. With
    Theta = u_i . u_j / 2 it is the mean of log(1 + exp Theta) - s Theta over the N x M pairs plus `quantisation` times
    the mean of (u - sign u)^2 (Li et al. 2016, arXiv:1511.03855).
    """
    others, theirs = seen
    theta = logits @ others.T / 2
    unlikely = functional.binary_cross_entropy_with_logits(theta, similar(labels, theirs).to(theta))
    return unlikely + quantisation * (logits - signs(logits)).square().mean()
