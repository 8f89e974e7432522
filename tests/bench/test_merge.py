"""Putting sixteen shards together: seconds, megabytes a second, and memory that does not grow with the images."""

import sys
from pathlib import Path

import pytest

from bench import crowds
from bench.measure import Report, Row, command, in_turn

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

GANHASH = Path(sys.executable).parent / "ganhash"
SHARDS, BITS = 16, 64


@pytest.mark.parametrize(("each", "aim"), [(100_000, 5), (1_000_000, 60)])
def test_merge(each: int, aim: float, report: Report, tmp_path: Path) -> None:
    parts = crowds.write_shards(tmp_path, crowds.clustered(SHARDS * each, BITS), BITS, SHARDS)
    [cost] = in_turn(3, lambda: command([GANHASH, "merge", *parts, "-o", "whole.h5", "--overwrite", "-q"], tmp_path))
    name, read = f"merge {SHARDS} x {each:,} codes", sum(part.stat().st_size for part in parts)
    report.add(Row(name, "s", "lower", cost.seconds, None, None, aim))
    report.add(Row(f"{name}, read", "MB/s", "higher", read / cost.seconds / 1e6, None, None, 200))
    report.add(Row(f"{name}, memory", "MiB", "lower", cost.mebibytes, None, None, 600))
