"""A ganhash command, or a function, in several processes that work together: started as torchrun starts them.

They are forked from a server that has torch loaded, so that they start in milliseconds.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from torch.distributed import TCPStore

import forked

_stores: list[TCPStore] = []  # as long as the tests run


def start(
    folder: Path, arguments: list[str], count: int, present: Sequence[int] | None = None
) -> list[ForkServerProcess]:
    """Begin `ganhash ARGUMENTS` in `folder` by `count` processes, of which only those `present` are there.

    `{rank}` in an argument is the number of the process.
    """
    forked.prepare()
    folder.mkdir(parents=True, exist_ok=True)
    ranks = range(count) if present is None else present
    places = [place for place in _places(count) if int(place["RANK"]) in ranks]
    places[0]["LOCAL_RANK"] = "0"  # as if those absent were on another machine
    return [
        _begun(_command, place, folder, [each.format(rank=place["RANK"]) for each in arguments]) for place in places
    ]


def run(folder: Path, arguments: list[str], count: int, present: Sequence[int] | None = None) -> list[int | None]:
    """Run the command to its end and return the exit codes."""
    return ended(start(folder, arguments, count, present))


def call(function: Callable[..., None], count: int, *arguments: object) -> list[int | None]:
    """Call a function of a module in `count` processes and return the exit codes."""
    forked.prepare()
    return ended([_begun(_call, place, function, *arguments) for place in _places(count)])


def ended(processes: list[ForkServerProcess], seconds: float = 180.0) -> list[int | None]:
    """Wait for all, each so many seconds at most; an exit code is None where one still runs, which is then killed."""
    codes = []
    for process in processes:
        process.join(seconds)
        codes.append(process.exitcode)
        process.kill()
    return codes


def _begun(target: Callable[..., None], place: dict[str, str], *arguments: object) -> ForkServerProcess:
    process = forked.CONTEXT.Process(target=target, args=(place, *arguments))
    process.start()
    return process


def _places(count: int) -> list[dict[str, str]]:
    """Return what torchrun tells each process; as it does, keep the store that they meet at."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    _stores.append(store)
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **shared, **agent} for rank in range(count)]


def _command(place: dict[str, str], folder: Path, arguments: list[str]) -> None:
    os.environ.update(place)
    forked.command(folder, arguments)


def _call(place: dict[str, str], function: Callable[..., None], *arguments: object) -> None:
    import torch

    os.environ.update(place)
    torch.set_num_threads(1)
    function(*arguments)
