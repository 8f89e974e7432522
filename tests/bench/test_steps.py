"""One step of training a hashing network, and one of a GAN, against the same in float32 with the channels first."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Report, Row

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


@pytest.mark.parametrize(
    ("kind", "network", "side", "aim"),
    [
        ("hashing", "efficientnet_lite0", 64, 1 / 3),
        ("hashing", "efficientnet_lite0", 224, 1 / 3),
        ("hashing", "smallconv", 32, 1 / 3),
        ("bfloat16 gan", "sngan", 32, 1 / 2),
    ],
)
def test_step(report: Report, kind: str, network: str, side: int, aim: float):
    program = [sys.executable, Path(__file__).parent / "step_turns.py", kind.split()[-1], network, str(side)]
    seconds = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    name = f"{kind} step, {network} at {side}"
    report.add(Row(name, "s", "lower", seconds["ours"], seconds["peer"], None, aim, ratio=True))
