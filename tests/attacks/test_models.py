"""S1, S2, S9: a model of strangers runs no code and reaches no other file; what does not fit is refused with exit 6."""

import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from ganhash_cli.engine import bundle, checkpoint, files, runtime, torch_runtime
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.errors import CorruptError
from linear_hash import SIDE, write_bundle
from pictures import paint
from reliability_card import record
from test_encode_command import Printed, run


def resealed(folder: Path, **changes: object) -> Bundle:
    """Give a changed model the right checksums and fingerprint, as an attacker would."""
    path = folder / bundle.DESCRIPTION
    facts = json.loads(path.read_bytes()) | changes
    facts["digests"] = {name: files.sha256(folder / name) for name in (bundle.WEIGHTS, bundle.ONNX)}
    facts["fingerprint"] = bundle.fingerprint(facts["digests"], facts["backbone"], facts["bits"], facts["side"])
    del facts["sha256"]
    path.write_text(json.dumps(facts | {"sha256": files.json_digest(facts)}))
    return Bundle.open(folder)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound model beside an image and a secret, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "model")
    paint(tmp_path / "photos" / "a.png", (200, 40, 40), 0)
    (tmp_path / "secret").write_bytes(np.ones(1 << 20, np.float32).tobytes())
    return tmp_path / "model"


def outside(where: str) -> Callable[[onnx.ModelProto], None]:
    """Have the matrix come from another file."""

    def attack(graph: onnx.ModelProto) -> None:
        matrix = next(tensor for tensor in graph.graph.initializer if tensor.name == "matrix")
        size = len(matrix.raw_data)
        matrix.ClearField("raw_data")
        matrix.data_location = TensorProto.EXTERNAL
        for key, value in {"location": where, "offset": "0", "length": str(size)}.items():
            matrix.external_data.add(key=key, value=value)

    return attack


def outside_a_constant(graph: onnx.ModelProto) -> None:
    outside("../secret")(graph)
    matrix = next(tensor for tensor in graph.graph.initializer if tensor.name == "matrix")
    graph.graph.node.insert(0, helper.make_node("Constant", [], ["matrix"], value=matrix))
    graph.graph.initializer.remove(matrix)


def foreign_operator(graph: onnx.ModelProto) -> None:
    graph.opset_import.append(helper.make_opsetid("evil", 1))
    graph.graph.node[-1].domain = "evil"


def other_input(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "pictures"


def other_width(graph: onnx.ModelProto) -> None:
    graph.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones((3 * SIDE**2, 5), np.float32), "matrix"))
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5


def other_rank(graph: onnx.ModelProto) -> None:
    graph.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones(3 * SIDE**2, np.float32), "matrix"))
    del graph.graph.output[0].type.tensor_type.shape.dim[1]


def other_kind(graph: onnx.ModelProto) -> None:
    graph.graph.node[-1].output[0] = "real"
    graph.graph.node.append(helper.make_node("Cast", ["real"], ["logits"], to=TensorProto.STRING))
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING


def not_finite(graph: onnx.ModelProto) -> None:
    nan = np.full((3 * SIDE**2, 16), np.nan, np.float32)
    wanted = graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.resize(nan, (3 * SIDE**2, wanted)), "matrix"))


def too_large(graph: onnx.ModelProto) -> None:
    shape = numpy_helper.from_array(np.array([1 << 40], np.int64), "shape")
    graph.graph.initializer.append(shape)
    graph.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["endless"]))
    graph.graph.node[-1].output[0] = "real"
    graph.graph.node.append(helper.make_node("ReduceSum", ["endless"], ["sum"], keepdims=0))
    graph.graph.node.append(helper.make_node("Add", ["real", "sum"], ["logits"]))


ATTACKS = {
    "parent folder": outside("../secret"),
    "current folder": outside("secret"),
    "absolute": outside("/proc/self/exe"),
    "memory": outside("*/_ORT_MEM_ADDR_/*"),
    "constant": outside_a_constant,
    "operator": foreign_operator,
    "input": other_input,
    "width": other_width,
    "rank": other_rank,
    "kind": other_kind,
    "not finite": not_finite,
    "too large": too_large,
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("chosen", ["onnx", "openvino"])
def test_a_hostile_onnx_file_is_exit_6(model: Path, capsys: Printed, name: str, chosen: str) -> None:
    """S9: no data from outside the file, no operators of others, and nothing but the logits that are described."""
    if chosen == "openvino":
        pytest.importorskip("openvino")
    graph = onnx.load(model / bundle.ONNX)
    ATTACKS[name](graph)
    (model / bundle.ONNX).write_bytes(graph.SerializeToString())
    resealed(model)
    code, out, error = run(capsys, "encode", "photos", "--runtime", chosen)
    assert (code, out) == (6, ""), error
    assert not Path("codes.h5").exists()


@pytest.mark.parametrize("name", ["parent folder", "constant"])
def test_a_query_with_a_hostile_onnx_file_is_exit_6(model: Path, capsys: Printed, name: str) -> None:
    """S9: the same where a single image is hashed."""
    assert run(capsys, "encode", "photos")[0] == 0
    graph = onnx.load(model / bundle.ONNX)
    ATTACKS[name](graph)
    (model / bundle.ONNX).write_bytes(graph.SerializeToString())
    opened = resealed(model)
    with pytest.raises(CorruptError, match=r"hasher\.onnx"):
        runtime.open_runtime(opened).logits(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def header(content: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(content)) + content + data


def tensors(**places: tuple[str, list[int], tuple[int, int]]) -> bytes:
    made = {name: {"dtype": d, "shape": s, "data_offsets": list(o)} for name, (d, s, o) in places.items()}
    return json.dumps(made).encode()


WEIGHTS = {
    "nothing": b"",
    "declared header": struct.pack("<Q", 100 << 20),
    "endless header": struct.pack("<Q", 2**64 - 1) + b"{}",
    "large header": header(b"{" + b" " * (101 << 20) + b"}"),
    "deep header": header(b"[" * 1_000_000),
    "no JSON": header(b"\xff\xfe"),
    "overlap": header(tensors(a=("F32", [2], (0, 8)), b=("F32", [2], (4, 12))), bytes(12)),
    "hole": header(tensors(a=("F32", [1], (0, 4)), b=("F32", [1], (8, 12))), bytes(12)),
    "beyond": header(tensors(a=("F32", [1 << 40], (0, 1 << 42)))),
    "wrong size": header(tensors(a=("F32", [3], (0, 8))), bytes(8)),
    "no such kind": header(tensors(a=("P32", [2], (0, 8))), bytes(8)),
    "negative": header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
    "overflow": header(tensors(a=("F32", [2**33, 2**33], (0, 8))), bytes(8)),
    "other keys": header(tensors(**{"a.weight": ("F32", [2], (0, 8))}), bytes(8)),
    "pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_are_refused(model: Path, name: str) -> None:
    """S2: headers that lie, overlap or never end, and tensors of another network."""
    (model / bundle.WEIGHTS).write_bytes(WEIGHTS[name])
    opened = resealed(
        model,
        backbone={
            "kind": "backbone",
            "name": "smallconv",
            "options": {},
            "package": "ganhash",
            "version": "0",
            "contract": 1,
        },
    )
    with pytest.raises(CorruptError, match=r"weights\.safetensors"):
        torch_runtime.open_network(opened, "float32")
    record("S2 weights", "hostile safetensors files", files=len(WEIGHTS), read=0)


class Harm:
    """What makes a file where it is unpickled."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        if self.kind == "system":
            return os.system, ("touch harmed",)
        return (exec, ("open('harmed', 'w').close()",)) if self.kind == "exec" else (open, ("harmed", "w"))


PICKLES = {
    "system": lambda: Harm("system"),
    "exec": lambda: Harm("exec"),
    "open": lambda: Harm("open"),
    "nested": lambda: {"model": [torch.zeros(1), Harm("exec")]},
    "module": lambda: torch.nn.Linear(1, 1),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_in_the_place_of_a_checkpoint_is_refused(tmp_path: Path, name: str, legacy: bool) -> None:
    """S1: whole by its digest, as an attacker would write it, and yet never run."""
    import hashlib
    from io import BytesIO

    stream = BytesIO()
    torch.save(PICKLES[name](), stream, _use_new_zipfile_serialization=not legacy)
    payload = stream.getvalue()
    (tmp_path / "step-00000001.ckpt").write_bytes(hashlib.sha256(payload).digest() + payload)
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(CorruptError, match="refused as unsafe"):
            checkpoint.load_latest(tmp_path)
    finally:
        os.chdir(here)
    assert not (tmp_path / "harmed").exists()
    record("S1 pickles", "files that would run code", files=2 * len(PICKLES), run=0)


RAW = {
    "pickle": pickle.dumps(Harm("exec")),
    "tar": b"ustar" + bytes(600),
    "zip": b"PK\x03\x04" + bytes(60),
    "nothing": b"",
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    """S1: a bare pickle, an archive, nothing or noise behind a right digest."""
    import hashlib

    (tmp_path / "step-00000001.ckpt").write_bytes(hashlib.sha256(RAW[name]).digest() + RAW[name])
    with pytest.raises(CorruptError):
        checkpoint.load_latest(tmp_path)
    assert not Path("harmed").exists()


def test_the_fingerprint_tells_everything_that_decides_a_code() -> None:
    """S5: another weight, backbone, number of bits, side, decode or bit order gives another fingerprint."""
    digests = {bundle.WEIGHTS: "0", bundle.ONNX: "1"}
    backbone = {"name": "a", "options": {}}
    same = bundle.fingerprint(digests, backbone, 64, 224)
    others = [
        bundle.fingerprint(digests | {bundle.WEIGHTS: "2"}, backbone, 64, 224),
        bundle.fingerprint(digests | {bundle.ONNX: "2"}, backbone, 64, 224),
        bundle.fingerprint(digests, backbone | {"options": {"width": 2}}, 64, 224),
        bundle.fingerprint(digests, backbone, 32, 224),
        bundle.fingerprint(digests, backbone, 64, 192),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (("decoding", "DECODE_VERSION"), ("bits", "BIT_ORDER"), ("bits", "SIGN_RULE")):
            with patch.context() as one:
                one.setattr(sys.modules[f"ganhash_cli.engine.{module}"], name, "other")
                others.append(bundle.fingerprint(digests, backbone, 64, 224))
    assert len({same, *others}) == 9
