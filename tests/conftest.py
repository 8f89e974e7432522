"""What every test has: quiet settings, and a small folder of images for those that ask."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from ganhash_cli import console
from ganhash_cli.engine import exporter
from ganhash_cli.engine.files import atomic_write
from ganhash_cli.engine.model import HashNet
from pictures import paint_classes


@pytest.fixture(autouse=True)
def _same_for_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, no settings from the person's environment, and the normal verbosity."""
    torch.set_num_threads(1)
    monkeypatch.delenv("GANHASH_PLUGINS", raising=False)
    monkeypatch.setattr(console, "verbosity", 0)


_EXPORTED: dict[str, bytes] = {}
_write_onnx = exporter.write_onnx


@pytest.fixture(autouse=True)
def _each_network_is_exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what torch writes as ONNX, which takes it seconds: many tests train one and the same network."""

    def write(network: HashNet, side: int, path: Path) -> None:
        weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
        key = f"{hashlib.sha256(weights).hexdigest()} {network} {side}"
        if key in _EXPORTED:
            with atomic_write(path) as stream:
                stream.write(_EXPORTED[key])
        else:
            _write_onnx(network, side, path)
            _EXPORTED[key] = path.read_bytes()

    monkeypatch.setattr(exporter, "write_onnx", write)


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of 36 noisy squares in three classes."""
    return paint_classes(tmp_path / "coloured")
