"""A table whose rows lie on two other servers is pushed to and asked as one."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import postgres
from linear_hash import write_bundle
from pictures import paint, paint_classes
from test_encode_command import Printed, run

EXAMPLE = Path(__file__).parents[1] / "examples/scale/shards.py"
BITS = 12


@pytest.fixture(scope="module")
def servers() -> Iterator[list[str]]:
    """The URLs of a front and of two servers behind it."""
    with ExitStack() as stack:
        yield [stack.enter_context(postgres.serve()) for _ in range(3)]


@pytest.fixture
def front(servers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> Iterator[str]:
    """The front, with a prepared table, beside 36 images and their codes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    write_bundle(Path("model"))
    paint_classes(Path("folder"))
    paint(Path("img.png"), (190, 50, 50), seed=7)
    assert run(capsys, "encode", "folder")[0] == 0
    done = prepared(*servers)
    assert done.returncode == 0, done.stderr
    yield servers[0]
    prepared(*servers, "--remove")


def prepared(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLE, str(BITS), *arguments], capture_output=True, text=True)


def rows(url: str) -> int:
    import psycopg

    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM ganhash").fetchone()
    assert found
    return int(found[0])


def pushed(printed: Printed, url: str, *options: str) -> dict[str, Any]:
    code, out, error = run(printed, "push", "--to", url, "--json", *options)
    assert code == 0, error
    record: dict[str, Any] = json.loads(out)
    return {name: record[name] for name in ("added", "changed", "kept", "others")}


def hits(printed: Printed, *options: str) -> list[Any]:
    code, out, error = run(printed, "query", "img.png", "--json", *options)
    assert code == 0, error
    return [(each["path"], each["distance"]) for each in map(json.loads, out.splitlines())]


def test_a_push_shares_the_rows_out_and_a_query_asks_all(front: str, servers: list[str], capsys: Printed) -> None:
    assert pushed(capsys, front) == {"added": 36, "changed": 0, "kept": 0, "others": 0}
    counts = [rows(url) for url in servers]
    assert (counts[0], sum(counts[1:]), min(counts) > 5) == (36, 36, True), counts
    for options in (["-k", "5"], ["-k", "36"], ["--max-distance", "4", "-k", "36"]):
        assert hits(capsys, "--index", front, *options) == hits(capsys, *options)
    measured = [
        json.loads(run(capsys, "evaluate", "--queries", "folder", "--allow-overlap", "--json", *there)[1])
        for there in (["--index", front], ["--codes", "codes.h5"])
    ]
    assert measured[0]["map_at_all"] == measured[1]["map_at_all"]


def test_a_table_is_prepared_everywhere_or_nowhere(front: str, servers: list[str], capsys: Printed) -> None:
    done = prepared(*servers)
    assert (done.returncode, done.stdout) == (1, "")
    shard = servers[1].removeprefix("postgresql://tester@")
    assert done.stderr == f'error: {shard}: relation "ganhash" already exists\n'
    gone = "postgresql://tester@127.0.0.1:1/postgres"
    done = prepared(front, servers[1], gone, "--name", "other")
    assert (done.returncode, "Traceback" in done.stderr, "refused" in done.stderr) == (1, False, True)
    done = prepared(*servers, "--name", "other")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "the table other is prepared on 2 shards and the front\n"
    assert pushed(capsys, front, "--name", "other")["added"] == 36
    assert prepared(*servers, "--name", "other", "--remove").returncode == 0


def test_a_table_that_is_prepared_only_is_no_collection_yet(front: str, capsys: Printed) -> None:
    code, _, error = run(capsys, "query", "img.png", "--index", front)
    assert (code, "make it with `ganhash push codes.h5 --to URL`" in error) == (4, True), error
    code, _, error = run(capsys, "query", "img.png", "--index", front, "--name", "my photos")
    assert (code, "--to URL --name 'my photos'`" in error) == (4, True), error


def test_a_push_again_brings_what_is_new_or_changed(front: str, capsys: Printed) -> None:
    pushed(capsys, front)
    assert pushed(capsys, front) == {"added": 0, "changed": 0, "kept": 36, "others": 0}
    paint(Path("folder/blue/00.png"), (200, 150, 0), seed=6)
    paint(Path("folder/blue/new.png"), (200, 150, 0), seed=6)
    run(capsys, "encode", "folder")
    assert pushed(capsys, front) == {"added": 1, "changed": 1, "kept": 35, "others": 0}
    assert hits(capsys, "--index", front, "-k", "37") == hits(capsys, "-k", "37")


def test_a_prepared_table_is_emptied_and_not_removed(front: str, servers: list[str], capsys: Printed) -> None:
    pushed(capsys, front)
    assert pushed(capsys, front, "--replace") == {"added": 36, "changed": 0, "kept": 0, "others": 0}
    assert sum(map(rows, servers[1:])) == 36


def test_distances_are_ordered_where_the_rows_are(front: str, capsys: Printed) -> None:
    import psycopg

    pushed(capsys, front)
    with psycopg.connect(front) as connection:
        found = connection.execute(
            "EXPLAIN VERBOSE SELECT (code <~> %s::bit(12)) + 0 AS distance, path FROM ganhash"
            " ORDER BY distance, path LIMIT 5",
            ("0" * BITS,),
        ).fetchall()
    asked = [line for (line,) in found if "Remote SQL" in line]
    assert len(asked) == 2
    assert all("ORDER BY" in line for line in asked), found


def test_an_index_on_each_shard_is_used_and_its_recall_told(front: str, servers: list[str], capsys: Printed) -> None:
    import psycopg

    pushed(capsys, front, "-I", "method=ivfflat")
    for url in servers[1:]:
        with psycopg.connect(url) as shard:
            shard.execute("CREATE INDEX ON ganhash USING ivfflat (code bit_hamming_ops) WITH (lists = 2)")
    code, _, error = run(capsys, "query", "img.png", "--index", front)
    assert (code, "approximately: recall " in error) == (0, True), error
    exact = ["--index", front, "-I", "method=exact", "-k", "36"]
    assert hits(capsys, *exact) == hits(capsys, "-k", "36")


def test_a_table_that_was_prepared_for_other_bits_is_told_of(front: str, capsys: Printed) -> None:
    import psycopg

    with psycopg.connect(front) as connection:
        connection.execute("DROP TABLE ganhash")
        connection.execute(
            "CREATE TABLE ganhash (id bigint, code bit(64), path bytea, labels text[], digest text)"
            " PARTITION BY HASH (id)"
        )
    code, _, error = run(capsys, "push", "--to", front)
    assert (code, "was prepared for codes of 64 bits, not of 12" in error) == (2, True), error


def test_a_prepared_table_that_holds_rows_is_somebody_elses(front: str, capsys: Printed) -> None:
    import psycopg

    with psycopg.connect(front) as connection:
        connection.execute("INSERT INTO ganhash VALUES (1, B'000000000000', 'a', '{}', '')")
    code, _, error = run(capsys, "push", "--to", front)
    assert (code, "was not made by ganhash" in error) == (2, True), error
    assert rows(front) == 1


def test_a_shard_that_is_away_is_an_error_and_no_part_of_an_answer(
    front: str, servers: list[str], capsys: Printed
) -> None:
    import psycopg

    pushed(capsys, front)
    with psycopg.connect(front) as connection:
        connection.execute("ALTER SERVER ganhash_1 OPTIONS (SET port '1')")
    for verb in (["query", "img.png", "--index", front], ["push", "--to", front]):
        code, out, error = run(capsys, *verb)
        assert (code, "img" in out) == (4, False), (out, error)
        assert 'could not connect to server "ganhash_1": connection to server at "127.0.0.1", port 1 failed' in error
        assert "CREATE USER MAPPING" in error
