"""How a training image is varied: a random crop, scaled back, and a flip, each image on its own."""

import torch
from torch import Tensor
from torchvision.transforms import v2

SCALE = (0.6, 1.0)  # share of the area a crop keeps
RATIO = (0.8, 1.25)


def augment(images: Tensor) -> Tensor:
    """Vary (N, 3, S, S) byte images; the choices come from torch's global generator."""
    side = images.shape[-1]
    vary = v2.Compose([v2.RandomResizedCrop(side, SCALE, RATIO, antialias=True), v2.RandomHorizontalFlip()])
    return torch.stack([vary(image) for image in images]).contiguous(memory_format=torch.channels_last)
