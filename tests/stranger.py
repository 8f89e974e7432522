"""A stranger's installed package, made by hand: a module and its `.dist-info` folder on `sys.path`."""

import os
import sys
from pathlib import Path

import pytest

from linear_hash import write_bundle
from memory_index import KEPT


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


def with_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with a model and an index that is an empty dictionary."""
    install(tmp_path / "site", monkeypatch, "stranger", "from memory_index import Memory as Plugin", "index", "memory")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    KEPT.clear()
    write_bundle(Path("model"))
