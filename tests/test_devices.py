"""Where torch computes, and how it keeps its memory."""

import subprocess
import sys

import pytest
import torch

from ganhash_cli.engine import devices
from ganhash_cli.errors import UsageError

CPU = torch.device("cpu")
FAULTS = """
import resource, sys, torch
from ganhash_cli.engine import devices
if sys.argv[1] == "keep":
    devices.keep_freed_memory()
torch.ones(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for megabytes in range(1, 30):  # each larger than all before, for which glibc asks the system anew
    torch.ones(megabytes * 250_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told what to keep")
def test_memory_that_a_step_frees_is_there_for_the_next() -> None:
    assert faults("keep") * 5 < faults("leave")


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16"])
def test_auto_is_bfloat16_on_a_processor_that_computes_in_it(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert devices.settle("auto", CPU) == "bfloat16"
    assert devices.settle("auto", torch.device("cuda")) == "float32"
    assert devices.settle("float32", CPU) == "float32"


@pytest.mark.parametrize("known", [{}, {"avx512_bf16": False}, {"avx512_f": True}])
def test_auto_is_float32_on_another_processor(monkeypatch: pytest.MonkeyPatch, known: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert devices.settle("auto", CPU) == "float32"
    assert devices.settle("bfloat16", CPU) == "bfloat16"


def test_a_device_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no xpu device"):
        devices.choose("xpu")


def test_auto_is_the_processor_where_there_is_nothing_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.choose("auto") == torch.device("cpu")
