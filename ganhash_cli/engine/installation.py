"""What is installed, compared with what ganhash's own metadata ask for; imports none of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires
from importlib.util import find_spec
from typing import Literal

PACKAGE = "ganhash"
# Where a package's module does not have its name.
_MODULES = {"pillow": "PIL", "faiss-cpu": "faiss"}
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*\(?([^;()]*?)\)?\s*(?:;(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|~=|>|<)\s*([\w.*+!-]+)")

State = Literal["ok", "missing", "unfit", "broken"]


@dataclass(frozen=True)
class Dependency:
    """A package that ganhash asks for: `wanted` as its metadata say, `found` is the version that is installed.

    `extra` names what it is for where it is optional. "broken" is one whose metadata are there and whose module is not.
    """

    name: str
    wanted: str
    found: str | None
    state: State
    extra: str = ""

    @property
    def requirement(self) -> str:
        """What to tell pip."""
        return f"{self.name}{self.wanted}"


def dependencies() -> list[Dependency]:
    """Return every package that ganhash's metadata name; those of extras come last.

    Raises `PackageNotFoundError` where ganhash itself is not installed, as in a bare folder of its source.
    """
    found = [_dependency(line) for line in requires(PACKAGE) or []]
    return sorted(found, key=lambda each: (each.extra, each.name))


def package_of(module: str) -> str:
    """Return the package that has a module.

    >>> package_of("PIL"), package_of("h5py")
    ('pillow', 'h5py')
    """
    return next((package for package, name in _MODULES.items() if name == module), module)


def satisfies(version: str, wanted: str) -> bool:
    """Whether the numbers of a version keep the bounds that are wanted.

    >>> satisfies("2.14.1+cpu", ">=2.10"), satisfies("2.9", ">=2.10"), satisfies("0.2", "==0.1.0")
    (True, False, False)
    """
    return all(_keeps(_numbers(version), sign, bound) for sign, bound in _BOUND.findall(wanted))


def _dependency(line: str) -> Dependency:
    match = _REQUIREMENT.fullmatch(line.strip())
    if not match:
        raise ValueError(f"the metadata of {PACKAGE} ask for {line!r}, which is no requirement")
    name, wanted, marker = match[1], match[2].replace(" ", ""), match[3] or ""
    extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
    module = None if extra else _MODULES.get(name, name.replace("-", "_"))
    found, state = _look(name, wanted, module)
    return Dependency(name, wanted, found, state, extra[1] if extra else "")


def _look(name: str, wanted: str, module: str | None) -> tuple[str | None, State]:
    """Return the version of a package and its state; its `module` is looked for where it is known."""
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return None, "missing"
    version = metadata.get_all("Version", [""])[0]
    if not version or (module and not _is_there(module)):
        return version or None, "broken"
    return version, "ok" if satisfies(version, wanted) else "unfit"


def _is_there(module: str) -> bool:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return False
    # A folder that lost its files is still found, as a package in several places would be.
    return spec is not None and spec.origin is not None


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in release[1].split(".")] if release else []
    while numbers and not numbers[-1]:  # 2 and 2.0 are one version
        numbers.pop()
    return tuple(numbers)


def _keeps(version: tuple[int, ...], sign: str, text: str) -> bool:
    bound, begins = _numbers(text), text.endswith(".*")
    match sign:
        case ">=":
            return version >= bound
        case "<=":
            return version <= bound
        case ">":
            return version > bound
        case "<":
            return version < bound
        case "~=":
            return version >= bound and version[: text.count(".")] == bound[: text.count(".")]
    same = version[: len(bound)] == bound if begins else version == bound
    return same if sign == "==" else not same
