"""A real Milvus for tests: the package `milvus` in a Python of its own, on loopback, stopped by its id.

Its packages do not go together with ours, so it is named from outside:

    python3 -m venv NAME && NAME/bin/pip install milvus==2.3.5 'pymilvus<2.4' 'setuptools<70' 'numpy<2' 'marshmallow<4'
    GANHASH_MILVUS_PYTHON=NAME/bin/python pytest -m slow tests/test_milvus.py
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_PROGRAM = """
import sys
from milvus import MilvusServer
server = MilvusServer(wait_for_started=True)
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.start()
print("up", flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def serve() -> Iterator[str]:
    """Start a server of its own and give its URL; skip, with the reason, where none can be."""
    pytest.importorskip("pymilvus", reason="no client here: pip install pymilvus")
    python = os.environ.get("GANHASH_MILVUS_PYTHON")
    if not python:
        pytest.skip("GANHASH_MILVUS_PYTHON names no Python with a Milvus; tests/milvus_server.py says how to make one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = tempfile.mkdtemp(prefix="ganhash-milvus-")
    command = [python, "-c", _PROGRAM, place, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **pipes, start_new_session=True)  # no Ctrl+C ends it before Milvus is stopped
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        yield f"milvus://127.0.0.1:{port}"
    finally:
        server.communicate()  # closes its stdin, at which it stops Milvus
        shutil.rmtree(place, ignore_errors=True)
