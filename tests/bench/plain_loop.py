"""What a user would write instead of `ganhash encode`: Pillow, torchvision transforms, torch, batches of 64."""

import sys
from pathlib import Path


def encode(folder: Path, out: Path, side: int) -> None:
    """Write the packed 64-bit codes of the images in a folder as a numpy file."""
    import numpy as np
    import timm
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=64).eval()
    prepare = v2.Compose(
        [
            v2.Resize(side, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(side),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    files = sorted(folder.iterdir())
    codes = []
    with torch.no_grad():
        for start in range(0, len(files), 64):
            batch = torch.stack([prepare(Image.open(file).convert("RGB")) for file in files[start : start + 64]])
            codes.append(np.packbits(network(batch).numpy() >= 0, axis=1))
    np.save(out, np.concatenate(codes))


if __name__ == "__main__":
    encode(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
