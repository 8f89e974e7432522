"""Milvus: codes as binary vectors, one collection each, searched by its metric HAMMING."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, quote_from_bytes, unquote, unquote_to_bytes, urlsplit

import numpy as np
from numpy.typing import NDArray

from ganhash_plugins.indexes.facts import facts_in, text_of

Image = tuple[NDArray[np.uint8], bytes, tuple[str, ...]]
Neighbour = tuple[int, int, bytes, tuple[str, ...]]
Method = Literal["auto", "exact", "ivf_flat"]

_PORT = 19530
_SECONDS = 10  # to connect
_MOST = 16384  # that one search of Milvus returns
_LONGEST = 65535  # bytes of a text
_KINDS = {"exact": "BIN_FLAT", "ivf_flat": "BIN_IVF_FLAT"}
_READABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # of a path; the rest is quoted as in a URL


class Milvus:
    """A collection of Milvus, at milvus://user:password@host:19530/database; milvus+tls:// is encrypted.

    `method` is how it is searched: `exact` (BIN_FLAT), `ivf_flat` (BIN_IVF_FLAT with `nlist` lists, of which `nprobe`
    are searched), or `auto`, by what there is. `consistency` is Milvus's own: with Strong a search sees all that was
    pushed.
    """

    schemes = ("milvus", "milvus+tls")
    ordered = False

    def __init__(
        self,
        url: str,
        name: str,
        *,
        method: str = "auto",
        nlist: int = 1024,
        nprobe: int = 16,
        consistency: str = "Strong",
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"there is no method {method!r}", f"it is one of {', '.join(get_args(Method))}")
        if not 1 <= nprobe <= nlist <= 65536:
            raise ValueError(f"nlist={nlist} and nprobe={nprobe}: 1 to 65536 lists, of which no more can be searched")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name):
            raise ValueError(f"a collection cannot be called {name!r}", "use letters, digits and underscores")
        try:
            import pymilvus
        except ImportError as error:
            raise ImportError("the package pymilvus is not installed", "pip install 'ganhash[milvus]'") from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs each error that it also raises
        self._driver = pymilvus
        self._name = name
        self._method, self._nlist, self._nprobe = method, nlist, nprobe
        self._consistency = consistency
        self._searched: dict[str, Any] = {}  # by which index; asked once, since that takes as long as a search
        with self._faults():
            self._client = pymilvus.MilvusClient(timeout=_SECONDS, **_connection(url))

    @property
    def exact(self) -> bool:
        """Whether the collection is scanned."""
        return bool(self._built()["index_type"] == _KINDS["exact"])

    def facts(self) -> dict[str, str] | None:
        """Return the facts, which are the collection's description."""
        with self._faults():
            if not self._client.has_collection(self._name):
                return None
            description = self._client.describe_collection(self._name).get("description", "")
        return facts_in(description, f"collection {self._name!r}")

    def create(self, bits: int, facts: Mapping[str, str]) -> None:
        """Create the collection; its vectors are whole bytes, and what is left over is zero."""
        if self.facts() is not None:
            raise ValueError(f"there is a collection {self._name!r} already")
        kinds = self._driver.DataType
        with self._faults():
            schema = self._driver.MilvusClient.create_schema(auto_id=False, description=text_of(facts))
            schema.add_field("id", kinds.INT64, is_primary=True)
            schema.add_field("code", kinds.BINARY_VECTOR, dim=(bits + 7) // 8 * 8)
            for text in ("path", "labels", "digest"):
                schema.add_field(text, kinds.VARCHAR, max_length=_LONGEST)
            self._client.create_collection(
                self._name,
                schema=schema,
                index_params=self._index("exact" if self._method == "auto" else self._method),
                consistency_level=self._consistency,
            )

    def add(
        self,
        ids: Sequence[int],
        codes: NDArray[np.uint8],
        paths: Sequence[bytes],
        labels: Sequence[tuple[str, ...]],
        digests: Sequence[str],
    ) -> None:
        """Upsert the rows in one request."""
        texts = {names: json.dumps(names, ensure_ascii=False) for names in set(labels)}
        rows = [
            {
                "id": number,
                "code": code.tobytes(),
                "path": quote_from_bytes(path, safe=_READABLE),
                "labels": texts[names],
                "digest": digest,
            }
            for number, code, path, names, digest in zip(ids, codes, paths, labels, digests, strict=True)
        ]
        if rows:
            with self._faults():
                self._client.upsert(self._name, rows)

    def finish(self) -> None:
        """Build the index that `method` asks for, where there is another, and load the collection."""
        with self._faults():
            if self._method != "auto" and self._built()["index_type"] != _KINDS[self._method]:
                self._client.release_collection(self._name)
                self._client.drop_index(self._name, "code")
                self._client.create_index(self._name, self._index(self._method))
            self._client.load_collection(self._name)
        self._searched = {}

    def digests(self, ids: Sequence[int]) -> list[str | None]:
        """Look the ids up."""
        known = {row["id"]: row["digest"] for row in self._look_up(ids, "digest")}
        return [known.get(number) for number in ids]

    def ids(self, first: int, most: int) -> list[int]:
        """Ask for ids from the first on; by a limit Milvus gives the smallest. Filters miss 2 ** 63 - 1."""
        with self._faults():
            rows = self._client.query(
                self._name,
                filter=f"id >= {first:d}",
                limit=min(most, _MOST),
                output_fields=["id"],
                consistency_level=self._consistency,
            )
        return sorted(row["id"] for row in rows)

    def images(self, ids: Sequence[int]) -> list[Image | None]:
        """Look the ids up."""
        known = {row["id"]: _image(row) for row in self._look_up(ids, "code", "path", "labels")}
        return [known.get(number) for number in ids]

    def search(self, code: NDArray[np.uint8], k: int, *, exact: bool = False) -> list[Neighbour]:
        """Return the k nearest by distance; which of equals is Milvus's own choice."""
        return self._search(code, k, exact=exact)

    def within(self, code: NDArray[np.uint8], most: int, k: int) -> list[Neighbour]:
        """Return the k nearest of those no farther than `most`, of all lists."""
        return self._search(code, k, exact=True, radius=most + 1, range_filter=-1)

    def count(self) -> int:
        """Count the rows."""
        with self._faults():
            [row] = self._client.query(
                self._name, filter="", output_fields=["count(*)"], consistency_level=self._consistency
            )
            return int(row["count(*)"])

    def drop(self) -> None:
        """Drop the collection, if it is one of ours."""
        if self.facts() is not None:
            with self._faults():
                self._client.drop_collection(self._name)
        self._searched = {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _search(self, code: NDArray[np.uint8], k: int, *, exact: bool, **limits: int) -> list[Neighbour]:
        if k > _MOST:
            raise ValueError(f"Milvus finds at most {_MOST:,} at once, not {k:,}")
        if not self._searched.get("index_type"):
            self._searched = self._built()
        if self._searched["index_type"] == _KINDS["ivf_flat"]:
            lists = int(self._searched["nlist"])
            limits["nprobe"] = lists if exact else min(self._nprobe, lists)
        with self._faults():
            [found] = self._client.search(
                self._name,
                [code.tobytes()],
                limit=k,
                output_fields=["path", "labels"],
                search_params={"metric_type": "HAMMING", "params": limits},
                consistency_level=self._consistency,
            )
        return sorted(map(_neighbour, found), key=lambda each: (each[0], each[2]))

    def _look_up(self, ids: Sequence[int], *fields: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        with self._faults():
            for start in range(0, len(ids), _MOST):
                some = list(ids[start : start + _MOST])
                rows += self._client.query(
                    self._name, ids=some, output_fields=list(fields), consistency_level=self._consistency
                )
        return rows

    def _index(self, method: str) -> Any:
        index = self._client.prepare_index_params()
        params = {"nlist": self._nlist} if method == "ivf_flat" else {}
        index.add_index("code", index_name="code", index_type=_KINDS[method], metric_type="HAMMING", params=params)
        return index

    def _built(self) -> dict[str, Any]:
        """Return the type and settings of the index that the collection has; an empty type where there is none."""
        with self._faults():
            there = self._client.has_collection(self._name) and self._client.list_indexes(self._name)
            found: dict[str, Any] = self._client.describe_index(self._name, "code") if there else {"index_type": ""}
        return found

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say in plain words what Milvus refuses."""
        try:
            yield
        except self._driver.exceptions.ParamError as error:
            raise ValueError(error.message) from error
        except self._driver.MilvusException as error:
            raise OSError(error.message, "see that the server runs and that the name and password are right") from error


def _connection(url: str) -> dict[str, str]:
    """Read milvus://user:password@host:port/database?token=… as the client wants it."""
    parts = urlsplit(url)
    plain = "https" if parts.scheme == "milvus+tls" else "http"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "localhost"
    given = {"user": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    given |= {"db_name": unquote(parts.path.strip("/")), "token": parse_qs(parts.query).get("token", [""])[0]}
    return {"uri": f"{plain}://{host}:{parts.port or _PORT}", **{name: value for name, value in given.items() if value}}


def _neighbour(hit: Any) -> Neighbour:
    row = hit["entity"]
    return int(hit["distance"]), hit["id"], unquote_to_bytes(row["path"]), tuple(json.loads(row["labels"]))


def _image(row: Any) -> Image:
    code = row["code"] if isinstance(row["code"], bytes) else row["code"][0]
    return np.frombuffer(code, np.uint8), unquote_to_bytes(row["path"]), tuple(json.loads(row["labels"]))
