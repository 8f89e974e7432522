"""A real `ganhash serve` on loopback for tests: started on a free port, asked over a socket, stopped by its id."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ganhash_cli.engine import images
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.progress import finish
from linear_hash import LinearHash, write_bundle
from pictures import paint_classes

FIRST = Path("folder/blue/00.png")  # its row is 0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that runs: where, as which process, and the address it printed."""

    process: subprocess.Popen[str]
    url: str
    errors: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def ask(
        self, address: str, body: bytes | Iterator[bytes] | None = None, method: str = "", **headers: str
    ) -> Answer:
        """Send one request; names of headers are written with _ for -."""
        host = urlsplit(self.url).hostname or ""
        connection = http.client.HTTPConnection(host, self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), address, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def work_in(folder: Path) -> None:
    """Make a model, 36 images and their codes in the current folder."""
    bundle = write_bundle(folder / "model")
    paint_classes(folder / "folder")
    encode_again(bundle)


def encode_again(bundle: Bundle, seed: int = 0) -> None:
    hasher = LinearHash(seed)
    finish(encode(bundle, images.collect(Path("folder")), Path("codes.h5"), runtime=hasher, overwrite=True))


@contextmanager
def serving(*arguments: str, environ: dict[str, str] | None = None, verbose: Sequence[str] = ()) -> Iterator[Served]:
    """Run `ganhash serve` in the current folder on a free port until the block ends."""
    errors = Path("serve.stderr").resolve()
    command = [sys.executable, "-m", "ganhash_cli", *verbose, "serve", "--port", "0", "--json", *arguments]
    with errors.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env={**os.environ, **(environ or {})}
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, errors.read_text()
        yield Served(process, json.loads(line)["url"], errors)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        process.stdout.close()


@contextmanager
def serving_in(folder: Path) -> Iterator[Served]:
    """Work in `folder`, which is filled with a model, images and their codes, and serve them."""
    with chdir(folder):
        work_in(folder)
        with serving() as running:
            yield running
