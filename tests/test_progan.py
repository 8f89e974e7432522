"""What progan sees and paints grows from coarse to fine, without a jump, until detail is there."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganhash_cli.engine import gan
from ganhash_cli.engine.gan import Data
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.progress import finish
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.registry import Identity


def identify(base: int) -> Identity:
    return registry.identify("generator", "progan", {"base": str(base)})


def build(base: int, size: tuple[int, int, int] = (1, 32, 32)) -> Any:
    torch.manual_seed(0)
    return registry.build(identify(base), size, None).eval()


def test_progan_paints_coarsely_before_it_has_grown() -> None:
    network: Any = build(4)
    latents = torch.randn(2, 64)
    network.grow(0.0)
    coarse = network(latents)
    assert torch.equal(coarse, coarse[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3))
    network.grow(1.0)
    fine = network(latents)
    assert not torch.equal(fine[:, :, ::2, ::2], fine[:, :, 1::2, 1::2])


def test_the_critic_of_progan_sees_no_detail_before_it_has_grown() -> None:
    critic: Any = build(4).critic().eval()
    fine = torch.rand(4, 1, 32, 32)
    coarse = F.interpolate(F.avg_pool2d(fine, 8), scale_factor=8.0)
    critic.grow(0.0)
    assert torch.allclose(critic(fine), critic(coarse), atol=1e-5)
    critic.grow(1.0)
    assert not torch.allclose(critic(fine), critic(coarse), atol=1e-3)


def test_the_critic_of_progan_sees_how_unlike_images_are() -> None:
    critic: Any = build(4).critic().eval()
    images = torch.rand(4, 1, 32, 32)
    alone = torch.cat([critic(image.expand(4, -1, -1, -1))[:1] for image in images])
    assert not torch.allclose(critic(images), alone, atol=1e-4)
    one = images[:1].requires_grad_()
    critic(one).sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


@pytest.mark.slow
def test_progan_learns_the_detail_that_comes_last(tmp_path: Path) -> None:
    """Noise of single pixels on grey: nothing of it is left at a coarser level."""
    rng = torch.Generator().manual_seed(0)
    grey = torch.randint(60, 190, (200, 1, 1, 1), generator=rng)
    images = (grey + torch.randint(-50, 50, (200, 1, 32, 32), generator=rng)).to(torch.uint8)
    chosen = GenerateSettings(generator=identify(16), steps=400, batch=32, augment="none")
    made = finish(gan.train(build(16), Data(images, None), chosen, tmp_path, torch.device("cpu"))).network
    with torch.no_grad():
        fakes = made(torch.randn(64, 64, generator=rng))
    assert _detail(fakes) > 0.5 * _detail(images / 127.5 - 1)


def _detail(images: Tensor) -> float:
    """Return how far neighbours lie apart."""
    return float((images[..., 1:] - images[..., :-1]).abs().mean())


@pytest.mark.parametrize("progress", [0.0, 0.15, 0.3, 0.45])
def test_what_progan_sees_and_paints_comes_in_without_a_jump(progress: float) -> None:
    network: Any = build(8, (3, 64, 64))
    critic, latents = network.critic().eval(), torch.randn(8, 64)
    found = []
    for share in (progress, progress + 1e-6):
        network.grow(share)
        critic.grow(share)
        with torch.no_grad():
            found.append((network(latents), critic(torch.linspace(-1, 1, 8 * 3 * 64 * 64).view(8, 3, 64, 64))))
    for before, after in zip(*found, strict=True):
        assert torch.allclose(before, after, atol=1e-4)
