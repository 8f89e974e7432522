"""Prepare a table of PostgreSQL whose rows lie on other servers, for `ganhash push` and `ganhash query` to use as one.

    python shards.py 48 postgresql://me@front/photos postgresql://me@one/photos postgresql://me@two/photos

48 is the length of the codes in bits. Rows are shared out by their id. Passwords come from the URLs or from PGPASSWORD;
PostgreSQL keeps those of the shards at the front, where its administrators can read them. All is prepared, or nothing.
`--remove` instead removes the table everywhere, with all that is in it.
"""

import argparse
import os
import sys
from contextlib import ExitStack

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

COLUMNS = "code bit({bits}) NOT NULL, path bytea NOT NULL, labels text[] NOT NULL, digest text NOT NULL"


def prepare(front: psycopg.Connection, shards: list[psycopg.Connection], name: str, bits: int, urls: list[str]) -> None:
    """Make a table on each shard, and the one at the front that has the rows of all."""
    whole = "CREATE TABLE {table} (id bigint PRIMARY KEY, " + COLUMNS + ")"
    for shard in shards:
        run(shard, "CREATE EXTENSION IF NOT EXISTS vector")
        run(shard, whole, table=sql.Identifier(name), bits=bits)
    run(front, "CREATE EXTENSION IF NOT EXISTS vector")
    run(front, "CREATE EXTENSION IF NOT EXISTS postgres_fdw")
    parted = "CREATE TABLE {table} (id bigint NOT NULL, " + COLUMNS + ") PARTITION BY HASH (id)"
    run(front, parted, table=sql.Identifier(name), bits=bits)
    for number, url in enumerate(urls):
        facts = conninfo_to_dict(url)
        place = {key: facts[key] for key in ("host", "port", "dbname") if key in facts}
        # With `extensions`, distances are computed and ordered where the rows are.
        place |= {"extensions": "vector", "async_capable": "true", "batch_size": "1000"}
        user = {"user": facts.get("user", ""), "password": facts.get("password") or os.environ.get("PGPASSWORD", "")}
        server = sql.Identifier(f"{name}_{number}")
        wrapped = "CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS ({place})"
        run(front, wrapped, server=server, place=options(place))
        mapped = "CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS ({user})"
        run(front, mapped, server=server, user=options({key: value for key, value in user.items() if value}))
        run(
            front,
            "CREATE FOREIGN TABLE {part} PARTITION OF {table} FOR VALUES WITH (MODULUS {count}, REMAINDER {number})"
            " SERVER {server} OPTIONS (table_name {name})",
            part=sql.Identifier(f"{name}_part_{number}"),
            table=sql.Identifier(name),
            count=len(urls),
            number=number,
            server=server,
            name=name,
        )


def remove(front: psycopg.Connection, shards: list[psycopg.Connection], name: str) -> None:
    """Undo what `prepare` did, whatever there is of it."""
    for server in (front, *shards):
        run(server, "DROP TABLE IF EXISTS {table}", table=sql.Identifier(name))
    for number in range(len(shards)):
        run(front, "DROP SERVER IF EXISTS {server} CASCADE", server=sql.Identifier(f"{name}_{number}"))


def run(on: psycopg.Connection, query: str, /, **parts: sql.Composable | str | int) -> None:
    """Run a query; texts and numbers become what SQL writes for them. An error names the server."""
    named = {key: part if isinstance(part, sql.Composable) else sql.Literal(part) for key, part in parts.items()}
    try:
        on.execute(sql.SQL(query).format(**named))
    except psycopg.Error as error:
        raise SystemExit(f"error: {on.info.host}:{on.info.port}/{on.info.dbname}: {error}") from error


def options(values: dict[str, str]) -> sql.Composed:
    """Return the options of a server or a user as SQL writes them."""
    written = [sql.SQL("{} {}").format(sql.Identifier(key), sql.Literal(value)) for key, value in values.items()]
    return sql.SQL(", ").join(written)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bits", type=int, help="the length of the codes")
    parser.add_argument("front", help="the URL of the server that is asked")
    parser.add_argument("shards", nargs="+", help="the URLs of the servers with the rows, as the front reaches them")
    parser.add_argument("--name", default="ganhash", help="the collection, if not %(default)s")
    parser.add_argument("--remove", action="store_true", help="remove the table and its rows from all servers")
    given = parser.parse_args()
    if given.bits < 1:
        parser.error(f"codes have one bit or more, not {given.bits}")
    with ExitStack() as stack:  # which commits at its end, and undoes all that was done where anything fails
        try:
            front, *shards = [stack.enter_context(psycopg.connect(url)) for url in (given.front, *given.shards)]
        except psycopg.Error as error:
            raise SystemExit(f"error: {error}") from error
        if given.remove:
            remove(front, shards, given.name)
        else:
            prepare(front, shards, given.name, given.bits, given.shards)
    done = "removed from" if given.remove else "prepared on"
    print(f"the table {given.name} is {done} {len(given.shards)} shards and the front", file=sys.stderr)


if __name__ == "__main__":
    main()
