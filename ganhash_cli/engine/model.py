"""The hashing network: a backbone and a hash head; the only place where features become logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganhash_cli.engine import backbones
from ganhash_cli.engine.rows import Images

# Logits start with this standard deviation: at 1 the relaxed codes crowd around 0 and triplets learn slowly.
INITIAL_SCALE = 2.0


class HashNet(nn.Module):
    """A backbone, then a linear layer and a batch norm that keeps the bits balanced.

    Takes (N, 3, S, S) images in [0, 255] and gives (N, bits) logits. With `mirrored`, once it is trained, it sees each
    image and its mirror image and takes the mean of their features, so that both have the same code.
    """

    def __init__(self, backbone: nn.Module, bits: int, *, mirrored: bool = False) -> None:
        super().__init__()
        rules = backbones.contract(backbone)
        self.mirrored = mirrored
        self.backbone = backbone
        self.head = nn.Linear(rules.feature_dim, bits, bias=False)
        self.norm = nn.BatchNorm1d(bits)
        nn.init.constant_(self.norm.weight, INITIAL_SCALE)

    def extra_repr(self) -> str:
        """Say of the network what none of its parts does."""
        return f"mirrored={self.mirrored}"

    def forward(self, images: Tensor) -> Tensor:
        """Turn (N, 3, S, S) images in [0, 255] into (N, bits) logits."""
        logits: Tensor = self.norm(self.project(images))
        return logits

    def project(self, images: Tensor) -> Tensor:
        """Turn (N, 3, S, S) images in [0, 255] into (N, bits) projections, of which the norm makes logits."""
        projections: Tensor = self.head(self.features(images))
        return projections

    def features(self, images: Tensor) -> Tensor:
        """Turn (N, 3, S, S) images in [0, 255] into (N, D) features of the backbone."""
        mirrored = self.mirrored and not self.training  # to train, it is shown one or the other
        inputs = torch.cat([images, images.flip(-1)]) if mirrored else images
        features: Tensor = self.backbone(backbones.normalise(inputs, self.backbone))
        return features.reshape(2, -1, features.shape[1]).mean(0) if mirrored else features

    def beside(self, fakes: Tensor, real: Tensor) -> Tensor:
        """Return the (N, bits) logits of fakes with these projections; `real`, (M, bits), are those of the real images.

        They are normalised as the real images are: statistics of their own would hold each bit away from zero.
        Gradients flow through the statistics. With constants in their place fakes would become undecided by shrinking
        all projections, of which the loss on real images knows nothing, and only until the running statistics follow.
        """
        variance, mean = torch.var_mean(real, 0, correction=0)
        return (fakes - mean) * torch.rsqrt(variance + self.norm.eps) * self.norm.weight + self.norm.bias


@contextmanager
def untracked(network: HashNet) -> Iterator[None]:
    """Let fakes pass through the backbone and move no running statistics, which real images are normalised with.

    It takes the fakes' own statistics, as it takes real images' own while it trains: with the running ones it would be
    another network than the one that real images train, the very one that is used in the end, and that one would learn
    to be undecided about everything.
    """
    norms = [module for module in network.backbone.modules() if isinstance(module, _BatchNorm)]
    tracking = [module for module in norms if module.training and module.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def to_tensor(pixels: Images, device: torch.device) -> Tensor:
    """Turn (N, S, S, 3) bytes into an (N, 3, S, S) byte tensor in channels-last layout."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)


def logits_of(network: HashNet, pixels: Images, device: torch.device, batch: int = 64) -> NDArray[np.float32]:
    """Return the (N, bits) logits of (N, S, S, 3) bytes, in evaluation mode and float32."""
    training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [
            network(to_tensor(pixels[start : start + batch], device)).float().cpu().numpy()
            for start in range(0, len(pixels), batch)
        ]
    network.train(training)
    return np.concatenate(parts) if parts else np.empty((0, network.head.out_features), np.float32)
