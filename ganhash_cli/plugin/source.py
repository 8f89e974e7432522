"""Reads a plugin's source as text: where it lies and which options it writes down; runs none of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from ganhash_cli.plugin.options import Value


def module_spec(module: str) -> ModuleSpec | None:
    """Find a module by its dotted name without importing it, nor the packages above it; None where it is not there.

    `importlib.util.find_spec` would run the packages above.
    """
    spec, place, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        if (spec := _ask_finders(name, place)) is None:
            return None
        # An empty place, unlike None, is searched for nothing: a module that is no package has none below it.
        place = spec.submodule_search_locations or []
    return spec


def written_options(file: Path, name: str) -> dict[str, Value]:
    """Read which options the class or function `name` of a source file has, with their defaults.

    None stands for a default that is no plain value. Nothing is found where the constructor is inherited.
    Raises `OSError`, `SyntaxError` or `ValueError` where the file cannot be read as Python.
    """
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return {
                argument.arg: _plain(default)
                for argument, default in zip(*_keywords(node), strict=True)
                if default is not None
            }
    return {}


def _ask_finders(name: str, place: Sequence[str] | None) -> ModuleSpec | None:
    specs = (finder.find_spec(name, place) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in specs if spec is not None), None)


def _keywords(node: ast.FunctionDef | ast.ClassDef) -> tuple[list[ast.arg], list[ast.expr | None]]:
    """Return the keyword-only arguments of a function, or of a class's constructor, and their defaults."""
    if isinstance(node, ast.FunctionDef):
        return node.args.kwonlyargs, node.args.kw_defaults
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return _keywords(inner)
    return [], []


def _plain(default: ast.expr) -> Value:
    try:
        value = ast.literal_eval(default)
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, bool | int | float | str) else None
