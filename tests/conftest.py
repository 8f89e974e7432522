"""What every test has: quiet settings, and a small folder of images for those that ask."""

from pathlib import Path

import pytest
import torch

from ganhash_cli import console
from pictures import paint_classes


@pytest.fixture(autouse=True)
def _same_for_every_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, no settings from the person's environment, and the normal verbosity."""
    torch.set_num_threads(1)
    monkeypatch.delenv("GANHASH_PLUGINS", raising=False)
    monkeypatch.setattr(console, "verbosity", 0)


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of 36 noisy squares in three classes."""
    return paint_classes(tmp_path / "coloured")
