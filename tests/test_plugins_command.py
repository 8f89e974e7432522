"""`ganhash plugins`: lists without importing, shows options, and says whose fault a failure is."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ganhash_cli.app import plugins_app
from ganhash_cli.errors import PluginError, UsageError
from ganhash_cli.plugin import conformance
from stranger import install

CODE = '''
class Plugin:
    """A network of one layer.

    More words.
    """

    def __init__(self, *, width: int = 8, weights: str | None = None): ...
'''


def run(*arguments: str) -> Result:
    return CliRunner().invoke(plugins_app, arguments)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", CODE)


@pytest.mark.usefixtures("stranger")
def test_list_prints_kind_name_package_and_version() -> None:
    assert "backbone\todd\tstranger\t1.2" in run("list").stdout.splitlines()


@pytest.mark.usefixtures("stranger")
def test_list_imports_no_plugin() -> None:
    run("list")
    assert "stranger" not in sys.modules


@pytest.mark.usefixtures("stranger")
def test_list_as_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert {"schema": 1, "kind": "backbone", "name": "odd", "package": "stranger", "version": "1.2"} in lines


@pytest.mark.usefixtures("stranger")
def test_show_prints_the_docstring_which_tells_of_the_options_and_their_defaults() -> None:
    assert run("show", "backbone", "odd").stdout.splitlines() == [
        "backbone odd, from stranger 1.2",
        "A network of one layer.",
        "",
        "More words.",
        "-B width\tint\t8",
        "-B weights\tstr or none\tNone",
    ]


@pytest.mark.usefixtures("stranger")
def test_show_as_json_has_types_and_defaults() -> None:
    assert json.loads(run("show", "backbone", "odd", "--json").stdout) == {
        "schema": 1,
        "kind": "backbone",
        "name": "odd",
        "package": "stranger",
        "version": "1.2",
        "summary": "A network of one layer.",
        "options": [
            {"name": "width", "type": "int", "default": 8},
            {"name": "weights", "type": "str or none", "default": None},
        ],
    }


def test_show_of_a_plugin_that_fails_to_import_is_a_plugin_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "raise RuntimeError('broken')")
    assert isinstance(run("show", "backbone", "odd").exception, PluginError)


def test_show_of_an_unknown_kind_is_a_usage_error() -> None:
    assert isinstance(run("show", "backbnoe", "odd").exception, UsageError)


def test_escape_sequences_in_a_summary_do_not_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", 'def Plugin():\n    "\\x1b[31mred"\n')
    assert "\x1b" not in run("show", "backbone", "odd").stdout


def test_check_prints_every_promise_and_what_came_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", "from mutants import Backbone as Plugin")
    result = run("check", "backbone", "odd")
    lines = result.stdout.splitlines()
    assert lines[0] == "can_be_built\tpassed\t"
    assert len(lines) == len(conformance.checks("backbone"))


def test_check_of_a_plugin_that_breaks_its_contract_is_a_plugin_error_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "from mutants import MiscountsItsFeatures as Plugin")
    result = run("check", "backbone", "odd")
    assert isinstance(result.exception, PluginError)
    assert "'odd' of package stranger does not keep its contract: " in result.exception.message
    assert "features_have_the_promised_shape\tfailed\tthree images gave features of shape (3, 8)" in result.stdout


def test_check_hands_options_over_and_refuses_those_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "stranger", "from mutants import Adversarial as Plugin", kind="generator")
    assert run("check", "generator", "odd", "-G", "width=5").exception is None
    assert isinstance(run("check", "generator", "odd", "-G", "widht=5").exception, UsageError)


def test_check_as_json_is_one_outcome_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "stranger", "from mutants import SelfTrained as Plugin", kind="generator")
    outcomes = [json.loads(line) for line in run("check", "generator", "odd", "--json").stdout.splitlines()]
    assert {"schema": 1, "check": "critic_learns", "status": "skipped", "reason": "it has no critic"} in outcomes
