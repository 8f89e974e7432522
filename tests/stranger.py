"""A stranger's installed package, made by hand: a module and its `.dist-info` folder on `sys.path`."""

import os
import sys
from pathlib import Path

import pytest


def beside(place: Path) -> str:
    """Return the PYTHONPATH of a process that finds the packages in `place` before all others."""
    return os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    code: str,
    kind: str = "backbone",
    name: str = "odd",
    version: str = "1.2",
) -> None:
    """Put `package` with one plugin, the object `Plugin` of a module with the text `code`, on `sys.path`."""
    module = package.replace("-", "_")
    place = folder / f"site-{module}"
    information = place / f"{module}-{version}.dist-info"
    information.mkdir(parents=True)
    (place / f"{module}.py").write_text(code)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(
        f"[ganhash.{'indexes' if kind == 'index' else kind + 's'}]\n{name} = {module}:Plugin\n"
    )
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, module, raising=False)
