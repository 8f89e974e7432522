"""Builds a backbone plugin, holds it to its contract, and chooses the size of image it sees."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.contracts import Backbone
from ganhash_cli.plugin.registry import Identity

Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def identify(name: str, given: Mapping[str, str]) -> Identity:
    """Name a backbone and its options; the name of a timm model stands for the plugin `timm` with that model."""
    if all(plugin.name != name for plugin in registry.plugins("backbone")):
        import timm

        model = name.split(".")[0]
        if timm.is_model(model):
            return registry.identify("backbone", "timm", {"model": name, **given})
        known = [*(plugin.name for plugin in registry.plugins("backbone")), *timm.list_models()]
        if close := difflib.get_close_matches(model, dict.fromkeys(known), n=3):
            raise UsageError(
                f"no backbone named {name!r}; did you mean {' or '.join(map(repr, close))}?",
                hint="`ganhash plugins list` shows the plugins; the name of any timm model will do, too",
            )
    return registry.identify("backbone", name, given)


def build(identity: Identity, **overrides: Any) -> nn.Module:
    """Build the backbone `identity` names; `PluginError` where it does not keep the contract."""
    backbone = registry.build(identity, **overrides)
    missing = [name for name in ("input_size", "mean", "std", "feature_dim") if not hasattr(backbone, name)]
    if missing or not isinstance(backbone, nn.Module):
        raise _broken(identity.name, f"it lacks {', '.join(missing) or 'torch.nn.Module'}")
    rules = contract(backbone)
    if not len(rules.mean) == len(rules.std) == rules.input_size[0]:
        raise _broken(identity.name, f"mean {rules.mean} and std {rules.std} have not a number for each channel")
    return backbone


def _broken(name: str, reason: str) -> PluginError:
    return PluginError(
        f"backbone {name!r} is no backbone: {reason}", hint="docs/plugins.md says what a backbone must have"
    )


def untaught(identity: Identity) -> bool:
    """Whether a backbone brings no weights of its own: two that are built differ."""
    with torch.random.fork_rng(devices=[]):
        one, other = (dict(build(identity).named_parameters()) for _ in range(2))
    return any(not torch.equal(value, other[name]) for name, value in one.items())


def contract(backbone: nn.Module) -> Backbone:
    """View a built backbone through its contract."""
    return cast(Backbone, backbone)


def side_for(short_sides: NDArray[np.int64], backbone: nn.Module, asked: int | None = None) -> int:
    """Choose the input square, in pixels, for images with these short sides.

    Twice the median short side, at least 64, at most the backbone's own size, rounded up to a multiple of 32;
    `asked` overrides it. A backbone with `fixed_input_size` keeps its own.
    """
    own = contract(backbone).input_size[-1]
    if getattr(backbone, "fixed_input_size", False):
        if asked not in (None, own):
            raise UsageError(f"this backbone only takes images of {own} pixels", hint="leave out --size")
        return own
    if asked is not None:
        return asked
    wanted = 2 * float(np.median(short_sides)) if len(short_sides) else own
    return min(-(-int(max(64.0, wanted)) // 32) * 32, max(own, 32))


def require_side(backbone: nn.Module, side: int, name: str) -> None:
    """Try two blank images of `side` pixels; `UsageError` where the backbone cannot take so small or uneven ones.

    Where it breaks its word otherwise, in training, too, it is a `PluginError`.
    """
    blank = torch.zeros(2, 3, side, side)
    try:
        with torch.no_grad():
            features = backbone.eval()(blank)
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        own = contract(backbone).input_size[-1]
        raise UsageError(
            f"{name} cannot take images of {side} pixels: {error or type(error).__name__}",
            hint=f"--size {own} is its own",
        ) from error
    except Exception as error:  # a stranger's code fails in any way
        raise _broken(name, f"it fails: {type(error).__name__}: {error}") from error
    if (shape := tuple(features.shape)) != (wanted := (2, contract(backbone).feature_dim)):
        raise _broken(name, f"the features of two images have the shape {shape}, not {wanted}")
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(backbone).train()(blank)
    except Exception as error:
        raise _broken(name, f"it fails in training: {type(error).__name__}: {error}") from error


def normalise(images: Tensor, backbone: nn.Module) -> Tensor:
    """Turn (N, 3, H, W) images in [0, 255] into what the backbone expects."""
    rules = contract(backbone)
    mean = torch.tensor(rules.mean, device=images.device).view(-1, 1, 1)
    std = torch.tensor(rules.std, device=images.device).view(-1, 1, 1)
    return (images.float() / 255 - mean) / std


def feature_extractor(network: nn.Module, device: torch.device, batch: int = 64) -> Features:
    """Return a function from (N, S, S, 3) RGB bytes to (N, feature_dim) float32 features of a frozen backbone."""
    backbone = network.eval().to(device).to(memory_format=torch.channels_last)

    def features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), batch):
                part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch]))
                inputs = normalise(part.to(device).permute(0, 3, 1, 2), backbone)
                parts.append(backbone(inputs).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, contract(backbone).feature_dim), np.float32)

    return features
