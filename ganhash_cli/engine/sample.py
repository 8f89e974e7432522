"""The bundled sample: a small part of Fashion-MNIST, written to a folder or unpacked for one run."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

from ganhash_cli.engine.files import storage_errors
from ganhash_cli.errors import UsageError

TRAINED_ON = "bundled sample"


def words(source: object) -> tuple[str, ...]:
    """Return what stands in a command for the images called `source`: nothing for the sample, else a placeholder."""
    return () if source == TRAINED_ON else ("IMAGES",)


def write(folder: Path) -> int:
    """Write the sample as `folder`/{train,database,query}/CLASS/NNNN.png and return the number of images.

    The images are unpacked in a hidden folder inside and moved at the end: no part is ever half there.
    Raises `UsageError` where the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder", hint="name a new one")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacking.", dir=folder) as scratch:
            count = _unpack(Path(scratch))
            for part in Path(scratch).iterdir():
                part.rename(folder / part.name)
    return count


@contextmanager
def training_folder() -> Iterator[Path]:
    """Unpack the training part for as long as the context lasts; its sub-folders are the labels."""
    with tempfile.TemporaryDirectory(prefix="ganhash-") as scratch:
        with storage_errors(Path(scratch)):
            _unpack(Path(scratch), "train/")
        yield Path(scratch, "train")


def _unpack(folder: Path, part: str = "") -> int:
    archive = files("ganhash_cli").joinpath("sample", "fashion-mnist.zip")
    with archive.open("rb") as stream, ZipFile(stream) as packed:
        names = [name for name in packed.namelist() if name.startswith(part)]
        packed.extractall(folder, names)
    return len(names)
