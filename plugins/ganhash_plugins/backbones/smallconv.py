"""smallconv: a small residual network for images of about 32 pixels, trained from scratch."""

from torch import Tensor, nn

from ganhash_plugins.sizes import require_positive


class SmallConv(nn.Module):
    """Three stages of residual 3x3 convolutions, each of twice the width and half the size of the last.

    `width` is the number of channels of the first.
    """

    input_size = (3, 32, 32)
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        require_positive(width=width)
        self.feature_dim = 4 * width
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.stages = nn.Sequential(_Block(width, width), _Block(width, 2 * width), _Block(2 * width, 4 * width))
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        """Turn (N, 3, H, W) normalised images into (N, 4 * width) features."""
        features: Tensor = self.pool(self.stages(self.stem(images))).flatten(1)
        return features


class _Block(nn.Module):
    """Two convolutions beside a shortcut; the first halves the size where the width grows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.body(images) + self.shortcut(images))
        return activated
