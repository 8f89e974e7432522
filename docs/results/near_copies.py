"""How far copies of photographs lie from their originals, and strangers from each other.

`python near_copies.py PHOTOS` wants a folder of JPEGs. For each length of codes a model is fitted to them by ITQ, as
`ganhash train PHOTOS` does, and gives codes to them and to three altered copies of each. Writes near_copies.json beside
this file.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganhash_cli.engine import bits as packing
from ganhash_cli.engine import codes
from ganhash_cli.engine.duplicates import default_distance

BITS = (32, 48, 64, 128)
CROP, LOW, HIGH = 0.02, 40, 95  # share of a side; qualities of JPEG, what is measured and what is not
OUT = Path(__file__).with_suffix(".json")


def cropped(image: Image.Image) -> Image.Image:
    """Return it without 2 % of each side."""
    x, y = (round(CROP * length) for length in image.size)
    return image.crop((x, y, image.width - x, image.height - y))


def halved(image: Image.Image) -> Image.Image:
    """Return it in half its size."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "cropped": (cropped, HIGH),
    "compressed": (lambda image: image, LOW),
    "halved": (halved, HIGH),
}


def copy(photos: list[Path], folder: Path) -> None:
    """Write the originals and the copies, each kind in a folder of its own under the same numbers."""
    for kind in ("original", *COPIES):
        (folder / kind).mkdir(parents=True)
    for number, photo in enumerate(photos):
        (folder / "original" / f"{number:05}.jpg").write_bytes(photo.read_bytes())
        with Image.open(photo) as image:
            image.load()
            for kind, (alter, quality) in COPIES.items():
                alter(image).save(folder / kind / f"{number:05}.jpg", quality=quality)


def measure(photos: Path, copies: Path, bits: int, work: Path) -> dict[str, Any]:
    """Fit a model of so many bits to the photographs, encode all, and compare by the default distance."""
    model, out = work / f"model{bits}", work / f"{bits}.h5"
    ganhash = [sys.executable, "-m", "ganhash_cli"]
    fit = ["train", photos, "--loss", "itq", "--bits", str(bits), "--model", model]
    for command in (fit, ["encode", copies, "--model", model, "-o", out]):
        subprocess.run([*ganhash, *command], check=True)
    with codes.open_codes(out) as stored:
        paths = [Path(stored.path_of(row).decode()) for row in range(len(stored))]
        apart = packing.hamming(stored.codes, stored.codes)
    row = {(path.parent.name, path.name): number for number, path in enumerate(paths)}
    names = np.array([path.name for path in paths])
    strangers = apart[np.triu(names[:, None] != names[None])]
    most = default_distance(bits)
    originals = [path.name for path in paths if path.parent.name == "original"]
    near = {
        kind: float(np.mean([apart[row["original", name], row[kind, name]] <= most for name in originals]))
        for kind in COPIES
    }
    return {
        "bits": bits,
        "most": most,
        "photographs": len(originals),
        "near": near,
        "pairs_of_strangers": len(strangers),
        "strangers_near": int((strangers <= most).sum()),
        "nearest_strangers": int(strangers.min()),
    }


def main(photos: Path) -> None:
    """Measure each length of codes and write what was found."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copy(sorted(photos.iterdir()), work / "copies")
        found = [measure(photos, work / "copies", bits, work) for bits in BITS]
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
