"""Every runtime gives the codes of the model; which one computes, and in which arithmetic, is known and kept apart."""

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganhash_cli.engine import backbones, bundle, codes, exporter, images, runtime
from ganhash_cli.engine.bits import Numeric
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.encoder import encode
from ganhash_cli.engine.model import HashNet
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import CorruptError, MismatchError, PluginError, UsageError
from ganhash_cli.plugin import registry
from linear_hash import write_bundle
from pictures import paint_classes
from test_encode_command import Printed, run
from test_merger import rewritten

BITS, SIDE = 16, 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights, written as `train` writes one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runtime") / "model"
    folder.mkdir()
    identity = registry.identify("backbone", "smallconv", {"width": "8"})
    network = HashNet(backbones.build(identity), BITS)
    with torch.no_grad():
        network.norm.bias.normal_()  # so that not all logits lie close to zero
    check = finish(exporter.export(network, SIDE, folder, pixels(64)))
    facts = {"class_names": (), "source": "", "training_digest": "", "settings": {}, "fakes": None}
    bundle.write(folder, backbone=identity.as_json(), bits=BITS, side=SIDE, metrics={"onnx_check": check}, **facts)
    return folder


def pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
@pytest.mark.parametrize("count", [0, 1, 33])
def test_every_runtime_gives_the_same_logits_for_any_number_of_images(model: Path, name: runtime.Name, count: int):
    opened = Bundle.open(model)
    found = runtime.open_runtime(opened, name)
    expected = runtime.open_runtime(opened).logits(pixels(count))
    assert (found.name, found.numeric, found.logits(pixels(count)).dtype) == (name, "float32", np.float32)
    np.testing.assert_allclose(found.logits(pixels(count)), expected, atol=1e-3)


@pytest.mark.parametrize("loss", [("triplet", "--epochs", "1"), ("itq",)])
def test_a_model_trained_mirrored_gives_an_image_and_its_mirror_image_one_code(
    loss: tuple[str, ...], tmp_path: Path, capsys: Printed
):
    paint_classes(tmp_path / "images", each=8)
    places = [f"{tmp_path}/images", "--model", f"{tmp_path}/model"]
    small = ["--backbone", "smallconv", "-B", "width=8", "--bits", "8"]
    code, _, error = run(capsys, "train", *places, *small, "--mirrored", "--loss", *loss)
    assert code == 0, error
    opened = Bundle.open(tmp_path / "model")
    images = np.random.default_rng(1).integers(0, 256, (5, opened.side, opened.side, 3), dtype=np.uint8)
    expected = runtime.open_runtime(opened).logits(images)
    for name in ("onnx", "openvino", "torch"):
        found = runtime.open_runtime(opened, name)
        np.testing.assert_allclose(found.logits(images), expected, atol=1e-3)
        np.testing.assert_allclose(found.logits(images[:, :, ::-1]), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_bfloat16_gives_nearly_the_same_logits(model: Path, name: runtime.Name):
    opened = Bundle.open(model)
    try:
        found = runtime.open_runtime(opened, name, runtime.numeric_of(name, "bfloat16")).logits(pixels(33))
    except UsageError as error:
        pytest.skip(error.message)
    expected = runtime.open_runtime(opened).logits(pixels(33))
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_a_batch_does_not_change_what_an_earlier_one_gave(model: Path):
    opened = runtime.open_runtime(Bundle.open(model), "openvino")
    first = opened.compute(pixels(2))
    before = first.copy()
    opened.compute(pixels(4)[2:])
    assert np.array_equal(first, before)


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
def test_many_threads_get_what_one_gets(model: Path, name: runtime.Name):
    opened = Bundle.open(model)
    alone, shared = runtime.open_runtime(opened, name), runtime.open_runtime(opened, name, callers=4)
    parts = np.split(pixels(96), 12)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.logits, parts * 5))
    expected = [alone.logits(part) for part in parts] * 5
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=1e-4)


def test_auto_is_onnx_but_torch_where_onnx_was_seen_to_differ(model: Path):
    opened = Bundle.open(model)
    assert runtime.open_runtime(opened).name == "onnx"
    opened.metrics["onnx_check"] = {"differing_per_million": 11.0}
    assert runtime.open_runtime(opened).name == "torch"


@pytest.mark.parametrize(("installed", "name"), [(True, "openvino"), (False, "torch")])
def test_auto_in_bfloat16_is_openvino_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool, name: str
):
    monkeypatch.setattr(runtime, "find_spec", lambda _: installed or None)
    assert runtime.numeric_of("auto", "bfloat16") == f"bfloat16-{name}"


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_codes_in_bfloat16_get_the_runtime_that_made_them(
    model: Path, monkeypatch: pytest.MonkeyPatch, name: Literal["openvino", "torch"]
):
    monkeypatch.setattr(runtime, "find_spec", lambda _: True if name == "torch" else None)
    monkeypatch.setattr(runtime, "openvino", lambda *_: pixels)
    assert runtime.open_runtime(Bundle.open(model), numeric=f"bfloat16-{name}").name == name


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_no_runtime_passes_for_the_bfloat16_of_another(model: Path, name: runtime.Name):
    with pytest.raises(UsageError, match=f"{name} does not compute in bfloat16-torch"):
        runtime.open_runtime(Bundle.open(model), name, "bfloat16-torch")


def test_a_processor_without_bfloat16_is_said_to_have_none(model: Path, monkeypatch: pytest.MonkeyPatch):
    openvino = pytest.importorskip("openvino")

    class WithoutBfloat16(openvino.Core):
        def compile_model(self, network: object, device: str, _: object) -> object:
            return super().compile_model(network, device, {"INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(runtime, "_openvino_core", WithoutBfloat16)
    with pytest.raises(UsageError, match="cannot compute in bfloat16"):
        runtime.open_runtime(Bundle.open(model), "openvino", "bfloat16-openvino")


def test_onnx_runtime_has_no_bfloat16():
    with pytest.raises(UsageError) as caught:
        runtime.numeric_of("onnx", "bfloat16")
    assert "openvino" in caught.value.hint


@pytest.mark.parametrize(
    ("numeric", "other"), [("float32", "--runtime auto"), ("bfloat16-openvino", "encode anew with --overwrite")]
)
def test_without_openvino_the_line_that_installs_it_and_another_way_are_named(
    model: Path, monkeypatch: pytest.MonkeyPatch, numeric: Numeric, other: str
):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(PluginError) as caught:
        runtime.open_runtime(Bundle.open(model), "openvino", numeric)
    assert "pip install 'ganhash[openvino]'" in caught.value.hint
    assert other in caught.value.hint


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_model_that_no_runtime_can_read_is_named(tmp_path: Path, name: runtime.Name):
    opened = write_bundle(tmp_path / "model")
    opened.onnx.write_bytes(b"no model")
    with pytest.raises(CorruptError, match=r"hasher\.onnx"):
        runtime.open_runtime(opened, name)


def test_codes_of_two_arithmetics_are_not_mixed(model: Path, tmp_path: Path):
    opened, folder, out = Bundle.open(model), paint_classes(tmp_path / "folder"), tmp_path / "codes.h5"
    report = finish(encode(opened, images.collect(folder), out, runtime_name="torch", precision="bfloat16"))
    assert report.differing is not None
    assert 0 <= report.differing < 1e6 / 4
    with codes.open_codes(out) as stored:
        assert stored.header.numeric == "bfloat16-torch"
    with pytest.raises(MismatchError, match="holds codes of bfloat16-torch"):
        finish(encode(opened, images.collect(folder), out))
    usual = finish(encode(opened, images.collect(folder), out, overwrite=True))
    assert (usual.encoded, usual.differing) == (36, None)


@pytest.mark.parametrize(
    ("stored", "other"), [("bfloat16-torch", "openvino"), ("bfloat16-openvino", "torch"), ("float32", "auto")]
)
def test_an_encode_in_bfloat16_does_not_mix_the_arithmetics_of_runtimes(
    model: Path, tmp_path: Path, stored: Numeric, other: runtime.Name
):
    opened, folder, out = Bundle.open(model), paint_classes(tmp_path / "folder"), tmp_path / "codes.h5"
    finish(encode(opened, images.collect(folder), out))
    rewritten(out, numeric=stored)
    with pytest.raises(MismatchError, match=f"holds codes of {stored}"):
        finish(encode(opened, images.collect(folder), out, runtime_name=other, precision="bfloat16"))


@pytest.mark.parametrize("stored", ["bfloat16-torch", "bfloat16-openvino"])
def test_codes_in_bfloat16_are_added_to_by_the_runtime_that_made_them(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Numeric
):
    opened, folder, out = Bundle.open(model), paint_classes(tmp_path / "folder"), tmp_path / "codes.h5"
    finish(encode(opened, images.collect(folder), out))
    rewritten(out, numeric=stored)
    paint_classes(tmp_path / "folder" / "more")
    asked, float32 = [], runtime.open_runtime(opened)

    def opening(_: Bundle, name: runtime.Name, numeric: Numeric = "float32", callers: int = 1) -> runtime.Runtime:
        asked.append((name, numeric))
        return float32

    monkeypatch.setattr(runtime, "open_runtime", opening)
    report = finish(encode(opened, images.collect(folder), out, precision="bfloat16"))
    assert (report.kept, asked) == (36, [("auto", stored)])


def test_a_query_follows_the_arithmetic_of_the_codes(
    model: Path, tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("model").symlink_to(model)
    paint_classes(Path("folder"))
    code, out, _ = run(capsys, "encode", "folder", "--runtime", "torch", "--precision", "bfloat16", "--json")
    assert (code, json.loads(out)["differing_per_million"] >= 0) == (0, True)
    asked = []
    monkeypatch.setattr(runtime, "_chosen", lambda _, numeric: asked.append(numeric) or "torch")
    code, out, _ = run(capsys, "query", "folder/red/00.png", "-k", "1", "--json")
    assert (code, asked) == (0, ["bfloat16-torch"])
    assert json.loads(out)["distance"] == 0
    code, out, _ = run(capsys, "info", "codes.h5", "--json")
    assert json.loads(out)["numeric"] == "bfloat16-torch"


def test_onnx_runtime_leaves_nothing_behind_and_so_has_nothing_to_report(model: Path, tmp_path: Path):
    """Version 1.32 keeps an identifier of the device and a store of events, which it sends to its maker."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_DATA_HOME": str(home / "data")}
    code = "import sys; from pathlib import Path; from ganhash_cli.engine import bundle, runtime;"
    code += "runtime.open_runtime(bundle.Bundle.open(Path(sys.argv[1])), 'onnx')"
    subprocess.run([sys.executable, "-c", code, str(model)], env=kept | places, check=True)
    assert list(home.iterdir()) == []


def test_threads_may_all_begin_with_openvino_at_once(model: Path):
    code = """
        import os, sys, threading
        from pathlib import Path
        import numpy as np
        from ganhash_cli.engine import bundle, runtime
        opened = runtime.open_runtime(bundle.Bundle.open(Path(sys.argv[1])), "openvino", callers=4)
        image, gate = np.zeros((1, opened.side, opened.side, 3), np.uint8), threading.Barrier(4)
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=lambda: (gate.wait(), opened.logits(image)), daemon=True) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(20)
        os._exit(any(thread.is_alive() for thread in threads))
    """
    assert (
        subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(model)], check=False, timeout=120).returncode
        == 0
    )
