"""`ganhash serve` against what schemathesis makes up of its description, what fuzzing found, and hours of requests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import asked
from ganhash_cli.web import uploads
from serving import FIRST, Served, serving_in

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving_in(tmp_path) as running:
        yield running


@pytest.mark.skipif(not find_spec("schemathesis"), reason="schemathesis is not installed: 'ganhash[dev]' brings it")
@pytest.mark.parametrize("examples", [5, pytest.param(3_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_what_is_made_up_of_the_description_is_answered_as_described(
    served: Served, tmp_path: Path, examples: int
) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "run", f"{served.url}openapi.json"]
    options = ["--checks", CHECKS, "--max-examples", str(examples), "--seed", "1", "--no-color", "--phases"]
    done = subprocess.run(
        [*command, *options, "examples,coverage,fuzzing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "bug" not in served.errors.read_text()


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], None]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, most in asked.SMALL.items():
            patch.setattr(uploads, name, most)
        yield asked.target(tmp_path_factory.mktemp("asked"))


REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("http-*"))


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.name)
def test_a_request_that_once_went_wrong_does_not_again(file: Path, ask: Callable[[bytes], None]) -> None:
    """W7: texts that fuzzing found are answered as any other request is."""
    ask(file.read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_half_an_hour_of_requests_leaves_memory_and_descriptors_as_they_were(served: Served) -> None:
    process = Path(f"/proc/{served.process.pid}")
    if not process.exists():
        pytest.skip("there is no /proc here to read the memory from")
    minutes = float(os.environ.get("GANHASH_SOAK_MINUTES", "30"))
    photo, began = FIRST.read_bytes(), time.monotonic()
    asks = [
        ("/api/query", photo),
        ("/thumbnail/0", None),
        ("/api/about", None),
        ("/api/query", b"no image"),
        ("/", None),
    ]
    seen: list[tuple[float, int, int]] = []
    for number in range(int(minutes * 60 * 20)):
        time.sleep(max(0.0, began + number / 20 - time.monotonic()))
        assert served.ask(*asks[number % len(asks)]).status in (200, 422)
        if number % 100 == 99:
            resident = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
            seen.append(((time.monotonic() - began) / 60, int(resident.split()[1]), len(os.listdir(process / "fd"))))
    settled = seen[len(seen) // 5 :]
    slope = np.polyfit([minute for minute, _, _ in settled], [memory for _, memory, _ in settled], 1)[0]
    assert slope < 1_000, "kB a minute"
    assert max(fd for _, _, fd in settled) - min(fd for _, _, fd in settled) <= 2
