"""A hashing network of one matrix: in numpy for the engine, and as a bundle with a tiny ONNX file for the commands."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganhash_cli.engine import bundle
from ganhash_cli.engine.bundle import Bundle

BITS, SIDE = 12, 16


def matrix(seed: int = 0, bits: int = BITS) -> NDArray[np.float32]:
    """Return the (pixels, bits) matrix, scaled for logits near one."""
    random = np.random.default_rng(seed)
    return (random.standard_normal((SIDE * SIDE * 3, bits)) / 2000).astype(np.float32)


class LinearHash:
    """Turns images into logits, one at a time, and remembers how many it was given."""

    def __init__(self, seed: int = 0) -> None:
        self.matrix = matrix(seed)
        self.images = 0

    def logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        self.images += sum(bool(image.any()) for image in images)
        flat = images.reshape(len(images), -1).astype(np.float32) - 127
        return np.stack([row @ self.matrix for row in flat])


def made_up(folder: Path = Path("model"), seed: int = 0, source: str = "folder/") -> Bundle:
    """Return a bundle that stands nowhere on disk."""
    return Bundle(
        folder=folder,
        backbone={"name": "linear"},
        bits=BITS,
        side=SIDE,
        class_names=(),
        source=source,
        training_digest="",
        settings={},
        metrics={},
        fakes=None,
        digests={},
        fingerprint=f"{seed:064x}",
    )


def write_bundle(folder: Path, seed: int = 0, source: str = "folder/", trained_on: Iterable[str] = ()) -> Bundle:
    """Write a bundle whose `hasher.onnx` computes what `LinearHash` does."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("Sub", ["flat", "middle"], ["centred"]),
        helper.make_node("MatMul", ["centred", "matrix"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", BITS])],
        [
            numpy_helper.from_array(np.float32(127), "middle"),
            numpy_helper.from_array(matrix(seed), "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / bundle.ONNX)
    (folder / bundle.WEIGHTS).write_bytes(b"")
    return bundle.write(
        folder,
        backbone={"kind": "backbone", "name": "linear", "options": {}},
        bits=BITS,
        side=SIDE,
        class_names=("red", "green", "blue"),
        source=source,
        training_digest="0" * 64,
        settings={"epochs": 1},
        metrics={"validation_map_at_all": 0.5},
        fakes=None,
        trained_on=trained_on,
    )
