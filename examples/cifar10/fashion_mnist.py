"""Unpack Fashion-MNIST into class folders: `python fashion_mnist.py OUT`.

The four files come with Debian's package dataset-fashion-mnist; `--from` names another folder that holds them. 70,000
grey images of 28 pixels, written without loss as OUT/train/CLASS/NNNNN.png and OUT/test/CLASS/NNNNN.png.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
PARTS = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a gzipped IDX file in their shape.

    The third byte of an IDX file is 8 for bytes, the fourth the number of axes, whose lengths follow as big-endian
    32-bit numbers.
    """
    with gzip.open(path) as stream:
        data = stream.read()
    if data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is no IDX file of bytes")
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def unpack(source: Path, out: Path) -> None:
    """Write every image to the folder of its class."""
    for part, name in PARTS.items():
        pixels = read_idx(source / f"{name}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{name}-labels-idx1-ubyte.gz")
        for label in CLASSES:
            (out / part / label).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            Image.fromarray(image).save(out / part / CLASSES[label] / f"{number:05}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    given = parser.parse_args()
    unpack(given.source, given.out)
