"""A bundle's weights → its network in torch, where there is a GPU or no other runtime will do."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load

from ganhash_cli.engine import backbones, devices
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.devices import Precision
from ganhash_cli.engine.model import HashNet, logits_of
from ganhash_cli.errors import CorruptError
from ganhash_cli.plugin.registry import Identity


def open_network(bundle: Bundle, precision: Precision) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what turns (N, side, side, 3) bytes into (N, bits) logits by torch, on a GPU if there is one.

    Raises `PluginError` where the backbone is not installed, `CorruptError` where the weights do not fit it.
    """
    device = devices.choose("auto")
    identity = Identity(**bundle.backbone)
    # Its own weights come from the bundle, so that no others need to be found.
    bare = {name: none for name, none in (("pretrained", False), ("weights", None)) if name in identity.options}
    network = HashNet(backbones.build(identity, **bare), bundle.bits, mirrored=bundle.mirrored)
    try:
        network.load_state_dict(load(bundle.verified(bundle.weights)))
    except (RuntimeError, SafetensorError) as error:
        raise CorruptError(f"{bundle.weights} does not fit the backbone {identity.name}: {error}") from error
    network.to(device).to(memory_format=torch.channels_last).eval()
    one_at_a_time = Lock()  # it takes all processors, or the GPU, by itself

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with one_at_a_time, devices.autocast(device, precision):
            return logits_of(network, images, device)

    return compute
