"""An index in another program: which plugin opens its URL, what its codes are, and whose fault a failure is."""

from __future__ import annotations

import shlex
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast, get_args

from ganhash_cli.engine import bits, path_records
from ganhash_cli.engine.address import Address
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.errors import CorruptError, GanhashError, InputError, PluginError, UsageError
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.registry import Plugin

if TYPE_CHECKING:
    from ganhash_cli.plugin.contracts import Index

NAME = "ganhash"
FORMAT, SCHEMA = "ganhash-index", "1"


class Remote:
    """An opened collection: the plugin's `index`, whose failures `asking` explains, and the `header` of its codes.

    `header` is None where the collection is not there yet, or was left unread for who replaces it.
    """

    def __init__(self, address: Address, name: str, plugin: Plugin, index: Index, *, read: bool = True) -> None:
        self.path = f"{name} at {address}"
        self._name = name
        self.index = index
        self._address, self._plugin = address, plugin
        self.header: Header | None = None
        if read:
            self.refresh()

    @contextmanager
    def asking(self) -> Iterator[Index]:
        """Give the index; what it raises becomes an error of ours, without secrets."""
        with _faults(self._address, self._plugin):
            yield self.index

    def refresh(self) -> None:
        """Read the header anew: another push may have replaced the collection."""
        with self.asking() as index:
            facts = index.facts()
        self.header = None if facts is None else self._header(facts)

    def create(self, header: Header) -> None:
        """Create the collection for codes under this header; where another push was first, read what it created."""
        with self.asking() as index:
            try:
                index.create(header.bits, _facts(header))
            except ValueError:
                if index.facts() is None:
                    raise
        self.refresh()

    def drop(self) -> None:
        """Remove the collection, though its facts may be unreadable; `CorruptError` where they are not ganhash's."""
        with self.asking() as index:
            facts = index.facts()
            if facts is not None:
                self._require_ours(facts)
                index.drop()
        self.header = None

    def require_header(self) -> Header:
        """Return the header; `InputError` where there is no such collection."""
        if self.header is None:
            named = "" if self._name == NAME else f" --name {shlex.quote(self._name)}"
            raise InputError(f"there is no {self.path}", hint=f"make it with `ganhash push codes.h5 --to URL{named}`")
        return self.header

    def _require_ours(self, facts: Mapping[str, str]) -> None:
        if facts.get("format") != FORMAT:
            raise CorruptError(
                f"{self.path} is no index of ganhash: its format is {facts.get('format', 'not told')!r}",
                hint="name another collection with --name",
            )

    def _header(self, facts: Mapping[str, str]) -> Header:
        """Read what the collection was created with."""
        self._require_ours(facts)
        try:
            if facts["schema"] != SCHEMA:
                raise ValueError(f"it has the format {FORMAT} {facts['schema']}")
            if facts["numeric"] not in get_args(bits.Numeric):
                raise ValueError(f"its codes were computed in {facts['numeric']!r}")
            return Header(
                bits=int(facts["bits"]),
                fingerprint=facts["fingerprint"],
                root=path_records.path_of_record(facts, "root"),
                side=int(facts["side"]),
                trained_on=facts["trained_on"],
                numeric=cast(bits.Numeric, facts["numeric"]),
            )
        except (KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise CorruptError(
                f"{self.path} is no index that this ganhash knows: {what}",
                hint="name another collection with --name, or make it anew with `ganhash push … --replace`",
            ) from error


@contextmanager
def opened(
    url: str, name: str = NAME, given: Mapping[str, str] | None = None, *, read: bool = True
) -> Iterator[Remote]:
    """Open the collection called `name` that the URL leads to, with these texts as options of its plugin.

    Its header is not `read` for who will replace it. Raises `UsageError` where no plugin takes the URL or an option is
    wrong, `PluginError` where a client library is missing, `InputError` where the program does not answer.
    """
    address = Address(url)
    plugin = _plugin_for(address)
    identity = registry.identify("index", plugin.name, given or {})
    with _faults(address, plugin):
        index: Index = registry.build(identity, address.url, name)
    try:
        yield Remote(address, name, plugin, index, read=read)
    finally:
        with _faults(address, plugin):
            index.close()


def _plugin_for(address: Address) -> Plugin:
    """Return the plugin that takes the address; one that cannot be loaded takes none, and two are a `UsageError`."""
    known: dict[str, list[Plugin]] = defaultdict(list)
    broken = []
    for plugin in registry.plugins("index"):
        try:
            schemes = getattr(plugin.load(), "schemes", ())
        except PluginError as error:
            broken.append(error.message)
            continue
        for scheme in schemes:
            known[scheme].append(plugin)
    owners = known.get(address.scheme, [])
    named = sorted({f"index {plugin.name!r} of package {plugin.package}" for plugin in owners})
    if len(named) > 1:
        raise registry.taken_twice(f"{address.scheme}:// is taken", named)
    if owners:
        return owners[0]
    listed = ", ".join(f"{scheme}://" for scheme in sorted(known)) or "none"
    raise UsageError(f"no index takes {address}", hint="; ".join([f"known are {listed}", *broken]))


def _facts(header: Header) -> dict[str, str]:
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "bits": str(header.bits),
        "fingerprint": header.fingerprint,
        "numeric": header.numeric,
        "side": str(header.side),
        "trained_on": header.trained_on.encode(errors="replace").decode(),
        **path_records.path_record(header.root, "root"),
    }


@contextmanager
def _faults(address: Address, plugin: Plugin) -> Iterator[None]:
    """Turn what a plugin raises into an error of ours that names the address, and hides what is secret in it."""
    try:
        yield
    except (GanhashError, MemoryError) as error:
        if isinstance(error, GanhashError):
            error.message, error.hint = address.hide(error.message), address.hide(error.hint)
            error.args = (error.message,)
            if _tells(address, error):
                raise error from None
        raise
    except Exception as error:
        raise _explained(error, address, plugin) from (None if _tells(address, error) else error)


def _explained(error: Exception, address: Address, plugin: Plugin) -> GanhashError:
    said, hint = (address.hide(text) for text in registry.message_and_hint(error))
    kinds: dict[type[Exception], type[GanhashError]] = {
        ImportError: PluginError,
        OSError: InputError,
        ValueError: UsageError,
    }
    for kind, ours in kinds.items():
        if isinstance(error, kind):
            return ours(f"{address}: {said}", hint)
    return PluginError(
        f"index {plugin.name!r} of package {plugin.package} failed at {address}: {type(error).__name__}: {said}"
    )


def _tells(address: Address, error: BaseException) -> bool:
    """Whether the traceback of an error, with all that led to it, holds a secret."""
    text = "".join(traceback.format_exception(error))
    return address.hide(text) != text
