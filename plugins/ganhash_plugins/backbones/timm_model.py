"""timm: any model of timm as a backbone; ImageNet weights come from its cache, from the hub, or from a file."""

import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

_log = logging.getLogger(__name__)
PROBE_SECONDS = 5.0


class TimmModel(nn.Module):
    """A timm model without its classifier.

    `pretrained` asks for timm's ImageNet weights; `weights` names a `.safetensors` file to use instead.
    Raises `OSError` where weights are asked for and cannot be had: random ones never take their place.
    """

    def __init__(self, *, model: str = "resnet50", pretrained: bool = True, weights: str | None = None) -> None:
        super().__init__()
        if not timm.is_model(model.split(".")[0]):
            raise ValueError(f"timm has no model named {model!r}")
        file = _checked(weights) if weights else _pretrained_file(model) if pretrained else None
        overlay = {"file": str(file)} if file else None
        # timm types its models as bare modules, whose attributes mypy takes for tensors.
        body: Any = timm.create_model(model, num_classes=0, pretrained=file is not None, pretrained_cfg_overlay=overlay)
        config: dict[str, Any] = body.pretrained_cfg
        self.body = body
        self.input_size = tuple(config["input_size"])
        self.mean = tuple(config["mean"])
        self.std = tuple(config["std"])
        self.fixed_input_size = bool(config.get("fixed_input_size"))
        # Some models report num_features that differ from what they return (mobilenetv3: 576, returned 1024).
        self.feature_dim = int(getattr(body, "head_hidden_size", None) or body.num_features)

    def forward(self, images: Tensor) -> Tensor:
        """Turn (N, 3, H, W) normalised images into (N, feature_dim) features."""
        features: Tensor = self.body(images)
        return features


def _checked(weights: str) -> Path:
    path = Path(weights)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"weights={weights}: only .safetensors files are read; other formats can run code",
            "write them anew with safetensors.torch.save_file",
        )
    if not path.is_file():
        raise FileNotFoundError(f"weights={weights}: there is no such file", "name one that is there")
    return path


def _pretrained_file(model: str) -> Path:
    """Return timm's weights for `model` from the cache, or from the hub after one short probe."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        raise OSError(f"timm offers no weights for {model}", _ways_out(model))
    repository, filename = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(repository, filename)
    if isinstance(cached, str):
        _log.info("using the ImageNet weights of %s from the cache", config.hf_hub_id)
        return Path(cached)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise OSError(f"the weights of {model} are not in the cache and HF_HUB_OFFLINE is set", _ways_out(model))
    size = _probe(repository, filename)
    if size is None:
        raise OSError(f"the weights of {model} are not in the cache and the hub cannot be reached", _ways_out(model))
    _log.info("fetching the ImageNet weights of %s (%.0f MB) from %s on the hub", model, size / 1e6, repository)
    return Path(hf_hub_download(repository, filename))


def _probe(repository: str, filename: str) -> int | None:
    """Ask the hub once for the size of a file in bytes; None where no answer comes within 5 s."""
    from huggingface_hub import hf_hub_url

    answer: list[int] = []

    def ask() -> None:
        request: Any = urllib.request.Request(hf_hub_url(repository, filename), method="HEAD")  # noqa: S310 (https from the hub's own library)
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:  # noqa: S310 (the same)
                answer.append(int(response.headers.get("X-Linked-Size") or response.headers.get("Content-Length") or 0))
        except (OSError, ValueError):
            return

    # In a thread, because a name look-up knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answer[0] if answer else None


def _ways_out(model: str) -> str:
    return (
        "train it from scratch with -B pretrained=false, name a file with -B weights=FILE.safetensors,"
        f" or take another backbone than {model} (efficientnet_lite0 brings its weights)"
    )
