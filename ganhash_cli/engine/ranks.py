"""The processes that train one network together, as torchrun starts them: all that is known of torch.distributed.

A process that runs alone is the first of one and pays nothing: every function here then gives back what it got.
Torch is imported on use, since the command line asks here who may speak.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from ganhash_cli.engine.progress import Progress, Work
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import Interrupted, MismatchError, StorageError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

JOIN_SECONDS = 120.0
"""How long processes wait for each other to start."""
_SILENCE = timedelta(hours=1)  # of a process that lives but does not answer, longer than any validation
_FEWEST = 2  # images a process must have in a step, for batch norm


@dataclass(frozen=True)
class _Place:
    rank: int
    count: int


_ALONE = _Place(0, 1)
_place = _ALONE
_tells: bool | None = None  # whether this process is the one to say what went wrong, once something has


def started() -> bool:
    """Whether this process was started as one of several."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")


def speaks() -> bool:
    """Whether this process is the one that prints: all but the first are silent, from their first line on."""
    return not started() or os.environ.get("RANK", "0") == "0"


def tells() -> bool:
    """Whether this process says what went wrong: the first that failed, so that one error is shown once."""
    return speaks() or os.environ.get("LOCAL_RANK", "0") == "0" if _tells is None else _tells


def name() -> str:
    """Return what an error of this process begins with; nothing for the first."""
    return "" if speaks() else f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: "


def count() -> int:
    """Return how many processes have joined."""
    return _place.count


def first() -> bool:
    """Whether this process is the one that writes."""
    return _place.rank == 0


@contextmanager
def joined(device: torch.device, seconds: float = JOIN_SECONDS) -> Iterator[None]:
    """Compute with the other processes of this command, if it was started as several.

    Raises `StorageError` where some have not come after so many `seconds`, or end before this one does.
    """
    global _place, _tells
    if not started():
        yield
        return
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore

    place = _numbers()
    if device.type == "cuda":
        _take_gpu(torch.cuda.device_count())
    store = _meet(place, seconds)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    group = PrefixStore("ganhash", store)
    with _talking():
        distributed.init_process_group(backend, store=group, rank=place.rank, world_size=place.count, timeout=_SILENCE)
    _place = place
    try:
        yield
        leave()
    except SystemExit:
        raise
    except BaseException as error:
        # Before the others notice that this one is gone: what they then see is no news.
        _tells = place.rank == 0 if isinstance(error, Interrupted) else _first_to_fail(store)
        raise
    finally:
        _place = _ALONE


def leave() -> None:
    """Part: all processes end here, with exit code 0, but the first, which goes on alone."""
    global _place
    if _place.count == 1:
        return
    from torch import distributed

    distributed.destroy_process_group()
    ends, _place = not first(), _ALONE
    if ends:
        raise SystemExit(0)


def from_first(make: Callable[[], T]) -> T:
    """Return, in all processes, what `make` returns in the first; the others do not call it."""
    if _place.count == 1:
        return make()
    from torch import distributed

    box = [make() if first() else None]
    with _talking():
        distributed.broadcast_object_list(box, src=0)
    return cast(T, box[0])


def unlike() -> MismatchError:
    """Say that this process was given something else than the first."""
    return MismatchError(
        "this process sees other images, fakes or settings than process 0",
        hint="give every machine the same files and the same command",
    )


def together(progress: Progress) -> Work[None]:
    """Yield `progress`; an interruption of one process is raised in all of them, after the same step."""
    if _place.count == 1:
        yield progress
        return
    signum = 0
    try:
        yield progress
    except Interrupted as stop:
        signum = int(stop.signal)
    import torch
    from torch import distributed

    highest = torch.tensor(signum)
    with _talking():
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    if highest:
        raise Interrupted(int(highest))


def part(whole: int) -> slice:
    """Return which of `whole` items are this process's: every n-th, so that each sees all classes of a batch."""
    return slice(_place.rank, whole, _place.count)


def require_shares(whole: int, what: str, *, even: bool = False) -> None:
    """Refuse a step that cannot be shared: `UsageError` where a process would get no two images, or if `even` fewer."""
    uneven = even and whole % _place.count
    if _place.count > 1 and (whole < _FEWEST * _place.count or uneven):
        wanted = "equally many each" if uneven else f"{_FEWEST} or more each"
        raise UsageError(
            f"{whole} {what} in a step cannot be shared by {_place.count} processes, {wanted}",
            hint="choose another --batch, or start another number of processes",
        )


def gather(rows: Tensor, whole: int) -> Tensor:
    """Return the rows of all processes, (whole, …), in order, from this one's `part` of them.

    With them every process computes the same loss, so the gradient of its own rows needs nothing of the others. It
    is multiplied by their number, by which `average_gradients` divides the sum: the loss is one, not a mean of theirs.
    """
    if _place.count == 1:
        return rows
    import torch
    from torch import distributed
    from torch.nn import functional

    most = -(-whole // _place.count)
    own = functional.pad(rows.contiguous(), (0,) * (2 * rows.ndim - 1) + (most - len(rows),))
    if own.requires_grad:
        times = _place.count
        own.register_hook(lambda gradient: gradient * times)  # type: ignore[no-untyped-call]  # as torch leaves it
    parts = [torch.empty_like(own) for _ in range(_place.count)]
    with _talking():
        distributed.all_gather(parts, own.detach())
    parts[_place.rank] = own
    return torch.stack(parts, 1).flatten(0, 1)[:whole]


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Replace the gradients of what `optimiser` moves by their mean over the processes."""
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    _average([each.grad for each in parameters if each.grad is not None])


def average_statistics(*networks: nn.Module) -> None:
    """Replace the running statistics of batch norms, which each process takes of its own images, by their mean."""
    if _place.count == 1:
        return
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [each for network in networks for each in network.modules() if isinstance(each, _BatchNorm)]
    statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    _average([value for value in statistics if value is not None])


def mean(value: float) -> float:
    """Return the mean of a number over the processes."""
    if _place.count == 1:
        return value
    import torch

    box = torch.tensor(value, dtype=torch.float64)
    _average([box])
    return float(box)


@contextmanager
def apart() -> Iterator[None]:
    """Let each process draw random numbers of its own; afterwards all go on from one state."""
    if _place.count == 1:
        yield
        return
    import torch

    common = int(torch.randint(1 << 62, ()))
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(derive(common, "rank", _place.rank))
        yield


def synchronise(network: nn.Module, device: torch.device) -> None:
    """Let the batch norms of `network` normalise by the images of all processes; `UsageError` without GPUs.

    torch's SyncBatchNorm computes on GPUs only. Weights and running statistics keep their names.
    """
    if device.type != "cuda":
        raise UsageError(
            f"--sync-batch-norm works on GPUs only, not on {device.type}",
            hint="leave it out: each process then normalises by its own share of the batch",
        )
    from timm.layers.norm_act import convert_sync_batchnorm

    # timm's own norms, which hold an activation, are known to timm alone.
    convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def _average(tensors: Iterable[Tensor]) -> None:
    kept = list(tensors)
    if _place.count == 1 or not kept:
        return
    import torch
    from torch import distributed

    flat = torch.cat([each.detach().flatten() for each in kept])  # one message instead of hundreds
    with _talking():
        distributed.all_reduce(flat)
    flat /= _place.count
    with torch.no_grad():
        for each, share in zip(kept, torch.split(flat, [each.numel() for each in kept]), strict=True):
            each.copy_(share.view(each.shape))


def _numbers() -> _Place:
    """Read which process this is from the environment."""
    try:
        place = _Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        _ = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise _unfit(
            f"WORLD_SIZE asks for several processes, but of RANK, MASTER_ADDR and MASTER_PORT: {error}"
        ) from error
    if not 0 <= place.rank < place.count:
        raise _unfit(f"RANK is {place.rank}, but WORLD_SIZE is {place.count}")
    return place


def _unfit(what: str) -> UsageError:
    return UsageError(what, hint="start with torchrun, which sets them all, or unset WORLD_SIZE to compute alone")


def _take_gpu(there: int) -> None:
    """Take the GPU of this process's number on this machine."""
    import torch

    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= there:
        raise UsageError(
            f"process {local} of this machine has no GPU: there are {there}",
            hint=f"torchrun --nproc-per-node={there}, or --device cpu",
        )
    torch.cuda.set_device(local)


def _meet(place: _Place, seconds: float) -> Store:
    """Wait until all processes have come; say which have not."""
    from torch.distributed.rendezvous import rendezvous

    patience = timedelta(seconds=seconds)
    names = [f"here/{rank}" for rank in range(place.count)]
    try:
        store: Store
        store, _, _ = next(rendezvous("env://", timeout=patience))
        store.set(names[place.rank], "")
    except (RuntimeError, OSError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise StorageError(
            f"no meeting of {place.count} processes at {address} within {seconds:g} s",
            hint="start all of them, process 0 at that address; --join-timeout gives them more time",
        ) from error
    try:
        store.wait(names, patience)
    except RuntimeError as error:
        absent = [str(rank) for rank, each in enumerate(names) if not store.check([each])]
        raise StorageError(
            f"of {place.count} processes, {', '.join(absent)} did not come within {seconds:g} s",
            hint="start all of them, or unset WORLD_SIZE to compute alone; --join-timeout gives them more time",
        ) from error
    return store


def _first_to_fail(store: Store) -> bool:
    try:
        number: int = store.add("failed", 1)
    except RuntimeError:  # whoever kept the list is gone
        return True
    return number == 1


@contextmanager
def _talking() -> Iterator[None]:
    """Turn what torch says when a process is gone into an error that says so."""
    try:
        yield
    except RuntimeError as error:
        raise StorageError(
            f"process {_place.rank} lost another one, which ended or does not answer",
            hint="the same command again goes on from the last checkpoint, with as many processes as you like",
        ) from error
