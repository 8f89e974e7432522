"""A stranger's package, installed as a stranger would, is listed, shown and trained with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganhash_cli.plugin import conformance

SOURCE = Path(__file__).parents[1] / "examples" / "ganhash-tinyconv"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, target, SOURCE], check=True)
    return target


def ganhash(installed: Path, *arguments: str, folder: Path | None = None) -> str:
    """Run the command line beside the installed package and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", "ganhash_cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_imports_nothing_from_ganhash() -> None:
    code = (SOURCE / "ganhash_tinyconv.py").read_text()
    imports = [line for line in code.splitlines() if line.startswith(("import ", "from "))]
    assert imports == ["from itertools import pairwise", "from torch import Tensor, nn"]


def test_it_is_listed_with_its_package_and_version(installed: Path) -> None:
    assert "backbone\ttinyconv\tganhash-tinyconv\t0.1.0" in ganhash(installed, "plugins", "list").splitlines()


def test_its_option_is_shown_with_type_and_default(installed: Path) -> None:
    shown = json.loads(ganhash(installed, "plugins", "show", "backbone", "tinyconv", "--json"))
    assert shown["options"] == [{"name": "width", "type": "int", "default": 16}]


def test_a_network_is_trained_with_it_and_the_bundle_names_its_package(installed: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, brightness in (("dark", 0), ("light", 128)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(brightness, brightness + 128, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    command = "train images --backbone tinyconv -B width=4 --bits 8 --epochs 1 --batch 8 --no-fakes --device cpu"
    ganhash(installed, *command.split(), folder=tmp_path)
    backbone = json.loads((tmp_path / "model" / "bundle.json").read_text())["backbone"]
    assert (backbone["package"], backbone["options"]) == ("ganhash-tinyconv", {"width": 4})


def test_its_own_tests_hold_it_to_the_contract(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", SOURCE, SOURCE],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(conformance.checks('backbone')) - 1} passed, 1 skipped" in done.stdout


def test_the_command_line_holds_it_to_the_contract(installed: Path) -> None:
    lines = ganhash(installed, "plugins", "check", "backbone", "tinyconv", "-B", "width=4", "--json").splitlines()
    outcomes = [json.loads(line) for line in lines]
    assert [outcome["check"] for outcome in outcomes] == [str(check) for check in conformance.checks("backbone")]
    assert {outcome["status"] for outcome in outcomes} == {"passed", "skipped"}
