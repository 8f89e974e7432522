"""Logits from a bundle without torch: decoded squares in, one row of logits an image out, by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.errors import CorruptError

BATCH = 32


class Runtime:
    """An opened ONNX model with `bits` outputs for squares of `side` pixels."""

    def __init__(self, model: bytes, bits: int, side: int) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        self.bits = bits
        self.side = side
        # Loaded from bytes, so that nothing can come from outside this one file.
        self._session: Any = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (N, side, side, 3) RGB bytes into (N, bits) logits, in batches of at most 32."""
        if images.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"images must be (N, {self.side}, {self.side}, 3), got {images.shape}")
        parts = [
            self._session.run(None, {"images": images[start : start + BATCH]})[0]
            for start in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.bits), np.float32)


def open_runtime(bundle: Bundle) -> Runtime:
    """Return the runtime that computes logits for `bundle`, after checking its file against the digest."""
    model = bundle.verified(bundle.onnx).read_bytes()
    try:
        return Runtime(model, bundle.bits, bundle.side)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise CorruptError(f"{bundle.onnx} cannot be loaded: {error}") from error
