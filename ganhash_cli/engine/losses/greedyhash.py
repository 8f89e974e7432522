"""GreedyHash: classifies by the bits themselves; their gradient is passed straight through to the logits."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from ganhash_cli.engine.losses.relaxation import signs, straight_through
from ganhash_cli.engine.losses.targets import class_shares


def greedyhash(
    logits: Tensor, labels: Tensor, classifier: Callable[[Tensor], Tensor], *, penalty: float = 0.1
) -> Tensor:
    """Return the cross-entropy of a linear classifier of the bits, and how far logits are from them.

    `logits` u are (N, bits), `labels` (N, classes) booleans; `classifier`, learned beside the network, turns (N, bits)
    codes of -1 and 1 into (N, classes) scores. It is softmax cross-entropy plus `penalty` times the mean of
    |u - sign u|^3 (Su et al. 2018, "Greedy hash: towards fast optimization for accurate hash coding in CNN"). An
    image of several classes belongs to each in equal shares.
    """
    scores = classifier(straight_through(logits))
    far = (logits - signs(logits)).abs()
    return functional.cross_entropy(scores, class_shares(labels).to(scores)) + penalty * far.pow(3).mean()
