"""The conformance kit for indexes: each check finds its own fault and no other, and what keeps the contract passes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import postgres
from ganhash_cli.plugin import conformance, registry
from ganhash_plugins.indexes.pgvector import PgVector
from memory_index import HEALTHY, KEPT, MUTANTS, URL, Memory
from mutants import Mutant


def names(outcomes: list[conformance.Outcome]) -> list[str]:
    return [outcome.check for outcome in outcomes]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_fails_its_own_check_and_no_other(mutant: Mutant) -> None:
    report = conformance.check("index", mutant.factory, url=URL)
    assert names(report.failed) == [mutant.check], report.failed


def test_every_check_has_a_mutant() -> None:
    assert {mutant.check for mutant in MUTANTS} == {*map(str, conformance.checks("index"))}


@pytest.mark.parametrize("factory", HEALTHY)
def test_what_keeps_the_contract_fails_nothing(factory: Callable[..., Any]) -> None:
    assert conformance.check("index", factory, url=URL).failed == []


def test_every_check_is_passed_by_something_healthy() -> None:
    passed = {name for factory in HEALTHY for name in names(conformance.check("index", factory, url=URL).passed)}
    assert passed == {*map(str, conformance.checks("index"))}


def test_the_checks_leave_no_collection_behind() -> None:
    KEPT.clear()
    Memory(URL, "mine").create(12, {"fingerprint": "my own"})
    conformance.check("index", Memory, url=URL)
    assert [*KEPT] == [(URL, "mine")]


def test_what_cannot_be_opened_fails_one_check_and_skips_what_needs_it() -> None:
    def factory(url: str, name: str, *, limit: int = 3) -> Memory:
        raise OSError("nobody is there")

    factory.schemes = ("memory",)  # type: ignore[attr-defined]
    report = conformance.check("index", factory, url=URL)
    assert [(each.check, each.reason) for each in report.failed] == [("can_be_opened", "OSError: nobody is there")]


def test_every_built_in_index_is_held_to_the_contract() -> None:
    assert {plugin.name for plugin in registry.plugins("index")} == {"pgvector", "milvus"}  # test_milvus.py


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres.serve() as url:
        yield url


@pytest.mark.parametrize("method", ["auto", "exact", "ivfflat", "hnsw"])
@pytest.mark.parametrize("check", conformance.checks("index"), ids=str)
def test_pgvector_keeps_the_contract(
    check: conformance.Check, method: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    check(PgVector, url=server, method=method)
