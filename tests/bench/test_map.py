"""Tie-aware mAP@all of 1,000 queries against 59,000 codes of 64 bits, on one thread."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Report, Row

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


def test_map(report: Report):
    program = Path(__file__).parent / "map_turns.py"
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run([sys.executable, program], env={**os.environ, **one}, capture_output=True, check=True)
    seconds = json.loads(done.stdout)
    name = "tie-aware mAP, 1,000 x 59,000 x 64 bits, one thread"
    report.add(Row(name, "s", "lower", seconds["ours"], seconds["peer"], seconds["limit"], 1.5))
