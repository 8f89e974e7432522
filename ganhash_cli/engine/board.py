"""Progress of a training → event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ganhash_cli.engine import files
from ganhash_cli.engine.progress import Progress
from ganhash_cli.errors import PluginError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_SECONDS = 10


@contextmanager
def recording(folder: Path) -> Iterator[Callable[[Progress], None]]:
    """Give what writes the figures of each training step to `folder`.

    A run that goes on after a stop begins at the step after its last checkpoint, and TensorBoard then hides what an
    earlier one wrote from that step on; so it does with all of an earlier run where a new one begins.
    Raises `PluginError` where tensorboard is not installed.
    """
    if find_spec("tensorboard") is None:
        raise PluginError("tensorboard is not installed", hint="pip install 'ganhash[tensorboard]'")
    board = _Board(folder)
    try:
        yield board.note
    finally:
        board.close()


class _Board:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def note(self, progress: Progress) -> None:
        """Write the figures of a step of training; other stages have none."""
        if progress.unit != "steps":
            return
        step = int(progress.done)
        with files.storage_errors(self._folder):
            writer = self._writer = self._writer or self._open(step)
            for name, value in progress.figures.items():
                writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(self._folder, purge_step=step, flush_secs=_FLUSH_SECONDS)
