"""PostgreSQL with pgvector: codes as `bit(n)`, one table a collection, searched by its Hamming operator `<~>`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ganhash_plugins.indexes.facts import facts_in, text_of
from ganhash_plugins.indexes.postgres_text import bit_strings, code_of, copy_rows

Image = tuple[NDArray[np.uint8], bytes, tuple[str, ...]]
Neighbour = tuple[int, int, bytes, tuple[str, ...]]
Method = Literal["auto", "exact", "ivfflat", "hnsw"]

_LONGEST_NAME = 48  # bytes; PostgreSQL cuts names at 63, and indexes are named after the table
_MOST_CANDIDATES = 1000  # that hnsw.ef_search can be
_TURN = 0x67616E68617368  # "ganhash", the advisory lock under which tables and indexes are made, one at a time
_LEAST_VERSION = (0, 7)  # of pgvector, since which it knows `<~>`
_CONNECT_SECONDS = 10
_COLUMNS = {"id": "bigint", "path": "bytea", "labels": "text[]", "digest": "text"}  # beside `code`
_PIECE = 2048  # images that are sent at a time


class PgVector:
    """A table of PostgreSQL with the extension pgvector, at a URL as libpq takes it.

    An empty table that was prepared for it, with these very columns and no comment, is filled as it is: its partitions
    may lie on other servers.

    `method` is how it is searched: `exact`, by an `ivfflat` or an `hnsw` index, which a push then builds, or `auto`, by
    whichever index there is. `lists` of IVFFlat, 0 for what pgvector advises, are built and `probes` searched; of HNSW
    `m` and `ef_construction` are for building and `ef_search` is for searching.
    """

    schemes = ("postgresql", "postgres")
    ordered = True

    def __init__(
        self,
        url: str,
        name: str,
        *,
        method: str = "auto",
        lists: int = 0,
        probes: int = 16,
        m: int = 16,
        ef_construction: int = 64,
        ef_search: int = 100,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"there is no method {method!r}", f"it is one of {', '.join(get_args(Method))}")
        for option, value, least, most in (
            *(("lists", lists, 0, 32768), ("probes", probes, 1, 32768), ("m", m, 2, 100)),
            *(("ef_construction", ef_construction, 4, 1000), ("ef_search", ef_search, 1, _MOST_CANDIDATES)),
        ):
            if not least <= value <= most:
                raise ValueError(f"{option}={value} is not between {least} and {most}")
        if not 0 < len(name.encode()) <= _LONGEST_NAME or "\0" in name:
            raise ValueError(f"a table cannot be called {name!r}", f"use 1 to {_LONGEST_NAME} bytes")
        try:
            import psycopg
        except ImportError as error:
            raise ImportError("the package psycopg is not installed", "pip install 'ganhash[pgvector]'") from error
        from psycopg import sql

        self._driver = psycopg
        self._method, self._probes, self._ef_search = method, probes, ef_search
        self._building = {"ivfflat": {"lists": lists}, "hnsw": {"m": m, "ef_construction": ef_construction}}
        self._name = name
        self._table = sql.Identifier(name)
        with self._faults():
            self._connection = psycopg.connect(url, autocommit=True, **_defaults(psycopg, url))

    @property
    def exact(self) -> bool:
        """Whether no index is used."""
        return self._method == "exact" or self._built() is None

    def facts(self) -> dict[str, str] | None:
        """Return the facts, which are the table's comment."""
        with self._faults():
            # From the table's row, so that both are of one moment: another push may be creating them.
            query = "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)"
            row = self._one(query, self._quoted())
            if row is None or (row[0] is None and self._prepared() is not None):
                return None
        return facts_in(row[0], f"table {self._name!r}")

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        """Create the table where none was prepared, and the extension where the database lacks it."""
        with self._faults(), self._in_turn():
            if self.facts() is not None:
                raise ValueError(f"there is a table {self._name!r} already")
            self._require_extension()
            prepared = self._prepared()
            if prepared is None:
                self._run(
                    "CREATE TABLE {table} (id bigint PRIMARY KEY, code bit({bits}) NOT NULL, path bytea NOT NULL,"
                    " labels text[] NOT NULL, digest text NOT NULL)",
                    bits=bits,
                )
            elif prepared != bits:
                raise ValueError(f"the table {self._name!r} was prepared for codes of {prepared} bits, not of {bits}")
            self._run("COMMENT ON TABLE {table} IS {facts}", facts=text_of(facts))

    def add(
        self,
        ids: Sequence[int],
        codes: NDArray[np.uint8],
        paths: Sequence[bytes],
        labels: Sequence[tuple[str, ...]],
        digests: Sequence[str],
    ) -> None:
        """Copy the rows into the table; where some are there, by way of a table of their own, over the old ones.

        In a table that others have added columns to, these stay as they are.
        """
        with self._faults():
            bits = self._bits()

            def rows() -> Iterator[bytes]:  # some at a time, so that the server reads while the next are made
                for start in range(0, len(ids), _PIECE):
                    part = slice(start, start + _PIECE)
                    texts = bit_strings(codes[part], bits)
                    yield copy_rows(ids[part], texts, paths[part], labels[part], digests[part])

            try:
                with self._connection.transaction():
                    self._copy(self._name, rows())
            except self._driver.errors.UniqueViolation:
                with self._connection.transaction():
                    self._run(
                        "CREATE TEMPORARY TABLE ganhash_incoming ON COMMIT DROP AS"
                        " SELECT id, code, path, labels, digest FROM {table} WITH NO DATA"
                    )
                    self._copy("ganhash_incoming", rows())
                    # In two steps, since partitions on other servers know no ON CONFLICT DO UPDATE.
                    self._run(
                        "UPDATE {table} AS old SET code = new.code, path = new.path, labels = new.labels,"
                        " digest = new.digest FROM ganhash_incoming AS new WHERE old.id = new.id"
                    )
                    self._run(
                        "INSERT INTO {table} (id, code, path, labels, digest)"
                        " SELECT id, code, path, labels, digest FROM ganhash_incoming ON CONFLICT DO NOTHING"
                    )

    def finish(self) -> None:
        """Build the index that `method` asks for, where there is none yet."""
        with self._faults():
            if self._method in self._building:
                with self._in_turn():
                    self._build(self._method)
            self._run("ANALYZE {table}")

    def digests(self, ids: Sequence[int]) -> list[str | None]:
        """Look the ids up."""
        with self._faults():
            known = dict(self._all("SELECT id, digest FROM {table} WHERE id = ANY(%s)", list(ids)))
        return [known.get(number) for number in ids]

    def ids(self, first: int, most: int) -> list[int]:
        """Walk along the primary key."""
        with self._faults():
            rows = self._all("SELECT id FROM {table} WHERE id >= %s ORDER BY id LIMIT %s", first, most)
        return [number for (number,) in rows]

    def images(self, ids: Sequence[int]) -> list[Image | None]:
        """Look the ids up."""
        with self._faults():
            rows = self._all("SELECT id, code::text, path, labels FROM {table} WHERE id = ANY(%s)", list(ids))
        known = {number: (code_of(text), bytes(path), tuple(labels)) for number, text, path, labels in rows}
        return [known.get(number) for number in ids]

    def search(self, code: NDArray[np.uint8], k: int, *, exact: bool = False) -> list[Neighbour]:
        """Return the k nearest by (distance, path); of an approximate search, those that it came upon."""
        if exact or self.exact or k > _MOST_CANDIDATES:
            return self._scan(code, k)
        with self._faults(), self._connection.transaction():
            self._run(f"SET LOCAL hnsw.ef_search = {min(max(self._ef_search, k), _MOST_CANDIDATES):d}")
            self._run(f"SET LOCAL ivfflat.probes = {self._probes:d}")
            rows = self._all(
                "SELECT * FROM (SELECT code <~> %s::bit({bits}) AS distance, id, path, labels FROM {table}"
                " ORDER BY distance LIMIT %s) AS found ORDER BY distance, path",
                *(self._text(code), k),
            )
        return [_neighbour(row) for row in rows]

    def within(self, code: NDArray[np.uint8], most: int, k: int) -> list[Neighbour]:
        """Scan the table: an index would miss some."""
        return self._scan(code, k, most)

    def count(self) -> int:
        """Count the rows."""
        with self._faults():
            return int(self._one("SELECT count(*) FROM {table}")[0])

    def drop(self) -> None:
        """Drop the table, if it is one of ours; one with partitions is emptied, as it was prepared."""
        if self.facts() is None:
            return
        with self._faults(), self._connection.transaction():
            if self._one("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", self._quoted())[0] != "p":
                self._run("DROP TABLE {table}")
                return
            self._run("TRUNCATE {table}")
            for method in self._building:
                self._run("DROP INDEX IF EXISTS {index}", index=self._index(method))
            self._run("COMMENT ON TABLE {table} IS NULL")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _scan(self, code: NDArray[np.uint8], k: int, most: int | None = None) -> list[Neighbour]:
        """Return the k nearest of all rows by (distance, path)."""
        text = self._text(code)
        # No index is of distances plus nothing: so none is asked, here or where the partitions lie.
        query = "SELECT (code <~> %s::bit({bits})) + 0 AS distance, id, path, labels FROM {table}"
        values: list[Any] = [text]
        if most is not None:
            query += " WHERE (code <~> %s::bit({bits})) + 0 <= %s"
            values += [text, most]
        with self._faults():
            rows = self._all(query + " ORDER BY distance, path LIMIT %s", *values, k)
        return [_neighbour(row) for row in rows]

    def _quoted(self) -> str:
        return self._table.as_string(self._connection)

    def _prepared(self) -> int | None:
        """Return the length of codes that an empty table of our columns is made for, None where there is none such."""
        query = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        )
        columns = dict(self._all(query, self._quoted()))
        length = re.fullmatch(r"bit\((\d+)\)", columns.pop("code", ""))
        if columns != _COLUMNS or not length or self._one("SELECT EXISTS (SELECT FROM {table})")[0]:
            return None
        return int(length[1])

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Give a transaction that waits for those of other pushes: PostgreSQL lets two create one thing, and fails."""
        with self._connection.transaction():
            self._run(f"SELECT pg_advisory_xact_lock({_TURN:d})")
            yield

    def _build(self, wanted: str) -> None:
        """Put an index of this method in the place of any other, unless there is one."""
        if self._built() == wanted:
            return
        settings = dict(self._building[wanted])
        if not settings.get("lists", 1):
            settings["lists"] = _advised_lists(self.count())
        chosen = ", ".join(f"{option} = {value:d}" for option, value in settings.items())
        for other in self._building:
            self._run("DROP INDEX IF EXISTS {index}", index=self._index(other))
        self._run(
            f"CREATE INDEX {{index}} ON {{table}} USING {wanted} (code bit_hamming_ops) WITH ({chosen})",
            index=self._index(wanted),
        )

    def _require_extension(self) -> None:
        row = self._connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        if row is None:
            self._connection.execute("CREATE EXTENSION vector")
        elif tuple(map(int, row[0].split(".")[:2])) < _LEAST_VERSION:
            raise OSError(f"its pgvector is {row[0]}, which has no Hamming distance", "update pgvector to 0.7 or later")

    def _built(self) -> str | None:
        """Return the method of the index that the table has."""
        names = {self._index(method): method for method in self._building}
        with self._faults():
            query = (
                "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND c.relname = ANY(%s)"
            )
            rows = self._all(query, self._quoted(), list(names))
        return names[rows[0][0]] if rows else None

    def _index(self, method: str) -> str:
        return f"{self._name}_{method}"

    def _copy(self, table: str, rows: Iterator[bytes]) -> None:
        from psycopg import sql

        # The columns are named wherever rows are written: others may have added some.
        order = sql.SQL("COPY {table} (id, code, path, labels, digest) FROM STDIN (ENCODING 'UTF8')")
        named = order.format(table=sql.Identifier(table))
        with self._connection.cursor() as cursor, cursor.copy(named) as copy:
            for piece in rows:
                copy.write(piece)

    def _bits(self) -> int:
        """Return the length of the codes, which is that of the column."""
        row = self._one(
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'code'", self._quoted()
        )
        return int(row[0])

    def _text(self, code: NDArray[np.uint8]) -> str:
        with self._faults():
            return bit_strings(code[None], self._bits())[0]

    def _run(self, query: str, *values: Any, **parts: Any) -> Any:
        """Run a query; names in braces become identifiers, numbers and texts as SQL writes them."""
        from psycopg import sql

        named: dict[str, sql.Composable] = {"table": self._table}
        if "{bits}" in query and "bits" not in parts:
            parts["bits"] = self._bits()
        named |= {k: sql.Identifier(v) if k == "index" else sql.Literal(v) for k, v in parts.items()}
        if values:  # then a % in a name would begin a placeholder
            named = {k: sql.SQL(v.as_string(self._connection).replace("%", "%%")) for k, v in named.items()}
        return self._connection.execute(sql.SQL(query).format(**named), values or None)

    def _all(self, query: str, *values: Any) -> list[Any]:
        rows: list[Any] = self._run(query, *values).fetchall()
        return rows

    def _one(self, query: str, *values: Any) -> Any:
        return self._run(query, *values).fetchone()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say in plain words what PostgreSQL refuses."""
        errors = self._driver.errors
        try:
            yield
        except errors.UndefinedTable as error:
            raise OSError(f"the table {self._name!r} is gone", "push the codes again") from error
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            hint = "install pgvector, https://github.com/pgvector/pgvector, where the server runs"
            raise OSError(_first_line(error), hint) from error
        except errors.InsufficientPrivilege as error:
            hint = "let an administrator run CREATE EXTENSION vector, or grant you CREATE on the schema"
            raise OSError(_first_line(error), hint) from error
        except errors.ProgrammingError as error:
            raise ValueError(_first_line(error)) from error
        except errors.DiskFull as error:
            raise OSError(_first_line(error), "make space where the server runs, and push again: it goes on") from error
        except errors.SqlclientUnableToEstablishSqlconnection as error:
            said = f"{_first_line(error)}: {(error.diag.message_detail or '').partition(chr(10))[0]}"
            hint = "see that this shard runs, and what CREATE SERVER and CREATE USER MAPPING told of it"
            raise OSError(said, hint) from error
        except errors.OperationalError as error:
            raise OSError(_first_line(error), "see that the server runs, and PGPASSWORD or ~/.pgpass") from error
        except errors.Error as error:
            raise OSError(_first_line(error)) from error


def _defaults(driver: Any, url: str) -> dict[str, Any]:
    """Return what is set where the URL does not say otherwise."""
    wanted = {"connect_timeout": _CONNECT_SECONDS, "application_name": "ganhash"}
    given = driver.conninfo.conninfo_to_dict(url)
    return {option: value for option, value in wanted.items() if option not in given}


def _neighbour(row: tuple[float, int, bytes, list[str]]) -> Neighbour:
    distance, number, path, labels = row
    return int(distance), number, bytes(path), tuple(labels)


def _advised_lists(rows: int) -> int:
    """Return how many lists pgvector's README advises: rows / 1000 up to a million, then the square root."""
    return max(1, rows // 1000 if rows <= 1_000_000 else int(rows**0.5))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
