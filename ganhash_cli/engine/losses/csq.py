"""Central similarity: every class has a hash centre, far from the others, and its images are drawn to it bit by bit."""

from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.relaxation import relaxed
from ganhash_cli.engine.losses.targets import target_bits


def csq(
    logits: Tensor, labels: Tensor, *, quantisation: float = 1e-4, bernoulli: bool = False, smoothing: float = 0.0
) -> Tensor:
    """Return the cross-entropy of every bit to the image's hash centre, and how far codes are from being binary.

    `logits` are (N, bits), `labels` (N, classes) booleans. Central similarity (Yuan et al. 2020, eq. 5) plus
    `quantisation` times the mean of log cosh(|v| - 1) (eq. 6). `smoothing` e moves every target bit y to
    (1 - e) y + e / 2 (Szegedy et al. 2016, arXiv:1512.00567). `bernoulli` draws the centres even where a Hadamard
    matrix has room.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing={smoothing:g} is not a share from 0 to 1")
    target = target_bits(labels, logits.shape[1], bernoulli=bernoulli).to(logits) * (1 - smoothing) + smoothing / 2
    far = relaxed(logits).abs() - 1
    return functional.binary_cross_entropy_with_logits(logits, target) + quantisation * far.cosh().log().mean()
