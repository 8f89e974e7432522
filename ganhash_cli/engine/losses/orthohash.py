"""OrthoHash: one loss, the cosine of logits to their class's orthogonal target, larger than to others by a margin."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.targets import centres, class_shares


def orthohash(logits: Tensor, labels: Tensor, *, margin: float = 0.2, scale: float = 8.0) -> Tensor:
    """Return the softmax cross-entropy of cosines to the targets of all classes, with a margin.

    `logits` are (N, bits), `labels` (N, classes) booleans; the targets are the classes' hash centres. With c the
    cosines and y the labels it is the cross-entropy of `scale` (c - `margin` y) (Hoe et al. 2021, arXiv:2109.14449).
    An image of several classes belongs to each in equal shares.
    """
    rows = torch.from_numpy(2 * centres(labels.shape[1], logits.shape[1]).astype(np.float32) - 1).to(logits)
    cosines = functional.normalize(logits) @ functional.normalize(rows).T
    scores = scale * (cosines - margin * labels)
    return functional.cross_entropy(scores, class_shares(labels).to(scores))
