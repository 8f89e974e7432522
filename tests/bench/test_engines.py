"""Codes in another program: pushing and asking through ganhash, beside the fastest way of the program's own client."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

import milvus_server
import postgres
from bench import crowds
from bench.measure import Report, Row, seconds
from ganhash_cli.engine import pusher, remote
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes import open_codes
from ganhash_cli.engine.progress import finish
from ganhash_plugins.indexes.postgres_text import bit_strings

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

COUNT, BITS, K, ROUNDS, QUERIES = 1_000_000, 64, 10, 3, 20


class Rows(NamedTuple):
    """What an index holds of images, column by column."""

    ids: list[int]
    codes: Codes
    paths: list[bytes]
    digests: list[str]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "codes.h5"
    crowds.write(path, crowds.clustered(COUNT, BITS), BITS)
    return path


@pytest.fixture(scope="module")
def rows(codes: Path) -> Rows:
    with open_codes(codes) as stored:
        paths = list(stored.paths_of(0, len(stored)))
        digests = [f"{number:032x}" for number in range(len(stored))]
        return Rows([pusher.image_id(path) for path in paths], stored.codes[:, : BITS // 8], paths, digests)


@pytest.fixture
def postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    with postgres.serve() as url:
        yield url


@pytest.fixture
def milvus() -> Iterator[str]:
    with milvus_server.serve() as url:
        yield url


def test_postgresql(postgresql: str, codes: Path, rows: Rows, report: Report) -> None:
    """The client copies rows that lie ready in memory into a table with a primary key."""
    import psycopg

    connection = psycopg.connect(postgresql, autocommit=True)
    written = bit_strings(rows.codes, BITS)

    def push() -> None:
        connection.execute("DROP TABLE IF EXISTS raw")
        connection.execute(
            "CREATE TABLE raw (id bigint PRIMARY KEY, code bit(64) NOT NULL, path bytea NOT NULL,"
            " labels text[] NOT NULL, digest text NOT NULL)"
        )
        with connection.cursor() as cursor, cursor.copy("COPY raw FROM STDIN") as stream:
            for number, code, path, digest in zip(rows.ids, written, rows.paths, rows.digests, strict=True):
                stream.write_row((number, code, path, [], digest))
        connection.execute("ANALYZE raw")

    def ask(code: Codes) -> None:
        query = (
            "SELECT code <~> %s::bit(64) AS distance, id, path, labels FROM ganhash ORDER BY distance, path LIMIT %s"
        )
        connection.execute(query, (bit_strings(code[None], BITS)[0], K)).fetchall()

    with connection:
        _compare("PostgreSQL", postgresql, codes, push, ask, report)


def test_milvus(milvus: str, codes: Path, rows: Rows, report: Report) -> None:
    """The client inserts rows that lie ready in memory, in requests as large as ours, and searches them."""
    import pymilvus

    client = pymilvus.MilvusClient(uri=milvus.replace("milvus://", "http://"))
    ready = [
        {"id": number, "code": code.tobytes(), "path": path.decode(), "labels": "[]", "digest": digest}
        for number, code, path, digest in zip(rows.ids, rows.codes, rows.paths, rows.digests, strict=True)
    ]

    def push() -> None:
        client.drop_collection("raw")
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", pymilvus.DataType.INT64, is_primary=True)
        schema.add_field("code", pymilvus.DataType.BINARY_VECTOR, dim=BITS)
        for text in ("path", "labels", "digest"):
            schema.add_field(text, pymilvus.DataType.VARCHAR, max_length=65535)
        index = client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        client.create_collection("raw", schema=schema, index_params=index, consistency_level="Strong")
        for start in range(0, COUNT, pusher.BATCH):
            client.insert("raw", ready[start : start + pusher.BATCH])
        client.query("raw", filter="", output_fields=["count(*)"])

    def ask(code: Codes) -> None:
        client.search(remote.NAME, [code.tobytes()], limit=K, output_fields=["path", "labels"])

    _compare("Milvus", milvus, codes, push, ask, report)


def _compare(
    name: str, url: str, codes: Path, push: Callable[[], None], ask: Callable[[Codes], None], report: Report
) -> None:
    """Push and ask in turn, ganhash and the bare client; asked are the same rows, those that ganhash brought."""
    with remote.opened(url) as opened:
        ours, peer = seconds(ROUNDS, lambda: finish(pusher.push(codes, opened, replace=True)), push)
        what = f"push to {name}, {COUNT:,} codes of {BITS} bits"
        report.add(Row(what, "images/s", "higher", COUNT / ours, COUNT / peer, None, 0.7, ratio=True))
        queries = crowds.clustered(QUERIES, BITS, seed=1)[:, : BITS // 8]
        with opened.asking() as index:
            asked = [seconds(1, partial(index.search, code, K), partial(ask, code)) for code in queries]
        ours, peer = (1000 * statistics.median(column) for column in zip(*asked, strict=True))
        what = f"exact query of {name}, {COUNT:,} codes of {BITS} bits"
        report.add(Row(what, "ms", "lower", ours, peer, None, 1.2, ratio=True))
