"""`ganhash serve`: a page in the browser, and JSON for programs, that answer queries; never loads torch."""

import contextlib
import importlib.util
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from ganhash_cli import console, workspace
from ganhash_cli.commands import options
from ganhash_cli.engine import wording
from ganhash_cli.errors import PluginError, UsageError

TOKEN = "GANHASH_TOKEN"  # noqa: S105 - the name of a variable
_SHORTEST = 16  # characters


def serve(
    codes: Annotated[Path, typer.Argument(help="Codes file made by `ganhash encode`.")] = workspace.CODES,
    model: options.Model = workspace.MODEL,
    host: Annotated[
        str, typer.Option(help="Listen here; anything but this machine alone demands a token, see GANHASH_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="<int>", min=0, max=65535, help="Listen on this port; 0 takes any that is free.")
    ] = 8000,
    index: options.IndexUrl = None,
    name: options.Collection = "ganhash",
    option: options.IndexOptions = None,
    json: options.Json = False,
) -> None:
    """Search from the browser: drop an image, see its neighbours; also a JSON API.

    The token that other machines must show is read from the environment, GANHASH_TOKEN, or made up and printed once.
    """
    _require_extra()
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.web import application, server
    from ganhash_cli.web.elsewhere import LiveIndex, SearchElsewhere
    from ganhash_cli.web.gate import Gate
    from ganhash_cli.web.journal import Journal
    from ganhash_cli.web.live import LiveCodes
    from ganhash_cli.web.search import Search, SearchFile
    from ganhash_cli.web.turns import Turns
    from ganhash_cli.web.uploads import Uploads

    token = _token(demanded=not server.is_loopback(host))
    bundle, turns = Bundle.open(model), Turns()
    live: LiveCodes | LiveIndex
    search: Search
    if index is None:
        live = LiveCodes(codes, bundle)
        search = SearchFile(bundle, live)
    else:
        live = LiveIndex(bundle, index, name, options.pairs(option, "-I"))
        search = SearchElsewhere(bundle, live)
        console.note(console.safe(live.note))
    with contextlib.closing(turns), contextlib.closing(live), server.bind(host, port) as listener:
        search.warm_up()
        about = search.about()
        app: Gate | Journal = Gate(application.build(search, turns, Uploads()), server.names(host), token)
        if console.verbosity > 0:
            app = Journal(app, console.note, every=console.verbosity > 1)
        address = server.address(listener, host)
        # A token that the person set is theirs already, and need not stand on the screen.
        entry = f"{address}?token={quote(token)}" if token and not os.environ.get(TOKEN) else address
        try:
            if json:
                console.emit({"url": entry, "images": about["images"], "bits": about["bits"]})
            else:
                console.say(entry)
            sys.stdout.flush()  # whoever reads it through a pipe waits for it
        except BrokenPipeError:  # nobody asks for the address; others may know it
            console.discard_output()
        console.note(
            f"{wording.counted(about['images'], 'image')}, {wording.counted(about['bits'], 'bit')}; Ctrl+C stops"
        )
        server.run(app, listener)


def _require_extra() -> None:
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise PluginError(f"the server needs {' and '.join(missing)}", hint="pip install 'ganhash[serve]'")


def _token(*, demanded: bool) -> str | None:
    """Return the token that requests must show; None where none is needed."""
    given = os.environ.get(TOKEN)
    if given and len(given) < _SHORTEST:
        raise UsageError(f"{TOKEN} has {len(given)} characters; it can be guessed", hint=f"take {_SHORTEST} or more")
    if given and not (given.isascii() and given.isprintable()):
        hint = "take letters, digits and signs of ASCII: no header carries others"
        raise UsageError(f"{TOKEN} holds characters that no client can send", hint=hint)
    return given or (secrets.token_urlsafe(24) if demanded else None)
