"""A query's logits against codes: a distance in which each bit counts by how sure the query is of it."""

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, pack

_BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)


def distances(logits: NDArray[np.floating], codes: Codes) -> NDArray[np.float64]:
    """Return the asymmetric distance of one query's logits, (bits,), to each of (N, W) packed codes, (N,).

    The sum of |z| over the bits in which the code differs from the sign of the logit z. With p = sigmoid(z) for the
    chance of a 1, that is how much less likely the code is than the query's own, as a negative logarithm. Equal codes
    have equal distances, to the last bit.

    >>> codes = pack(np.array([[1.0, 1, 1], [-1, 1, 1], [1, 1, -1]]))
    >>> distances(np.array([0.5, 2, 3]), codes).tolist()
    [0.0, 0.5, 3.0]
    """
    own = pack(logits[None])[0]
    weights = np.zeros(8 * len(own))
    weights[: len(logits)] = np.abs(logits)
    by_difference = weights.reshape(-1, 8) @ _BYTES.T  # (W, 256): what each byte of differing bits adds
    total = np.zeros(len(codes))
    for number, (code, added) in enumerate(zip(own, by_difference, strict=True)):
        total += added[codes[:, number] ^ code]
    return total
