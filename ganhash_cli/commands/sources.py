"""What the words after a verb mean as images: a folder, a CSV, names on stdin, or nothing for the sample."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ganhash_cli import console
from ganhash_cli.engine import ranks
from ganhash_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from ganhash_cli.engine.images import Collection, Skipped

_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")  # how the files begin


@contextmanager
def open_training(images: str | None, *, nul: bool = False) -> "Iterator[tuple[Collection, str]]":
    """Give the training images that `images` names, and what to call them; without a name, the bundled sample."""
    from ganhash_cli.engine import images as pictures
    from ganhash_cli.engine import sample

    if images == "-":
        yield pictures.from_names(ranks.from_first(lambda: names_on_stdin(nul=nul))), "names on stdin"
    elif images is not None:
        yield pictures.training_part(pictures.collect(Path(images))), images
    else:
        console.note("no images named: using the bundled sample (Fashion-MNIST, 1,000 images in 10 classes)")
        with sample.training_folder() as folder:
            yield pictures.from_folder(folder), sample.TRAINED_ON


def require_there(images: str | None) -> None:
    """Raise `InputError` where training images are named that do not exist or are fakes, before torch is loaded."""
    from ganhash_cli.engine import images as pictures

    if images is None or images == "-":
        return
    pictures.require_there(Path(images))
    if pictures.holds_fakes(os.fsencode(images)):
        raise InputError(
            f"{images} holds fakes, and these are no training images",
            hint="name the images that they were made from; --fakes names a folder of fakes",
        )


def names_on_stdin(*, nul: bool = False) -> list[bytes]:
    """Read file names from stdin, one a line, or separated by NUL; `InputError` where there is none."""
    separator = b"\0" if nul else b"\n"
    given = sys.stdin.buffer.read()
    _require_names(given, nul=nul)
    names = [name for name in given.split(separator) if name]
    if not names:
        raise InputError("no file is named on stdin", hint="write one name a line, or with -0 NUL between them")
    return names


def _require_names(given: bytes, *, nul: bool) -> None:
    """Raise `UsageError` where stdin holds something else than names that end as they are said to."""
    if given.startswith(_IMAGES):
        raise UsageError(
            "on stdin there is an image, and names of files are wanted", hint="name the image in its place"
        )
    if not nul and b"\0" in given:
        raise UsageError("the names on stdin are separated by NUL", hint="add -0, or write one name a line")
    if nul and b"\0" not in given and b"\n" in given and not os.path.lexists(given):
        raise UsageError("the names on stdin are not separated by NUL, as -0 says", hint="leave out -0")


def warn_skipped(skipped: "Iterable[Skipped]", root: bytes | None = None) -> None:
    """Name each image that was left out, and why; one below `root` as it can be opened from here."""
    from ganhash_cli.engine.queries import openable

    for item in skipped:
        path = item.path if root is None else openable(root, item.path)
        console.warn(f"skipped {console.safe(path)}: {console.safe(item.reason)}")
