"""Logits from a bundle: decoded squares in, one row of logits an image out, by ONNX Runtime, OpenVINO or torch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Numeric, Precision
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.errors import CorruptError, PluginError, UsageError

BATCH_PIXELS, MOST_IMAGES = 4 * 224 * 224, 16  # of a batch whose layers stay in a core's caches
TORCH_BATCH = 32  # torch spends much on each call, and GPUs want many images
MOST_DIFFERING = 10.0  # bits in a million between ONNX Runtime and torch, for `auto` to trust the former

_KEY = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)$", re.DOTALL)  # before the text itself

Name = Literal["auto", "onnx", "openvino", "torch"]

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Runtime:
    """An opened model with `bits` outputs for squares of `side` pixels, called `name`, computing in `numeric`.

    Threads may call it at once. Many images are computed `batch` at a time.
    """

    name: str
    numeric: Numeric
    bits: int
    side: int
    batch: int
    compute: Compute

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (N, side, side, 3) RGB bytes into (N, bits) logits."""
        if images.shape[1:] != (self.side, self.side, 3):
            raise ValueError(f"images must be (N, {self.side}, {self.side}, 3), got {images.shape}")
        parts = [self.compute(images[start : start + self.batch]) for start in range(0, len(images), self.batch)]
        return np.concatenate(parts) if parts else np.empty((0, self.bits), np.float32)


def open_runtime(bundle: Bundle, name: Name = "auto", numeric: Numeric = "float32", callers: int = 1) -> Runtime:
    """Return the runtime that computes logits for `bundle`, after checking its file against the digest.

    `callers` is how many threads will call it at once. For one, each image is computed on all processors, for several
    on one each: no processor waits for another then, so that many images take less time. Torch takes one at a time.
    `auto` is ONNX Runtime, or torch where the two were seen to differ when the model was written; in bfloat16 the one
    of that arithmetic. Raises `PluginError` where a runtime is not installed and `UsageError` where it cannot compute
    in that arithmetic.
    """
    chosen = _chosen(bundle, numeric) if name == "auto" else name
    if numeric not in ("float32", f"bfloat16-{chosen}"):
        raise UsageError(f"the runtime {chosen} does not compute in {numeric}", hint="use --runtime auto")
    if chosen == "torch":
        from ganhash_cli.engine import torch_runtime  # two seconds, which nobody else is to wait for

        compute = torch_runtime.open_network(bundle, "float32" if numeric == "float32" else "bfloat16")
        return Runtime(chosen, numeric, bundle.bits, bundle.side, TORCH_BATCH, compute)
    model = bundle.verified(bundle.onnx)
    try:
        _require_self_contained(model)
        compute = _checked(onnx(model, callers) if chosen == "onnx" else openvino(model, numeric, callers), bundle)
    except (UsageError, PluginError, ModuleNotFoundError):  # what is not installed is no fault of the model
        raise
    except Exception as error:  # neither library's exceptions share a base class
        raise CorruptError(f"{bundle.onnx} cannot be loaded: {error}") from error
    return Runtime(chosen, numeric, bundle.bits, bundle.side, batch_for(bundle.side, mirrored=bundle.mirrored), compute)


def numeric_of(name: Name, precision: Precision) -> Numeric:
    """Return the arithmetic of a runtime in a precision; `auto` in bfloat16 is OpenVINO's if installed, else torch's.

    Raises `UsageError` where it has none: ONNX Runtime computes in float32 alone.
    """
    if precision == "float32":
        return precision
    if name == "onnx":
        raise UsageError(
            f"ONNX Runtime computes this model in float32, not in {precision}", hint="--runtime openvino or torch does"
        )
    by_openvino = find_spec("openvino") if name == "auto" else name == "openvino"
    return "bfloat16-openvino" if by_openvino else "bfloat16-torch"


def of_onnx(model: bytes, bits: int, side: int) -> Runtime:
    """Return the ONNX Runtime of a model that is no bundle yet."""
    return Runtime("onnx", "float32", bits, side, batch_for(side), onnx(model))


def batch_for(side: int, *, mirrored: bool = False) -> int:
    """Return how many squares are computed at a time on a processor: its layers then stay in the caches.

    A network that is `mirrored` computes two images for each.

    >>> [batch_for(side) for side in (32, 64, 224, 384)]
    [16, 16, 4, 1]
    """
    return max(1, min(MOST_IMAGES, BATCH_PIXELS // side**2) // (2 if mirrored else 1))


def _checked(compute: Compute, bundle: Bundle) -> Compute:
    """Return what computes the same; where that is impossible or gives no logits, the model is at fault."""

    def checked(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            logits = compute(images)
        except Exception as error:  # neither library's exceptions share a base class
            raise CorruptError(f"{bundle.onnx} cannot be computed: {error}") from error
        if logits.shape != (len(images), bundle.bits) or logits.dtype != np.float32:
            raise CorruptError(f"{bundle.onnx} gives {logits.dtype} {logits.shape}, no logits of {bundle.bits} bits")
        return logits

    return checked


def _require_self_contained(model: bytes) -> None:
    """Refuse a model that names another file for its weights: both libraries would look for it in the current folder.

    It would say so by an entry with the key `location`, field 1 of `onnx.StringStringEntryProto`, whose tag and length
    may be written with more bytes than they need.
    """
    at = -1
    while (at := model.find(b"location", at + 1)) >= 0:
        if _KEY.search(model[max(0, at - 20) : at]):
            raise CorruptError("it names another file for its weights")


def _chosen(bundle: Bundle, numeric: Numeric) -> str:
    if numeric != "float32":
        return numeric.removeprefix("bfloat16-")
    check = bundle.metrics.get("onnx_check") or {}
    return "torch" if check.get("differing_per_million", 0) >= MOST_DIFFERING else "onnx"


def onnx(model: bytes, callers: int = 1) -> Compute:
    """Return what ONNX Runtime computes of a model; from bytes, so that nothing can come from outside this one file."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when it is imported; else it reports to its maker
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    if callers > 1:
        options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


@cache
def _openvino_core() -> Any:
    """Return what holds OpenVINO's plugin, the same to the end: unloaded, that frees the stack that signals run on."""
    from openvino import Core

    return Core()


def openvino(model: bytes, numeric: Numeric = "float32", callers: int = 1) -> Compute:
    """Return what OpenVINO computes of a model on the processor; `UsageError` where that has no such arithmetic."""
    try:
        from openvino import Tensor
    except ImportError:
        other = "use --runtime auto" if numeric == "float32" else "encode anew with --overwrite by another --runtime"
        raise PluginError(
            "the runtime openvino is not installed", hint=f"pip install 'ganhash[openvino]', or {other}"
        ) from None
    core = _openvino_core()
    hint = "f32" if numeric == "float32" else "bf16"
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
    if callers > 1:
        settings |= {"NUM_STREAMS": callers, "INFERENCE_NUM_THREADS": callers}
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
        raise UsageError(
            "this processor cannot compute in bfloat16 by OpenVINO", hint="encode anew with --precision float32"
        )
    # Its binding looks up numpy when it is first asked for an array; two threads that do so at once can wait for each
    # other for ever.
    Tensor(np.zeros(1, np.uint8)).data[:] = 0
    idle: SimpleQueue[Any] = SimpleQueue()  # of requests: each computes one batch at a time
    for _ in range(callers):
        idle.put(compiled.create_infer_request())

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = idle.get()
        try:
            # The result lies in memory that the next batch overwrites.
            logits: NDArray[np.float32] = request.infer({"images": images})[0].copy()
        finally:
            idle.put(request)
        return logits

    return compute
