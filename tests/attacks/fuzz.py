"""Fuzzes what reads files of strangers, guided by coverage: `make fuzz TIME=600`; a crash leaves its input in build/.

A target may raise what the command line turns into one line, and nothing else. What is found goes to
`tests/attacks/regressions/TARGET-what-it-is` and is read by the tests from then on.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ganhash_cli", "PIL", "tomllib", "urllib.parse"]):
    import asked
    import corpus
    from ganhash_cli import workspace
    from ganhash_cli.engine import codes, decoding, images
    from ganhash_cli.engine.bundle import DESCRIPTION, Bundle
    from ganhash_cli.engine.decoding import Undecodable
    from ganhash_cli.errors import GanhashError
    from ganhash_cli.web import uploads
    from linear_hash import write_bundle
    from test_codes import HEADER, rows

PLACE = Path(tempfile.mkdtemp())


def image(content: bytes) -> None:
    with suppress(Undecodable, MemoryError):
        decoding.square(BytesIO(content), 16)


def _written(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    def target(content: bytes) -> None:
        (PLACE / name).write_bytes(content)
        with suppress(GanhashError):
            read(PLACE / name)

    return target


def http(content: bytes) -> None:
    _ask()(content)


@cache
def _ask() -> Callable[[bytes], None]:
    (PLACE / "served").mkdir()
    for name, most in asked.SMALL.items():
        setattr(uploads, name, most)
    return asked.target(PLACE / "served")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "image": image,
    "codes": _written("codes.h5", codes.verify),
    "bundle": _written(DESCRIPTION, lambda path: Bundle.open(path.parent)),
    "csv": _written("list.csv", images.from_csv),
    "toml": _written("ganhash.toml", workspace.settings),
    "http": http,
}


def seeds(name: str) -> list[bytes]:
    """Return sound files to begin with."""
    if name == "image":
        return [corpus.saved(corpus.noise(8, 8), kind) for kind in (*corpus.FORMATS, "PPM")]
    if name == "codes":
        codes.write(PLACE / "seed.h5", HEADER, rows(labels=[(0,)] * 5))
        return [(PLACE / "seed.h5").read_bytes()]
    if name == "bundle":
        write_bundle(PLACE / "model")
        return [(PLACE / "model" / DESCRIPTION).read_bytes()]
    if name == "http":
        return asked.SEEDS
    return [b"path,label,split\na.png,b,train\n"] if name == "csv" else [b'[query]\nk = 3\nmodel = "m"\n']


def main() -> None:
    name, seconds, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]) / sys.argv[1]
    out.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (out / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={out}{os.sep}crash-",
        "-timeout=5",
        "-rss_limit_mb=2048",
    ]
    atheris.Setup([sys.argv[0], *options, os.fspath(out)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
