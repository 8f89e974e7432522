"""Training on two processes of one core each, against one process on both: images a second, and what both come to."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import Report, Row

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SEEDS = range(3)
TRAIN = ["-m", "ganhash_cli", "train", "--backbone", "smallconv", "--no-fakes", "--device", "cpu"]
SETTINGS = ["--batch", "64", "--epochs", "25", "--loss", "csq", "--learning-rate", "6e-3", "--overwrite"]


def trained(folder: Path, processes: int, seed: int) -> tuple[float, float]:
    """Train on the bundled sample; return images a second in the second half of the steps, and validation mAP."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    program = [sys.executable, *launcher, *TRAIN, *SETTINGS, "--seed", str(seed), "--json", "--progress", "json"]
    environ = os.environ | {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)) // processes)}
    done = subprocess.run(program, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"')]
    steps = [each for each in told if each.get("stage", "").startswith("training")]
    rates = [each["figures"]["images/s"] for each in steps if each["done"] >= each["total"] / 2]
    return statistics.median(rates), json.loads(done.stdout)["validation_map_at_all"]


def test_two_processes_against_one(report: Report, tmp_path: Path) -> None:
    runs = [(trained(tmp_path, 2, seed), trained(tmp_path, 1, seed)) for seed in SEEDS]
    rates, scores = ([[run[side][figure] for run in runs] for side in (0, 1)] for figure in (0, 1))
    ours, peer = map(statistics.median, rates)
    report.add(Row("training on two processes, smallconv at 32", "images/s", "higher", ours, peer, None, 1, ratio=True))
    ours, peer = map(statistics.mean, scores)
    noise = 1 - 2 * statistics.stdev(scores[1]) / peer
    report.add(Row("mAP of two processes, smallconv at 32", "mAP@all", "higher", ours, peer, None, noise, ratio=True))
