"""`ganhash serve` against what schemathesis makes up of its description, what fuzzing found, and a soak of requests."""

import itertools
import os
import re
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
from reliability_card import record
from serving import FIRST, Served, serving_in

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = (5, 3_000)
COUNTED = ("generated", "passed")  # the words of schemathesis behind its sums
SOAK = float(os.environ.get("GANHASH_SOAK", "60"))  # seconds
RATE = 20  # requests a second


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving_in(tmp_path) as running:
        yield running


@pytest.mark.skipif(not find_spec("schemathesis"), reason="schemathesis is not installed: 'ganhash[dev]' brings it")
@pytest.mark.parametrize(
    "examples", [EXAMPLES[0], pytest.param(EXAMPLES[1], marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_what_is_made_up_of_the_description_is_answered_as_described(
    served: Served, tmp_path: Path, examples: int
) -> None:
    """W8: no answer that the description does not know, and none that says the server failed."""
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
    made, passed = (int(re.findall(rf"([\d,]+) {word}", done.stdout)[-1].replace(",", "")) for word in COUNTED)
    assert made == passed > examples
    if examples == EXAMPLES[1]:
        record("W8 requests", "requests that schemathesis makes up of the description", requests=made, server_errors=0)


def status_of(process: Path, name: str) -> int:
    """Return a figure of a process in kB, as the kernel tells it."""
    return int(next(line.split()[1] for line in (process / "status").read_text().splitlines() if line.startswith(name)))


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
@pytest.mark.timeout(600 + 2 * SOAK)
def test_a_soak_leaves_memory_and_descriptors_as_they_were(served: Served) -> None:
    """W9: twenty mixed requests a second for GANHASH_SOAK seconds; the first third of them warms up."""
    process = Path(f"/proc/{served.process.pid}")
    if not process.exists():
        pytest.skip("there is no /proc here to read the memory from")
    photo = FIRST.read_bytes()
    code = served.ask("/api/query", photo).json["code"]
    asks: list[tuple[str, bytes | None, int]] = [
        ("/api/query", photo, 200),
        (f"/api/neighbours?code={code}", None, 200),
        ("/thumbnail/0", None, 200),
        ("/api/about", None, 200),
        ("/healthz", None, 200),
        ("/api/query", b"no image", 422),
        ("/", None, 200),
    ]
    began, waited, seen = time.monotonic(), list[float](), list[tuple[float, int, int]]()
    for number, (address, body, status) in zip(range(int(SOAK * RATE)), itertools.cycle(asks), strict=False):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        asked = time.monotonic()
        assert served.ask(address, body).status == status, address
        waited.append(1000 * (time.monotonic() - asked))
        if number % RATE == 0:
            minutes = (asked - began) / 60
            seen.append((minutes, status_of(process, "VmRSS"), len(os.listdir(process / "fd"))))
    minutes, memory, descriptors = np.array(seen[len(seen) // 3 :]).T
    slope, more = np.polyfit(minutes, memory, 1)[0], int(np.ptp(descriptors))
    assert slope < 1_000, "kB a minute"
    assert more <= 2
    record(
        "W9 soak",
        "`serve` asked twenty times a second: images, bad ones, neighbours, thumbnails, what it is, the page",
        seconds=round(SOAK),
        requests=len(waited),
        other_answers=0,
        kB_more_a_minute=round(slope),
        descriptors_more=more,
        **{f"ms_p{share}": round(float(np.percentile(waited, share)), 1) for share in (50, 95, 99)},
    )
