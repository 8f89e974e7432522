"""Depthwise convolutions in bfloat16 on a processor, with the same gradients in a fraction of the time.

Of the kernels of oneDNN that torch calls for them, two are slow: the gradient of weights larger than 3 x 3 takes
several times as long as that of all their parts of 3 x 3, and the gradient of the images of a convolution with a stride
several times as long as that of one without, of as large an output with gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight
from torch.overrides import TorchFunctionMode

_QUICK = 3  # the largest kernel, in pixels, whose gradient is quick


class Quick(TorchFunctionMode):
    """Within it, slow depthwise convolutions compute in bfloat16, with gradients that are quick."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function is torch.conv2d and torch.is_grad_enabled():
            call = _Call(*args, **(kwargs or {}))
            if call.slow:
                low = (each.to(torch.bfloat16) for each in (call.input, call.weight))
                found = _Depthwise.apply(*low, _pair(call.stride), _pair(call.padding))
                return found if call.bias is None else found + call.bias.to(torch.bfloat16)[:, None, None]
        return function(*args, **(kwargs or {}))


class _Call(NamedTuple):
    """The arguments of `torch.conv2d`, by the names that it gives them."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1

    @property
    def slow(self) -> bool:
        """Whether it is a depthwise convolution, (N, C, H, W) by (C, 1, K, L), with a gradient that is slow."""
        depthwise = self.groups == self.weight.shape[0] == self.input.shape[1] > 1
        if not depthwise or _pair(self.dilation) != (1, 1) or isinstance(self.padding, str):
            return False
        kernel, padding = self.weight.shape[2:], _pair(self.padding)
        inside = padding[0] < kernel[0] and padding[1] < kernel[1]
        return inside and (max(kernel) > _QUICK or _strided(_pair(self.stride)))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        of_images, of_weight = None, None
        if ctx.needs_input_grad[0]:
            of_images = _of_images(images, weight, gradient, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(images, weight, gradient, ctx.stride, ctx.padding)
        return of_images, of_weight, None, None


def _of_images(
    images: Tensor, weight: Tensor, gradient: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Return the gradient of (N, C, H, W) images: that of the output, with zeros in the gaps of a stride, convolved."""
    kernel = weight.shape[2:]
    if _strided(stride):
        high, wide = (
            size + 2 * around - extent + 1
            for size, around, extent in zip(images.shape[2:], padding, kernel, strict=True)
        )
        shape = (*images.shape[:2], high, wide)
        spread = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last).zero_()
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    around = [extent - 1 - missing for extent, missing in zip(kernel, padding, strict=True)]
    return functional.conv2d(gradient, weight.flip(2, 3), None, 1, around, 1, len(weight))


def _of_weight(
    images: Tensor, weight: Tensor, gradient: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Return the gradient of a (C, 1, K, L) weight, part by part of 3 x 3, from what each part sees of the images."""
    channels, _, high, wide = weight.shape
    more_down, more_right = -high % _QUICK, -wide % _QUICK  # weights that there are not
    around = (padding[1], padding[1] + more_right, padding[0], padding[0] + more_down)
    images = functional.pad(images, around) if any(around) else images
    seen_down, seen_right = ((size - 1) * step + _QUICK for size, step in zip(gradient.shape[2:], stride, strict=True))
    rows, part = [], (channels, 1, _QUICK, _QUICK)
    for top in range(0, high, _QUICK):
        row = []
        for left in range(0, wide, _QUICK):
            seen = images[:, :, top : top + seen_down, left : left + seen_right]
            seen = seen.contiguous(memory_format=torch.channels_last)
            row.append(conv2d_weight(seen, part, gradient, stride, 0, 1, channels))  # type: ignore[no-untyped-call]
        rows.append(torch.cat(row, 3))
    return torch.cat(rows, 2)[:, :, :high, :wide]


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Return a number of pixels, or one each way, as (down, right)."""
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _strided(stride: tuple[int, int]) -> bool:
    return max(stride) > 1
