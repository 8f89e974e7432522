"""Where torch computes, and how it keeps its memory."""

import subprocess
import sys

import pytest
import torch

from ganhash_cli.engine import devices
from ganhash_cli.errors import UsageError

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


def test_a_device_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no xpu device"):
        devices.choose("xpu")


def test_auto_is_the_processor_where_there_is_nothing_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.choose("auto") == torch.device("cpu")
