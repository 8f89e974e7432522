"""Trained weights → the files of a bundle, weights.safetensors and hasher.onnx, and how well the two agree."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from ganhash_cli.engine import bundle
from ganhash_cli.engine.files import atomic_path, atomic_write
from ganhash_cli.engine.model import HashNet, logits_of
from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.runtime import Runtime, of_onnx

PROBE = 512  # real images on which ONNX Runtime is compared with torch


def export(network: HashNet, side: int, folder: Path, probe: NDArray[np.uint8]) -> Work[dict[str, Any]]:
    """Write both files to `folder`; return how many bits differ between them on `probe`, (N, side, side, 3) bytes."""
    # A stage each, since one says nothing of how long the next takes.
    yield Progress("writing the weights", 0, 1)
    network = network.cpu().eval()
    with atomic_write(folder / bundle.WEIGHTS) as stream:  # save_file would let nobody else read it
        stream.write(to_safetensors({name: value.contiguous() for name, value in network.state_dict().items()}))
    yield Progress("writing the weights", 1, 1)
    yield Progress(f"writing {bundle.ONNX}", 0, 1)
    write_onnx(network, side, folder / bundle.ONNX)
    yield Progress(f"writing {bundle.ONNX}", 1, 1)
    yield Progress(f"comparing {bundle.ONNX} with torch", 0, 1)
    check = _compare(network, of_onnx((folder / bundle.ONNX).read_bytes(), network.head.out_features, side), probe)
    yield Progress(f"comparing {bundle.ONNX} with torch", 1, 1)
    return check


def _compare(network: HashNet, runtime: Runtime, probe: NDArray[np.uint8]) -> dict[str, Any]:
    """Count the bits in which ONNX Runtime and torch differ on real images."""
    theirs = runtime.logits(probe)
    ours = logits_of(network, probe, torch.device("cpu"))
    differing = int(((theirs >= 0) != (ours >= 0)).sum())
    return {
        "images": len(probe),
        "bits_compared": theirs.size,
        "bits_differing": differing,
        "differing_per_million": 1e6 * differing / theirs.size,
    }


class _OnBytes(nn.Module):
    """The same network for (N, S, S, 3) bytes, as decoding gives them, so that readers need no arithmetic."""

    def __init__(self, network: HashNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.permute(0, 3, 1, 2))
        return logits


def write_onnx(network: HashNet, side: int, path: Path) -> None:
    """Write the network as one ONNX file with a free batch size; input `images` (N, side, side, 3) bytes."""
    wrapped = _OnBytes(network).eval()
    # Two images: a batch of one would be taken for a constant.
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with _quiet_exporter():
        program = torch.onnx.export(
            wrapped,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no program")
        with atomic_path(path) as temporary:
            program.save(temporary, external_data=False)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter's own chatter off the terminal; what goes wrong still raises."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
