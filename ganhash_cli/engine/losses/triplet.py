"""The triplet loss on relaxed codes: a similar image must be nearer than a dissimilar one, by a margin in bits."""

import torch
from torch import Tensor

from ganhash_cli.engine.losses.relaxation import relaxed
from ganhash_cli.engine.losses.targets import similar


def triplet(logits: Tensor, labels: Tensor, *, margin: float | None = None, semi_hard: bool = False) -> Tensor:
    """Average the violated triplets of a batch.

    `logits` are (N, bits), `labels` (N, classes) booleans; images that share a label are similar. `margin` is in
    bits, by default a sixteenth of the code. With d(a, b) = ||v_a - v_b||^2 / 4, which is the Hamming distance for
    saturated codes, every anchor, positive and negative give max(0, margin + d(a, p) - d(a, n)) (Lai et al. 2015,
    eq. 3). The mean is over the triplets above zero, since most soon are zero and a mean over all of them would
    fade (Hermans et al. 2017, "batch all, non-zero"). With `semi_hard` only those count whose negative is farther than
    the positive, but within the margin (Schroff et al. 2015, arXiv:1503.03832); `ValueError` where that is 0.
    """
    codes = relaxed(logits)
    bits = codes.shape[1]
    alike = similar(labels)
    margin = bits / 16 if margin is None else margin
    if semi_hard and not margin:
        raise ValueError("semi_hard takes the negatives within the margin, and a margin of 0 has none")
    length = codes.square().sum(1)
    distance = (length[:, None] + length[None] - 2 * codes @ codes.T) / 4
    positive = alike & ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    violation = torch.relu(margin + distance[:, :, None] - distance[:, None, :])
    counted = positive[:, :, None] & ~alike[:, None, :]
    if semi_hard:
        counted = counted & (violation < margin)
    violation = violation * counted
    active = (violation > 0).sum().clamp(min=1)
    # In units of the code's length, so that the size of the loss does not depend on the number of bits.
    return violation.sum() / active / bits
