"""Fashion-MNIST unpacked: every image in the folder of its class, as it was."""

import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

UNPACKER = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "cifar10" / "fashion_mnist.py"))


def idx(values: np.ndarray) -> bytes:
    """The values as a gzipped IDX file."""
    axes = b"".join(length.to_bytes(4, "big") for length in values.shape)
    return gzip.compress(bytes([0, 0, 8, values.ndim]) + axes + values.tobytes())


def test_images_stand_in_the_folder_of_their_class(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(np.array([9, 0, 9], np.uint8)))
    UNPACKER["unpack"](tmp_path, tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    images = ["boot/00000.png", "boot/00002.png", "tshirt/00001.png"]
    assert found == [f"{part}/{name}" for part in ("test", "train") for name in images]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "test" / "boot" / "00002.png")), pixels[2])


def test_another_kind_of_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.gz").write_bytes(gzip.compress(b"no idx file"))
    with pytest.raises(SystemExit, match=r"t\.gz is no IDX file"):
        UNPACKER["read_idx"](tmp_path / "t.gz")
