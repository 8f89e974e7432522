"""How a training image is varied, each on its own: a random crop, scaled back, a flip, and more where asked for."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

SCALE = (0.6, 1.0)  # share of the area a crop keeps
RATIO = (0.8, 1.25)

MORE: dict[str, Callable[[], list[torch.nn.Module]]] = {
    "crop": list,
    "trivial": lambda: [v2.TrivialAugmentWide()],
}
"""What comes after crop and flip: nothing, or one random change of colour or geometry of random strength (Müller and
Hutter 2021, arXiv:2103.10158)."""


def augment(images: Tensor, how: str = "crop") -> Tensor:
    """Vary (N, 3, S, S) byte images as `MORE` names it; the choices come from torch's global generator."""
    side = images.shape[-1]
    crop = v2.RandomResizedCrop(side, SCALE, RATIO, antialias=True)
    vary = v2.Compose([crop, v2.RandomHorizontalFlip(), *MORE[how]()])
    return torch.stack([vary(image) for image in images]).contiguous(memory_format=torch.channels_last)
