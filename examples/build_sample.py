"""Rebuilds the bundled sample, `ganhash_cli/sample/fashion-mnist.zip`, from the IDX files of Fashion-MNIST.

The four `*-ubyte.gz` files come from https://github.com/zalandoresearch/fashion-mnist or Debian's package
`dataset-fashion-mnist`:

    python examples/build_sample.py /usr/share/datasets/fashion-mnist ganhash_cli/sample/fashion-mnist.zip
"""

import gzip
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEED = 2017
CLASSES = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
]
PARTS = {
    "train": ("train", 100),
    "database": ("train", 50),
    "query": ("t10k", 10),
}  # part: (file, images a class)

Bytes = NDArray[np.uint8]


def main(folder: Path, archive: Path) -> None:
    """Draw the three parts and write them to `archive`; the same input gives the same bytes."""
    files = {name: read(folder, name) for name in ("train", "t10k")}
    seen: set[bytes] = set()
    with ZipFile(archive, "w") as out:
        for part, (source, count) in PARTS.items():
            for number, name in enumerate(CLASSES):
                for index, image in enumerate(draw(*files[source], number, count, seen)):
                    out.writestr(ZipInfo(f"{part}/{name}/{index:04d}.png"), png(image))
    print(f"{len(seen)} images, {archive.stat().st_size} bytes, no two with equal pixels")


def read(folder: Path, name: str) -> tuple[Bytes, Bytes]:
    """Read one pair of IDX files: (N, 28, 28) images and (N,) class numbers."""
    images = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8, offset=8)


def draw(images: Bytes, labels: Bytes, number: int, count: int, seen: set[bytes]) -> Iterator[Bytes]:
    """Draw `count` images of class `number` whose pixels no image drawn before has."""
    order = np.random.default_rng([SEED, number]).permutation(np.flatnonzero(labels == number))
    new = (images[index] for index in order if images[index].tobytes() not in seen)
    for _, image in zip(range(count), new, strict=False):
        seen.add(image.tobytes())
        yield image


def png(image: Bytes) -> bytes:
    """Encode one grey image as small as PNG gets."""
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
