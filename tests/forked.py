"""A ganhash command in a process of its own that starts in milliseconds: forked from a server that has torch loaded.

The server has one thread, which is what makes forking it safe. A test sees what a person sees: a process, its exit
code, and the files it leaves.
"""

import hashlib
import multiprocessing
import os
import re
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

HEAVY = ["trainer", "pool", "encoder", "runtime", "exporter"]
CONTEXT = multiprocessing.get_context("forkserver")


Fault = Callable[[], object]
"""What is done in the new process before its command, such as to arm a fault; it must come through pickle."""


def start(folder: Path, arguments: list[str], fault: Fault | None = None, segment: int = 4) -> ForkServerProcess:
    """Begin `ganhash ARGUMENTS` in `folder`, with a checkpoint at every step and segments of so many images."""
    prepare()
    folder.mkdir(parents=True, exist_ok=True)
    process = CONTEXT.Process(target=command, args=(folder, arguments, fault, segment))
    process.start()
    return process


def prepare() -> None:
    """Say what the server has loaded, before the first process is started."""
    os.environ["OMP_NUM_THREADS"] = "1"
    CONTEXT.set_forkserver_preload(["__main__", "torch.onnx", "torch.export", "onnxscript", *_engine(HEAVY)])


def run(folder: Path, arguments: list[str], fault: Fault | None = None, segment: int = 4) -> int:
    """Run the command to its end, whatever that is; return the exit code, negative where a signal ended it."""
    process = start(folder, arguments, fault, segment)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def said(folder: Path) -> str:
    """Return what the commands in `folder` have printed."""
    return log_of(folder).read_text()


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, hidden ones included; of a page, but for the folders of images.

    They are named as seen from the page, so that they differ where the same page is made in two folders.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _digest(path) for path in files}


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".html":
        content = re.sub(rb'(\.\./)+[^\s"<>]*/', b"", content)
    return hashlib.sha256(content).hexdigest()


def _engine(names: list[str]) -> list[str]:
    return [f"ganhash_cli.engine.{name}" for name in names]


def log_of(folder: Path) -> Path:
    """Return the file beside `folder` that gathers what its commands print."""
    return folder.with_name(f"{folder.name}.log")


def command(folder: Path, arguments: list[str], fault: Fault | None = None, segment: int = 4) -> None:
    """Run `ganhash ARGUMENTS` in `folder` in this process, which ends with it."""
    import torch

    from ganhash_cli import app
    from ganhash_cli.engine import encoder, fitting, gan, pusher

    torch.set_num_threads(1)
    gan.CHECKPOINT_SECONDS = fitting.CHECKPOINT_SECONDS = 0.0
    encoder.BATCH = min(encoder.BATCH, segment)
    encoder.SIZE = pusher.BATCH = segment
    log = os.open(log_of(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(folder)
    if fault:
        fault()
    app.main(arguments)
