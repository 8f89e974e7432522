"""Iterative quantisation: features → a linear hash, without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.seeds import derive

ROUNDS = 50  # the rotation has settled by then (Gong et al. 2013, section 3.2)


def fit(features: NDArray[np.float32], bits: int, seed: int) -> NDArray[np.float32]:
    """Return (bits, D) weights; the signs of `weights @ (x - mean)` are the code of a row x of (N, D) features.

    Iterative quantisation (Gong et al. 2013, eq. 2-4): with V the centred features on their `bits` first principal
    components, B = sign(V R) and the rotation R that brings V R nearest to B are found in turn.

    Raises `ValueError` where `bits` exceeds the rank that N images and D features can have, min(N - 1, D).
    """
    count, dimensions = features.shape
    if bits > min(count - 1, dimensions):
        raise ValueError(f"{count} images with {dimensions} features have no {bits} principal components")
    centred = (features - features.mean(0)).astype(np.float64)
    components = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :bits]
    projected = centred @ components
    return (components @ rotation(projected, seed)).T.astype(np.float32)


def rotation(projected: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the (bits, bits) rotation after which the signs of (N, bits) projections lose least."""
    bits = projected.shape[1]
    found = np.linalg.qr(np.random.default_rng(derive(seed, "itq")).normal(size=(bits, bits)))[0]
    for _ in range(ROUNDS):
        signs = np.where(projected @ found >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(signs.T @ projected)
        found = (left @ right).T
    return found
