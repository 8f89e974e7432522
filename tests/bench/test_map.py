"""Tie-aware mAP@all of 1,000 queries against 59,000 and 1,000,000 codes of 64 bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Report, Row

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@pytest.mark.parametrize(("count", "aim"), [(59_000, 0.6), (1_000_000, 10)])
def test_map(report: Report, count: int, aim: float):
    program = [sys.executable, Path(__file__).parent / "map_turns.py", str(count)]
    done = subprocess.run(program, env={**os.environ, **ONE_THREAD}, capture_output=True, check=True)
    seconds = json.loads(done.stdout)
    name = f"tie-aware mAP, 1,000 x {count:,} x 64 bits"
    report.add(Row(name, "s", "lower", seconds["ours"], seconds["peer"], seconds["limit"], aim))
