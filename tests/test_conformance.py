"""The conformance kit: each check finds its own fault and no other, and what keeps the contract passes."""

import io
import random
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin import conformance, registry
from ganhash_plugins.backbones.smallconv import SmallConv
from mutants import HEALTHY, MUTANTS, Backbone, CountsItsCopies, DrawsFromNumpy, Mutant, Prints, TakesAnotherThread
from stranger import install

BUILT_IN: dict[tuple[Any, str], dict[str, Any]] = {
    ("backbone", "efficientnet_lite0"): {"pretrained": False},
    ("backbone", "smallconv"): {},
    ("backbone", "timm"): {"model": "resnet18", "pretrained": False},
    ("generator", "dcgan"): {},
    ("generator", "ddpm"): {"drawing_steps": 3, "base": 8},
    ("generator", "progan"): {"base": 8},
    ("generator", "sngan"): {},
    ("generator", "sngan-resnet"): {"base": 8, "critic_base": 8},
    ("generator", "tiny"): {},
    ("generator", "wgan-gp"): {"base": 8, "critic_base": 8},
}


def names(outcomes: list[conformance.Outcome]) -> list[str]:
    return [outcome.check for outcome in outcomes]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_fails_its_own_check_and_no_other(mutant: Mutant) -> None:
    report = conformance.check(mutant.kind, mutant.factory)
    assert names(report.failed) == [mutant.check], report.failed


@pytest.mark.parametrize("kind", ["backbone", "generator"])
def test_every_check_has_a_mutant(kind: str) -> None:
    assert {mutant.check for mutant in MUTANTS if mutant.kind == kind} == {*map(str, conformance.checks(kind))}


@pytest.mark.parametrize(("kind", "factory"), HEALTHY)
def test_what_keeps_the_contract_fails_nothing(kind: str, factory: Callable[..., Any]) -> None:
    assert conformance.check(kind, factory).failed == []


def test_every_check_is_passed_by_something_healthy() -> None:
    reports = [(kind, conformance.check(kind, factory)) for kind, factory in HEALTHY]
    passed = {(kind, name) for kind, report in reports for name in names(report.passed)}
    assert passed == {(kind, str(check)) for kind in ("backbone", "generator") for check in conformance.checks(kind)}


@pytest.mark.parametrize("check", conformance.checks("backbone"), ids=str)
def test_a_plugins_own_tests_are_these_three_lines(check: conformance.Check) -> None:
    check(SmallConv, width=8)


def test_every_built_in_plugin_is_held_to_the_contract() -> None:
    kinds: tuple[registry.Kind, ...] = ("backbone", "generator")  # test_index_conformance.py has the indexes
    installed = {(kind, each.name) for kind in kinds for each in registry.plugins(kind)}
    assert installed == set(BUILT_IN)


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param(key, marks=pytest.mark.slow if key[1] in ("timm", "ddpm", "efficientnet_lite0") else ())
        for key in BUILT_IN
    ],
    ids="-".join,
)
def test_a_built_in_plugin_keeps_the_contract(plugin: tuple[Any, str]) -> None:
    report = conformance.check(*plugin, **BUILT_IN[plugin])
    assert report.failed == []
    assert len(report.skipped) <= 5, report.skipped  # all that a critic does, for one that has none


@pytest.mark.parametrize(("kind", "factory"), HEALTHY)
def test_what_is_skipped_says_why(kind: Any, factory: Callable[..., Any]) -> None:
    assert all(outcome.reason for outcome in conformance.check(kind, factory).skipped)


def test_the_report_counts_and_names() -> None:
    report = conformance.check("backbone", type("Loud", (Prints, Backbone), {}))
    assert str(report) == "19 passed, 1 failed, 0 skipped"
    assert report.failed == [conformance.Outcome("prints_nothing", "failed", "it printed 'hello\\nhello\\n'")]


def test_a_broken_promise_is_an_assertion_that_says_what_was_found() -> None:
    [check] = [each for each in conformance.checks("backbone") if str(each) == "prints_nothing"]
    with pytest.raises(AssertionError, match=r"it printed 'hello"):
        check(type("Loud", (Prints, Backbone), {}))


def test_a_factory_is_checked_with_the_options_it_is_given() -> None:
    def factory(*, width: int = 8) -> Backbone:
        assert width == 6
        return Backbone(width=width)

    assert conformance.check("backbone", factory, width=6).failed == []


def test_what_cannot_be_built_at_all_fails_one_check_and_skips_what_needs_a_network() -> None:
    def factory(*, width: int = 8) -> Backbone:
        raise SystemExit(3)

    report = conformance.check("backbone", factory)
    assert [(each.check, each.reason) for each in report.failed] == [("can_be_built", "SystemExit: 3")]
    assert all("it cannot be built: SystemExit: 3" in each.reason for each in report.skipped)


def test_ctrl_c_ends_the_checks() -> None:
    def factory(*, width: int = 8) -> Backbone:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conformance.check("backbone", factory)


def test_an_installed_plugin_is_checked_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", "from mutants import Backbone as Plugin")
    assert conformance.check("backbone", "odd").failed == []


def test_an_unknown_name_and_an_unknown_kind_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'smallconv'"):
        conformance.check("backbone", "smalconv")
    with pytest.raises(UsageError, match="no kind of plugin named 'backbnoe'"):
        conformance.checks("backbnoe")  # type: ignore[arg-type]  # a wrong kind is what it is about


def test_a_plugin_that_cannot_be_imported_has_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", "raise ImportError('no such thing')")
    with pytest.raises(PluginError, match="ImportError: no such thing"):
        conformance.check("backbone", "odd")


@pytest.mark.parametrize(
    "fault", [TakesAnotherThread, DrawsFromNumpy, CountsItsCopies, Prints], ids=lambda f: f.__name__
)
def test_checking_leaves_the_process_as_it_was(fault: type) -> None:
    def state() -> list[Any]:
        torch_state = torch.get_rng_state().tolist(), torch.get_num_threads(), torch.is_grad_enabled()
        return [*torch_state, random.getstate(), str(np.random.get_state())]

    before = state()
    with redirect_stdout(io.StringIO()) as printed:
        conformance.check("backbone", type("Faulty", (fault, Backbone), {}))
    assert (state(), printed.getvalue()) == (before, "")
