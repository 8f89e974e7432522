"""Machines that only search: encode, query and serve in an environment of requirements/query.txt, without torch."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from serving import FIRST, work_in

ROOT = Path(__file__).parents[1]
LARGE = {"torch", "torchvision", "timm", "onnx", "onnxscript", "matplotlib"}
MOST_MEGABYTES = 400


def test_the_list_pins_everything_and_names_nothing_of_training() -> None:
    lines = (ROOT / "requirements/query.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert {line.partition("==")[0].lower() for line in pins} & LARGE == set()


@pytest.mark.slow
def test_a_machine_that_only_searches_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work_in(tmp_path)
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "wheel", str(ROOT)]
    subprocess.run([sys.executable, *build], check=True)
    venv.create("small", with_pip=True)
    python = tmp_path / "small/bin/python"
    wheel = next(Path("wheel").glob("*.whl"))
    install = ["-m", "pip", "install", "-q", "--no-deps", "-r", str(ROOT / "requirements/query.txt"), str(wheel)]
    subprocess.run([python, *install], check=True)
    size = sum(file.stat().st_size for file in Path("small").rglob("*") if file.is_file()) / 1_000_000
    print(f"{size:.0f} MB")
    assert size < MOST_MEGABYTES
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for verb in (["encode", "folder", "-o", "new.h5"], ["query", str(FIRST), "--codes", "new.h5", "-f", "-k", "1"]):
        done = subprocess.run([python, "-m", "ganhash_cli", *verb], env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("folder/blue/")
    serve = [python, "-m", "ganhash_cli", "serve", "new.h5", "--port", "0"]
    with subprocess.Popen(serve, env=clean, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("http://127.0.0.1:")
        running.terminate()
