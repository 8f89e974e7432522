"""The hashing network and its ONNX form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ganhash_cli.engine import exporter
from ganhash_cli.engine.losses.entropy import uniform
from ganhash_cli.engine.model import HashNet, logits_of, untracked
from ganhash_cli.engine.runtime import of_onnx
from ganhash_plugins.backbones.smallconv import SmallConv

CPU = torch.device("cpu")


@pytest.fixture
def network() -> HashNet:
    torch.manual_seed(0)
    return HashNet(SmallConv(width=8), bits=10)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def buffers(network: HashNet) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in network.buffers()]


def test_a_pass_over_fakes_leaves_the_statistics_as_they_were(network: HashNet):
    before = buffers(network)
    with untracked(network):
        fakes = network.project(torch.rand(4, 3, 32, 32) * 255)
    network.beside(fakes, torch.randn(6, 10)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, buffers(network), strict=True))
    assert all(module.track_running_stats for module in network.modules() if isinstance(module, _BatchNorm))


def test_a_pass_over_fakes_takes_the_network_that_real_images_train(network: HashNet):
    batch = torch.rand(6, 3, 32, 32) * 255
    torch.nn.init.normal_(network.norm.bias)
    trained = network(batch)
    with untracked(network):
        projections = network.project(batch)
    torch.testing.assert_close(network.beside(projections, projections), trained)


def test_the_head_lets_a_batch_of_fakes_be_undecided_about_every_bit(network: HashNet):
    fakes, real = torch.zeros(6, 10), torch.randn(8, 10)
    middle = -2 * real.mean(0) / (real.var(0, correction=0) + network.norm.eps).sqrt()
    torch.testing.assert_close(network.beside(fakes, real), middle.expand(6, 10))


def test_fakes_gain_nothing_from_smaller_projections(network: HashNet):
    torch.nn.init.normal_(network.head.weight)  # so large that what the norm adds to the variance is nothing
    real = network.project(torch.rand(8, 3, 32, 32) * 255)
    with untracked(network):
        fakes = network.project(torch.rand(6, 3, 32, 32) * 255)
    uniform(network.beside(fakes, real)).backward()
    weight, slope = network.head.weight, network.head.weight.grad
    assert slope is not None
    assert (slope * weight).sum(1).abs().max() < 1e-3 * slope.norm() * weight.norm()


def test_a_pass_over_real_images_moves_them(network: HashNet):
    before = buffers(network)
    network(torch.rand(4, 3, 32, 32) * 255)
    assert not all(torch.equal(a, b) for a, b in zip(before, buffers(network), strict=True))


def test_logits_do_not_depend_on_the_batch_an_image_comes_in(network: HashNet):
    batch = pictures(9)
    alone = np.concatenate([logits_of(network, image[None], CPU) for image in batch])
    np.testing.assert_allclose(logits_of(network, batch, CPU, batch=4), alone, atol=1e-5)


def mirrored(network: HashNet) -> HashNet:
    twin = HashNet(SmallConv(width=8), bits=10, mirrored=True)
    twin.load_state_dict(network.state_dict())
    return twin


def test_a_mirrored_network_gives_the_mean_of_an_image_and_its_mirror_image(network: HashNet):
    batch = pictures(5)
    both = [logits_of(network, images, CPU) for images in (batch, batch[:, :, ::-1])]
    assert np.abs(both[0] - both[1]).max() > 0.01
    np.testing.assert_allclose(logits_of(mirrored(network), batch, CPU), np.mean(both, 0), atol=1e-5)


def test_it_is_trained_on_the_images_as_they_are(network: HashNet):
    batch = torch.rand(4, 3, 32, 32) * 255
    torch.testing.assert_close(mirrored(network)(batch), network(batch))


def test_no_images_give_no_logits(network: HashNet):
    assert logits_of(network, pictures(0), CPU).shape == (0, 10)


@pytest.mark.parametrize("count", [0, 1, 3, 33])
def test_onnx_gives_the_logits_of_torch_for_any_number_of_images(network: HashNet, tmp_path: Path, count: int):
    exporter.write_onnx(network.eval(), 32, tmp_path / "hasher.onnx")
    runtime = of_onnx((tmp_path / "hasher.onnx").read_bytes(), 10, 32)
    expected = logits_of(network, pictures(count), CPU)
    np.testing.assert_allclose(runtime.logits(pictures(count)), expected, atol=1e-4)


def test_images_of_another_size_are_refused(network: HashNet, tmp_path: Path):
    exporter.write_onnx(network.eval(), 32, tmp_path / "hasher.onnx")
    with pytest.raises(ValueError, match="must be"):
        of_onnx((tmp_path / "hasher.onnx").read_bytes(), 10, 32).logits(np.zeros((1, 16, 16, 3), np.uint8))
