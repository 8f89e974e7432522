"""The checks of a backbone: what it says about itself, its features, the sizes it takes, and its way to ONNX."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ganhash_cli.plugin.conformance.outcome import NotApplicable, expect
from ganhash_cli.plugin.conformance.subject import BackboneSubject, agree, input_size

SMALLEST = 64  # pixels; the core feeds nothing smaller to a larger backbone
ONNX_TOLERANCE = 1e-3


def has_the_contract_attributes(subject: BackboneSubject) -> None:
    """Require `input_size`, `mean`, `std` and `feature_dim` that make sense."""
    network = subject.network()
    size, width = getattr(network, "input_size", None), getattr(network, "feature_dim", None)
    match size:
        case (3, int(height), int(side)) if height == side > 0:
            pass
        case _:
            expect(False, f"input_size is {size!r}, not (3, side, side)")
    for name in ("mean", "std"):
        values = getattr(network, name, None)
        expect(_three_numbers(values), f"{name} is {values!r}, not three numbers")
    expect(all(value > 0 for value in cast(Any, network).std), "std holds a value that is not positive")
    expect(isinstance(width, int) and width > 0, f"feature_dim is {width!r}, not a positive whole number")
    fixed = getattr(network, "fixed_input_size", False)
    expect(isinstance(fixed, bool), f"fixed_input_size is {fixed!r}, neither True nor False")


def features_have_the_promised_shape(subject: BackboneSubject) -> None:
    """Require (N, feature_dim) features for (N, C, H, W) images."""
    network = subject.network()
    images = subject.images(network, input_size(network)[1])
    with torch.no_grad():
        features = network(images)
    expect(isinstance(features, Tensor), f"it returns {type(features).__name__}, no tensor")
    wanted = (len(images), getattr(network, "feature_dim", None))
    expect(
        tuple(features.shape) == wanted, f"three images gave features of shape {tuple(features.shape)}, not {wanted}"
    )


def features_are_finite(subject: BackboneSubject) -> None:
    """Require features without NaN and infinity."""
    expect(bool(_features(subject).isfinite().all()), "some features are NaN or infinite")


def features_are_float32(subject: BackboneSubject) -> None:
    """Require float32 features outside autocast, as the hash head's weights are."""
    dtype = _features(subject).dtype
    expect(dtype == torch.float32, f"features are {dtype}, not torch.float32")


def features_depend_on_the_image(subject: BackboneSubject) -> None:
    """Require different features for different images."""
    network = subject.moved_network()
    one, other = (subject.run(network, subject.inputs(network, seed)) for seed in (0, 1))
    expect(not agree(one, other), "different images gave the same features")


def one_image_is_a_batch(subject: BackboneSubject) -> None:
    """Require a single row for a single image in evaluation mode, as a query needs."""
    network = subject.network()
    images = subject.images(network, input_size(network)[1])
    trailing = tuple(subject.run(network, (images,)).shape[1:])
    with torch.no_grad():
        shape = tuple(network(images[:1]).shape)
    expect(shape == (1, *trailing), f"one image gave features of shape {shape}, not {(1, *trailing)}")


def smaller_squares_are_taken(subject: BackboneSubject) -> None:
    """Require as many features for squares of 64 and 96 pixels, unless it says `fixed_input_size`."""
    network = subject.network()
    if getattr(network, "fixed_input_size", False):
        raise NotApplicable("its input size is fixed")
    if input_size(network)[1] <= SMALLEST:
        raise NotApplicable(f"its own size is not above the {SMALLEST} pixels that are the smallest fed")
    trailing = subject.run(network, subject.inputs(network)).shape[1:]
    for side in {SMALLEST, min(SMALLEST + 32, input_size(network)[1])}:
        with torch.no_grad():
            found = network(subject.images(network, side)).shape[1:]
        expect(found == trailing, f"{side} pixels gave features of shape {tuple(found)}, not {tuple(trailing)}")


def exports_to_onnx(subject: BackboneSubject) -> None:
    """Require an export as `ganhash train` does it, for any batch size, that computes what torch computes."""
    from ganhash_cli.engine import exporter
    from ganhash_cli.engine.runtime import of_onnx

    network = subject.network()
    channels, side = input_size(network)
    pixels = np.random.default_rng(0).integers(0, 256, (5, side, side, channels), dtype=np.uint8)
    batches = [pixels[:rows] for rows in (1, 2, 5)]
    wrapped = _OnPixels(network).eval()
    ours = [subject.run(wrapped, (torch.from_numpy(batch).permute(0, 3, 1, 2),)) for batch in batches]
    again = subject.run_on(wrapped, (torch.from_numpy(pixels).permute(0, 3, 1, 2),))
    if not agree(again, ours[-1]):
        raise NotApplicable("it gives no steady result to compare with")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hasher.onnx"
        # The exporter only needs a module from pixels to rows of numbers.
        exporter.write_onnx(cast(Any, wrapped), side, path)
        runtime = of_onnx(path.read_bytes(), ours[0].shape[-1], side)
    for batch, expected in zip(batches, ours, strict=True):
        alike = agree(torch.from_numpy(runtime.logits(batch)), expected, ONNX_TOLERANCE)
        expect(alike, f"for a batch of {len(batch)}, ONNX Runtime and torch give different features")


class _OnPixels(nn.Module):
    """The backbone on images in [0, 255], scaled alike for every backbone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images.float() / 127.5 - 1)
        return features


def _features(subject: BackboneSubject) -> Tensor:
    network = subject.network()
    return subject.run(network, subject.inputs(network))


def _three_numbers(values: object) -> bool:
    return (
        isinstance(values, tuple | list)
        and len(values) == 3
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )
