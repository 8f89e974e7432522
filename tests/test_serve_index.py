"""`ganhash serve --index URL` from the outside: the answers of the codes file, by a real PostgreSQL that goes away."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import postgres
from linear_hash import write_bundle
from serving import FIRST, Served, serving, work_in
from test_encode_command import Printed, run


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL with a database of its own, and a folder to be in with a model, 36 images and their codes."""
    with pytest.MonkeyPatch.context() as patch, postgres.serve() as server:
        patch.setenv("PGPASSWORD", postgres.PASSWORD)
        folder = tmp_path_factory.mktemp("served")
        with contextlib.chdir(folder):
            work_in(folder)
            execute(server, "CREATE DATABASE photos")
            yield server.replace("/postgres", "/photos")


@pytest.fixture(scope="module")
def served(url: str) -> Iterator[Served]:
    from ganhash_cli.engine import pusher, remote
    from ganhash_cli.engine.progress import finish

    with remote.opened(url) as opened:
        finish(pusher.push(Path("codes.h5"), opened))
    with serving("--index", url) as running:
        yield running


@pytest.fixture(scope="module")
def of_the_file(url: str) -> Iterator[Served]:
    with serving() as running:
        yield running


def execute(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def names(hits: list[dict[str, Any]]) -> list[tuple[int, int, str, list[str], str]]:
    return [(hit["rank"], hit["distance"], hit["path"], hit["labels"], hit["code"]) for hit in hits]


@pytest.mark.parametrize("view", ["limit=5", "limit=500", "offset=3&limit=4", "max_distance=3&limit=9", "offset=99"])
def test_the_hits_are_those_of_the_codes_file(served: Served, of_the_file: Served, view: str) -> None:
    here, there = (each.ask(f"/api/query?{view}", FIRST.read_bytes()).json for each in (of_the_file, served))
    assert names(there["hits"]) == names(here["hits"])
    assert (there["code"], there["searched"]) == (here["code"], 36)
    assert there["complete"] == (there["total"] == here["total"])
    assert there["total"] <= here["total"]


def test_a_further_page_and_a_picture_come_from_an_answer(served: Served) -> None:
    found = served.ask("/api/query?limit=3", FIRST.read_bytes()).json
    later = served.ask(f"/api/neighbours?code={found['code']}&offset=3&limit=2").json
    assert [hit["rank"] for hit in later["hits"]] == [4, 5]
    assert (found["complete"], found["total"]) == (False, 4)
    picture = served.ask(found["hits"][0]["thumbnail"])
    assert (picture.status, picture.body[:2]) == (200, b"\xff\xd8")


def test_the_image_of_a_path_is_that_of_the_codes_file(served: Served, of_the_file: Served) -> None:
    found = served.ask("/api/images?limit=5").json["images"]
    assert len({image["path"] for image in found}) == 5
    for image in found:
        [here], [there] = (
            each.ask(f"/api/images?path={image['path']}").json["images"] for each in (of_the_file, served)
        )
        assert there == image
        assert {name: here[name] for name in ("path", "labels", "code")}.items() <= there.items()
    assert served.ask("/api/images?path=gone").status == 404


def test_about_says_where_it_is_searched_without_a_password(served: Served, url: str) -> None:
    about = served.ask("/api/about").json
    assert (about["images"], about["labels"], about["note"]) == (36, [], f"searched by ganhash at {url}")


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/api/neighbours?code={code}&label=red", 400, "searched whole"),
        ("/api/neighbours?code={code}&offset=9990&limit=11", 400, "the first 10,000"),
        ("/api/neighbours?code=zz", 400, "hexadecimal"),
        ("/thumbnail/1", 404, "no image 1"),
        ("/thumbnail/9223372036854775807", 404, "no image"),
        ("/thumbnail/9223372036854775808", 404, "whole number"),
        ("/thumbnail/1?codes=other", 409, "replaced"),
    ],
)
def test_what_cannot_be_answered_is_refused(served: Served, address: str, status: int, said: str) -> None:
    code = served.ask("/api/query?limit=1", FIRST.read_bytes()).json["code"]
    answer = served.ask(address.format(code=code))
    assert (answer.status, said in answer.json["error"]) == (status, True), answer.body


def test_while_the_database_is_away_it_answers_503_and_goes_on_when_it_is_back(served: Served, url: str) -> None:
    manager = url.replace("/photos", "/postgres")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'photos'"
    execute(manager, "ALTER DATABASE photos ALLOW_CONNECTIONS false", cut)
    try:
        answer = served.ask("/api/query?limit=1", FIRST.read_bytes())
        assert (answer.status, "not currently accepting connections" in answer.json["error"]) == (503, True), (
            answer.body
        )
        assert served.ask("/healthz").status == 200
    finally:
        execute(manager, "ALTER DATABASE photos ALLOW_CONNECTIONS true")
    assert served.ask("/api/query?limit=1", FIRST.read_bytes()).status == 200


def test_a_connection_that_the_database_closed_costs_no_answer(served: Served, url: str) -> None:
    manager = url.replace("/photos", "/postgres")
    assert served.ask("/api/about").status == 200
    execute(manager, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'photos'")
    answer = served.ask("/api/about")
    assert answer.status == 200, answer.body


def test_a_path_that_leads_out_of_the_root_gives_no_picture(served: Served, url: str) -> None:
    Path("secret.png").write_bytes(FIRST.read_bytes())
    number = served.ask("/api/query?limit=1", FIRST.read_bytes()).json["hits"][0]["id"]
    execute(url, f"UPDATE ganhash SET path = '../secret.png' WHERE id = {number}")
    try:
        answer = served.ask(f"/thumbnail/{number}")
        assert (answer.status, "outside its root" in answer.json["error"]) == (503, True)
    finally:
        execute(url, f"UPDATE ganhash SET path = 'blue/00.png' WHERE id = {number}")


def test_codes_of_another_model_that_take_its_place_are_not_searched(url: str, served: Served, capsys: Printed) -> None:
    write_bundle(Path("other"), seed=1)
    run(capsys, "encode", "folder", "--model", "other", "-o", "other.h5", "--overwrite")
    execute(url, "ALTER TABLE ganhash RENAME TO kept")
    try:
        assert served.ask("/api/about").status == 503
        assert run(capsys, "push", "other.h5", "--to", url)[0] == 0
        answer = served.ask("/api/query?limit=1", FIRST.read_bytes())
        assert (answer.status, "was made by the model" in answer.json["error"]) == (503, True)
        assert run(capsys, "serve", "--index", url, "--port", "0")[0] == 5
    finally:
        execute(url, "DROP TABLE IF EXISTS ganhash", "ALTER TABLE kept RENAME TO ganhash")
    assert served.ask("/api/about").status == 200


def test_an_approximate_index_tells_its_recall(url: str, capsys: Printed) -> None:
    run(capsys, "push", "--to", url, "--name", "near", "-I", "method=ivfflat", "-I", "lists=6")
    with serving("--index", url, "--name", "near", "-I", "probes=1") as running:
        note = running.ask("/api/query?limit=1", FIRST.read_bytes()).json["note"]
    measured = r"approximately: recall [01]\.\d{3} of the nearest 60, against an exact search for 10 of its images"
    assert re.search(measured, note), note


def test_evaluate_gives_the_figures_of_the_file(url: str, served: Served, capsys: Printed) -> None:
    options = ["--queries", "folder", "--allow-overlap", "--json"]
    figures = [run(capsys, "evaluate", *options, *where)[1] for where in ([], ["--index", url])]
    assert json.loads(figures[0]) == json.loads(figures[1])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--index", "postgresql://me:sesame@127.0.0.1:1/db"], 4, "refused"),
        (["--index", "nowhere"], 2, "nowhere is no URL"),
        (["--index", "redis://host"], 2, "no index takes"),
    ],
)
def test_what_is_not_there_keeps_the_server_from_starting(
    arguments: list[str], code: int, said: str, url: str, capsys: Printed
) -> None:
    ended, _, error = run(capsys, "serve", "--port", "0", *arguments)
    assert (ended, said in error, "sesame" in error) == (code, True, False), error
