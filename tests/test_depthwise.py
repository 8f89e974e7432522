"""Depthwise convolutions within `Quick` and as torch computes them: the same values and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganhash_cli.engine import backbones, devices
from ganhash_cli.engine.depthwise import Quick

CPU = torch.device("cpu")
SHAPES = [
    # channels, height, width, kernel, stride, padding, bias
    (6, 9, 9, 5, 1, 2, False),
    (6, 9, 12, 5, 2, 2, True),
    (6, 12, 9, 3, 2, 0, False),
    (4, 9, 9, 7, 1, 3, True),
    (4, 10, 11, (5, 3), (1, 2), (2, 1), False),
    (4, 10, 11, (1, 4), (2, 1), (0, 2), False),
]


def gradients(layer: nn.Module, images: Tensor, shape: Callable[[Tensor], Tensor] = Tensor.sum) -> list[Tensor]:
    """Return the output of a layer, and the gradients of its images and parameters."""
    images = images.clone().requires_grad_()
    found = layer(images)
    layer.zero_grad()
    shape(found.float()).backward()
    return [each.detach().double() for each in (found, images.grad, *(p.grad for p in layer.parameters()))]


@pytest.mark.parametrize(("channels", "high", "wide", "kernel", "stride", "padding", "bias"), SHAPES)
def test_values_and_gradients_are_those_of_double_precision(
    channels: int, high: int, wide: int, kernel: Any, stride: Any, padding: Any, bias: bool
) -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=bias)
    images = torch.randn(3, channels, high, wide).to(memory_format=torch.channels_last)
    rounded = [images.bfloat16().float(), *(p.detach().bfloat16().float() for p in layer.parameters())]
    with Quick():
        found = gradients(layer, images, lambda out: (out * weights_of(out)).sum())
    for parameter, value in zip(layer.parameters(), rounded[1:], strict=True):
        parameter.data = value
    expected = gradients(layer.double(), rounded[0].double(), lambda out: (out * weights_of(out)).sum())
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).norm() < 0.01 * other.norm()


def weights_of(output: Tensor) -> Tensor:
    """Return a weight for each value, which bfloat16 holds exactly, so that gradients differ from place to place."""
    return (torch.arange(output.numel()).reshape(output.shape) % 13 - 5).to(output.dtype)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 8, 5, padding=2, groups=4),
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 4, 5, padding=4, dilation=2, groups=4),
        nn.Conv2d(4, 4, 5, padding="same", groups=4),
        nn.Conv2d(1, 1, 5, padding=2),
    ],
)
def test_any_other_convolution_is_left_to_torch(layer: nn.Conv2d) -> None:
    images = torch.randn(2, layer.in_channels, 8, 8)
    alone = gradients(layer, images)
    with Quick():
        beside = gradients(layer, images)
    assert all(map(torch.equal, alone, beside))


def test_without_gradients_nothing_is_changed() -> None:
    layer, images = nn.Conv2d(4, 4, 5, padding=2, groups=4), torch.randn(2, 4, 8, 8)
    with torch.no_grad(), Quick():
        assert torch.equal(layer(images), layer(images))
        assert layer(images).dtype == torch.float32


def test_frozen_parts_get_no_gradient() -> None:
    layer = nn.Conv2d(4, 4, 5, 2, padding=2, groups=4).requires_grad_(False)
    images = torch.randn(2, 4, 8, 8, requires_grad=True)
    with Quick():
        layer(images).float().sum().backward()
    assert (layer.weight.grad, images.grad is not None) == (None, True)


@pytest.mark.parametrize(("precision", "quick"), [("bfloat16", 11), ("float32", 0)])
def test_a_network_in_bfloat16_takes_the_quick_way(
    monkeypatch: pytest.MonkeyPatch, precision: devices.Precision, quick: int
) -> None:
    """Of the 16 depthwise convolutions of this backbone, 11 have 5 x 5 weights or a stride of 2."""
    taken = []
    monkeypatch.setattr("ganhash_cli.engine.depthwise._of_weight", lambda *given: taken.append(1) or given[1])
    network = backbones.build(backbones.identify("efficientnet_lite0", {"pretrained": "false"})).train()
    with devices.autocast(CPU, precision):
        found = network(torch.randn(2, 3, 64, 64))
    found.float().sum().backward()
    assert len(taken) == quick
