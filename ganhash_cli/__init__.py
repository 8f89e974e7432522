"""ganhash: short binary codes for images, regularised by GAN fakes, searched by Hamming distance.

The names of `__all__` are the Python API; `examples/python_api.py` uses them. Each is loaded on first use (PEP 562),
so that the command line stays quick.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganhash_cli.engine import images
    from ganhash_cli.engine.bundle import Bundle
    from ganhash_cli.engine.codes import open_codes
    from ganhash_cli.engine.encoder import encode
    from ganhash_cli.engine.progress import finish
    from ganhash_cli.engine.queries import hash_queries
    from ganhash_cli.engine.results import answer
    from ganhash_cli.engine.runtime import open_runtime

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "answer",
    "encode",
    "finish",
    "hash_queries",
    "images",
    "open_codes",
    "open_runtime",
]

_PLACES = {
    "Bundle": "bundle:Bundle",
    "answer": "results:answer",
    "encode": "encoder:encode",
    "finish": "progress:finish",
    "hash_queries": "queries:hash_queries",
    "images": "images",
    "open_codes": "codes:open_codes",
    "open_runtime": "runtime:open_runtime",
}


def __getattr__(name: str) -> object:
    """Load a public name from its place in the engine."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pkgutil import resolve_name

    found: object = resolve_name(f"ganhash_cli.engine.{_PLACES[name]}")
    return found
