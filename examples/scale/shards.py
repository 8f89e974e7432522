"""Prepare a table of PostgreSQL whose rows lie on other servers, for `ganhash push` and `ganhash query` to use as one.

    python shards.py 48 postgresql://me@front/photos postgresql://me@one/photos postgresql://me@two/photos

48 is the length of the codes in bits. Rows are shared out by their id. Passwords come from the URLs or from PGPASSWORD;
PostgreSQL keeps those of the shards at the front, where its administrators can read them.
"""

import argparse
import os

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

COLUMNS = "code bit({bits}) NOT NULL, path bytea NOT NULL, labels text[] NOT NULL, digest text NOT NULL"


def prepare_shard(url: str, table: sql.Identifier, bits: int) -> None:
    """Make the table that holds a part of the rows."""
    with psycopg.connect(url) as shard:
        shard.execute("CREATE EXTENSION IF NOT EXISTS vector")
        query = sql.SQL("CREATE TABLE {table} (id bigint PRIMARY KEY, " + COLUMNS + ")")
        shard.execute(query.format(table=table, bits=sql.Literal(bits)))


def prepare_front(url: str, name: str, bits: int, shards: list[str]) -> None:
    """Make the table that has the rows of all shards, and tell the server how these are reached."""
    table = sql.Identifier(name)
    with psycopg.connect(url) as front:
        front.execute("CREATE EXTENSION IF NOT EXISTS vector")
        front.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
        query = sql.SQL("CREATE TABLE {table} (id bigint NOT NULL, " + COLUMNS + ") PARTITION BY HASH (id)")
        front.execute(query.format(table=table, bits=sql.Literal(bits)))
        for number, shard in enumerate(shards):
            facts = conninfo_to_dict(shard)
            place = {key: facts[key] for key in ("host", "port", "dbname") if key in facts}
            # With `extensions`, distances are computed and ordered where the rows are.
            place |= {"extensions": "vector", "async_capable": "true", "batch_size": "1000"}
            user = {"user": facts["user"], "password": facts.get("password") or os.environ.get("PGPASSWORD", "")}
            server, part = sql.Identifier(f"{name}_{number}"), sql.Identifier(f"{name}_part_{number}")
            for query in (
                sql.SQL("CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({place})"),
                sql.SQL("CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({user})"),
                sql.SQL(
                    "CREATE FOREIGN TABLE {part} PARTITION OF {table} FOR VALUES WITH (MODULUS {count}, REMAINDER"
                    " {number}) SERVER {server} OPTIONS (table_name {name})"
                ),
            ):
                front.execute(
                    query.format(
                        table=table,
                        part=part,
                        server=server,
                        name=sql.Literal(name),
                        place=options(place),
                        user=options(user),
                        count=sql.Literal(len(shards)),
                        number=sql.Literal(number),
                    )
                )


def options(values: dict[str, str]) -> sql.Composed:
    """Return the options of a server or a user as SQL writes them."""
    written = [sql.SQL("{} {}").format(sql.Identifier(key), sql.Literal(value)) for key, value in values.items()]
    return sql.SQL(", ").join(written)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bits", type=int, help="the length of the codes")
    parser.add_argument("front", help="the URL of the server that is asked")
    parser.add_argument(
        "shards", nargs="+", help="the URLs of the servers that hold the rows, as the front reaches them"
    )
    parser.add_argument("--name", default="ganhash", help="the collection, if not %(default)s")
    given = parser.parse_args()
    for shard in given.shards:
        prepare_shard(shard, sql.Identifier(given.name), given.bits)
    prepare_front(given.front, given.name, given.bits, given.shards)
    print(
        f"{given.name} has {len(given.shards)} shards; now: ganhash push codes.h5 --to {given.front.rpartition('@')[2]}"
    )


if __name__ == "__main__":
    main()
