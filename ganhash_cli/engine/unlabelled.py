"""Images without labels → a hashing network: its backbone as it is, its head by iterative quantisation."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganhash_cli.engine import itq, wording
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.model import INITIAL_SCALE, HashNet, to_tensor
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.rows import Images
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import InputError

MOST = 10_000  # images: more move the principal components of 1,280 features no further
BATCH = 64


def choose(collection: Collection, seed: int) -> Collection:
    """Return the images to fit on: all, or 10,000 of them at random by the seed."""
    count = len(collection.entries)
    if count <= MOST:
        return collection
    rows = np.random.default_rng(derive(seed, "unlabelled")).choice(count, MOST, replace=False)
    return replace(collection, entries=tuple(collection.entries[row] for row in sorted(rows)))


def fit(network: HashNet, pixels: Images, seed: int, device: torch.device) -> Work[float | None]:
    """Set the head of `network` from (N, S, S, 3) images; `InputError` where they are too few for its bits."""
    features = yield from _features(network.eval().to(device), pixels, device)
    bits = network.head.out_features
    try:
        weights = itq.fit(features, bits, seed)
    except ValueError as error:
        most = min(len(pixels) - 1, features.shape[1])
        raise InputError(
            f"too few images for {wording.counted(bits, 'bit')} without labels: {len(pixels):,}",
            hint="add images" + (f", or ask for fewer bits: --bits {most}" if most else ""),
        ) from error
    projected = torch.from_numpy(features @ weights.T)
    norm = network.norm
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights))
        # Batch norm subtracts the mean, which puts zero where iterative quantisation has it.
        for tensor, value in ((norm.running_mean, projected.mean(0)), (norm.running_var, projected.var(0))):
            cast(Tensor, tensor).copy_(value)
        norm.weight.fill_(INITIAL_SCALE)
        norm.bias.zero_()
    return None


def _features(network: HashNet, pixels: Images, device: torch.device) -> Work[NDArray[np.float32]]:
    """Return the (N, D) features of the backbone."""
    parts = []
    for start in range(0, len(pixels), BATCH):
        with torch.inference_mode():
            inputs = to_tensor(pixels[start : start + BATCH], device)
            parts.append(network.features(inputs).float().cpu().numpy())
        yield Progress("computing features", min(start + BATCH, len(pixels)), len(pixels), unit="images")
    return np.concatenate(parts)
