"""`ganhash sample`: write the bundled sample to a folder."""

from pathlib import Path
from typing import Annotated

import typer

from ganhash_cli import console
from ganhash_cli.commands.options import Json


def sample(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", show_default=False)],
    json: Json = False,
) -> None:
    """Write the bundled sample (Fashion-MNIST, 10 classes) to a folder: train/, database/ and query/."""
    from ganhash_cli.engine.sample import write

    count = write(folder)
    if json:
        console.emit({"folder": folder, "images": count, "parts": ["train", "database", "query"]})
        return
    console.say(f"wrote {count} images to {console.safe(str(folder))}: train/, database/ and query/, 10 classes each")
    train = console.safe(str(folder / "train"))
    console.note(f"next: ganhash generate {train}, then ganhash train {train}")
