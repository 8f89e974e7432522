"""A three-layer backbone for ganhash; it imports nothing from ganhash."""

from itertools import pairwise

from torch import Tensor, nn


class TinyConv(nn.Module):
    """Three convolutions from scratch, for small images.

    `width` is the number of channels of the first, doubled in each that follows.
    """

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.input_size = (3, 32, 32)
        self.feature_dim = 4 * width
        channels = (3, width, 2 * width, 4 * width)
        blocks = [self._block(*pair) for pair in pairwise(channels)]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """Turn (N, 3, H, W) normalised images into (N, feature_dim) features."""
        features: Tensor = self.body(images)
        return features

    @staticmethod
    def _block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU())
