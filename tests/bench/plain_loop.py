"""What a user would write instead of `ganhash encode`: Pillow, torchvision transforms, a DataLoader, torch."""

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2


class Folder(Dataset[Tensor]):
    """The images of a folder as normalised squares."""

    def __init__(self, folder: Path, side: int) -> None:
        self.files = sorted(folder.iterdir())
        self.prepare = v2.Compose(
            [
                v2.Resize(side, v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(side),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        image: Tensor = self.prepare(Image.open(self.files[index]).convert("RGB"))
        return image


def network(name: str) -> nn.Module:
    """Build the network: 64 logits an image."""
    if name == "smallconv":
        from ganhash_plugins.backbones.smallconv import SmallConv

        backbone = SmallConv()
        return nn.Sequential(backbone, nn.Linear(backbone.feature_dim, 64))
    import timm

    built: nn.Module = timm.create_model(f"tf_{name}", pretrained=False, num_classes=64)
    return built


def encode(folder: Path, out: Path, name: str, side: int) -> None:
    """Write the packed 64-bit codes of the images in a folder as a numpy file."""
    import numpy as np

    model = network(name).eval()
    codes = []
    with torch.no_grad():
        for batch in DataLoader(Folder(folder, side), batch_size=64, num_workers=2):
            codes.append(np.packbits(model(batch).numpy() >= 0, axis=1))
    np.save(out, np.concatenate(codes))


if __name__ == "__main__":
    encode(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
