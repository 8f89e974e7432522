"""What the doctor knows, part by part: versions, processor, memory, places, GPUs and plugins that misbehave."""

from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ganhash_cli.engine import accelerators, installation, machine
from ganhash_cli.engine.accelerators import Accelerators
from ganhash_cli.plugin import probing
from stranger import install

BOUNDS = [">=2.10", "==0.1.0", "<3", "<=2.10", ">2.9,<2.11", "!=2.10.0", "~=2.9", "~=2.9.1", "==2.*", "!=2.*", ""]
VERSIONS = ["2.10", "2.10.0", "2.9", "2.9.5", "0.1", "0.1.0", "3", "2.11", "10.0", "2.14.1+cpu", "2"]


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_compared_as_pip_does(version: str, bound: str) -> None:
    assert installation.satisfies(version, bound) == SpecifierSet(bound).contains(version, prereleases=True)


def test_every_requirement_of_the_metadata_is_understood() -> None:
    wanted = [Requirement(line) for line in requires("ganhash") or []]
    read = {each.name: SpecifierSet(each.wanted) for each in installation.dependencies()}
    assert read == {each.name: each.specifier for each in wanted}
    assert {e.name for e in installation.dependencies() if e.extra} == {each.name for each in wanted if each.marker}


def linux(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_max", ".max").replace("_current", ".current")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("info", "there"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16\n", {"AVX2", "AVX-512", "VNNI", "BF16"}),
        ("flags\t\t: fpu avx2 avx_vnni\n", {"AVX2", "VNNI"}),
        ("flags\t\t: fpu avx\n", set()),
        ("Features\t: fp asimd asimddp bf16\n", {"VNNI", "BF16"}),
    ],
)
def test_processor_features_are_read_from_what_linux_says(info: str, there: set[str], tmp_path: Path) -> None:
    features = machine.machine(linux(tmp_path, proc__cpuinfo=info)).features
    assert features == {name: name in there for name in machine.FEATURES}


def test_where_the_system_says_nothing_the_features_are_unknown(tmp_path: Path) -> None:
    assert machine.machine(tmp_path).features is None


def test_memory_and_cores_are_those_that_the_container_grants(tmp_path: Path) -> None:
    meminfo = "MemTotal:       8000 kB\nMemAvailable:   6000 kB\n"
    here = machine.machine(linux(tmp_path, proc__meminfo=meminfo))
    assert (here.memory, here.available) == (8000 << 10, 6000 << 10)
    granted = {"sys__fs__cgroup__memory_max": f"{2000 << 10}\n", "sys__fs__cgroup__memory_current": f"{500 << 10}\n"}
    here = machine.machine(linux(tmp_path, **granted, sys__fs__cgroup__cpu_max="50000 100000\n"))
    assert (here.memory, here.available, here.cores) == (2000 << 10, 1500 << 10, 1)


def test_a_folder_that_is_gone_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    place = machine.working_folder()
    assert (place.fault, str(tmp_path) in place.fault) == ("No such file or directory", False)


def test_trying_a_folder_leaves_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = machine.working_folder()
    assert (place.fault, (place.free or 0) > 0, list(tmp_path.iterdir())) == ("", True, [])


def made_up_torch(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, cuda: str | None = "13.0") -> None:
    package = folder / "site" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    (package / "version.py").write_text(f"cuda: str | None = {cuda!r}\nhip = None\n")
    monkeypatch.syspath_prepend(package.parent)


def asked(drivers: tuple[str, ...] = ("/",), seconds: float = 30) -> tuple[Accelerators, list[str]]:
    told: list[str] = []
    return accelerators.accelerators(lambda: told.append("told"), drivers, seconds), told


WORKS = """
print("noise")
class cuda:
    is_available = staticmethod(lambda: True)
class backends:
    class mps:
        is_available = staticmethod(lambda: False)
def ones(size, device): return {number}
"""


@pytest.mark.parametrize(("number", "works"), [("1", True), ("1 / 0", False), ("5", False)])
def test_a_device_works_if_it_computes(
    number: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_torch(tmp_path, monkeypatch, WORKS.format(number=number))
    assert asked() == (Accelerators(works, False, "torch"), ["told"])


@pytest.mark.skipif(not Path("/proc").exists(), reason="only on Linux is torch not asked")
def test_torch_is_not_asked_where_its_build_or_the_lack_of_a_driver_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_torch(tmp_path / "with", monkeypatch, "raise RuntimeError")
    assert asked(drivers=("/no/driver",)) == (Accelerators(False, False, "driver"), [])
    made_up_torch(tmp_path / "without", monkeypatch, "raise RuntimeError", cuda=None)
    assert asked() == (Accelerators(False, False, "build"), [])


@pytest.mark.parametrize(
    ("code", "how"),
    [("raise RuntimeError", "failed"), ("import os; os._exit(0)", "failed"), ("while True: pass", "no answer")],
)
def test_a_torch_that_fails_or_hangs_is_told_of_in_time(
    code: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_torch(tmp_path, monkeypatch, code)
    assert asked(seconds=3)[0].how == how


MISBEHAVE = {
    "a-raises": "raise RuntimeError('why')",
    "b-exits": "import sys; sys.exit(0)",
    "c-ends": "import os; os._exit(0)",
    "d-hangs": "while True: pass",
    "e-mistyped": "def Plugin(*, width: list = []): ...",
    "f-prints": 'import os; print(1); os.write(1, b"noise\\n")\ndef Plugin(*, width: int = 8): ...',
    "g-older": "def Plugin(*, width: int = 8): ...\nPlugin.contract_version = 0",
}


def test_each_plugin_that_misbehaves_is_named_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in MISBEHAVE.items():
        install(tmp_path, monkeypatch, name, code, name=name)
    found = [plugin for plugin in probing.installed() if plugin.name in MISBEHAVE]
    monkeypatch.setattr(probing, "_CHILD", _ONLY + probing._CHILD)
    faults = probing.load(found, together=20, alone=5)
    assert {plugin.name: fault.what for plugin, fault in zip(found, faults, strict=True) if fault} == {
        "a-raises": "could not be loaded: RuntimeError",
        "b-exits": "could not be loaded: SystemExit",
        "c-ends": "ended the process that loads it, or took too long to load",
        "d-hangs": "ended the process that loads it, or took too long to load",
        "e-mistyped": "could not be loaded: it breaks the contract of plugins",
        "g-older": "could not be loaded: it breaks the contract of plugins",
    }


# The child looks at the strangers alone, so that it need not import torch for the others.
_ONLY = (
    "from ganhash_cli.plugin import probing; all_of_them = probing.installed\n"
    "probing.installed = lambda: [plugin for plugin in all_of_them() if plugin.package != 'ganhash']\n"
)


def test_the_built_in_plugins_can_all_be_loaded() -> None:
    found = probing.installed()
    assert [fault for fault in probing.load(found) if fault] == []
