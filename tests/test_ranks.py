"""Several processes train as one would: the same gradients, one writer, one error, and no waiting for who is gone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import forked
import ranked
from ganhash_cli.engine import backbones, exporter, fitting, gan, generator, ranks, training_state
from ganhash_cli.engine.adversarial import OBJECTIVES
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.fakes import Fakes as FakesFolder
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.model import HashNet, logits_of
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.sampling import Fakes, TrainingData
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin import registry
from pictures import paint_classes

CPU = torch.device("cpu")
TRAIN = ["-b", "smallconv", "-B", "width=8", "--bits", "12", "--epochs", "3", "--batch", "12", "--size", "32"]
GENERATE = ["-g", "tiny", "--steps", "9", "--batch", "4", "--features", "smallconv", "--count", "6"]
LONG = ["--epochs", "4000"]
STEPS = [("contrastive", False)]
STEPS += [(loss, fakes) for loss in ("triplet", "csq", "dpsh", "greedyhash") for fakes in (False, True)]


def data(fakes: bool) -> TrainingData:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    labels = np.eye(4, dtype=np.bool_)[np.arange(40) % 4]
    between = np.where(np.arange(12)[:, None] % 2, [[0, 1]], [[-1, -1]]).astype(np.int64)
    pool = Fakes(pixels[:12], between, pixels[12:20], labels[12:20]) if fakes else None
    return TrainingData(pixels[20:], labels[20:], pixels[:0], labels[:0], pool)


def step_gradients(loss: str, fakes: bool) -> dict[str, Tensor]:
    """Return the gradients of everything that learns at a second step, before which nothing moved but what is kept.

    Batch norm is frozen, and images are as they are.
    """
    identity = registry.identify("backbone", "smallconv", {"width": "8"})
    chosen = TrainSettings(backbone=identity, bits=12, batch=16, loss=loss, size=32, label_weight=1, entropy_weight=1)
    torch.manual_seed(0)
    network = HashNet(backbones.build(identity), chosen.bits)
    state = training_state.start(network, 4, chosen, 10, CPU)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "augment", lambda images, how: images)
        patch.setattr(state.optimiser, "step", lambda: None)
        patch.setattr(state.schedule, "step", lambda: None)
        for state.step in range(2):
            fitting._step(state, data(fakes), chosen, 10, CPU)
    learning = {"network": network, **({"classifier": state.classifier} if state.classifier else {})}
    return gradients(nn.ModuleDict(learning))


def game_gradients() -> dict[str, Tensor]:
    """Move a critic and a generator once, with flips but without augmentation; return their gradients."""
    identity = registry.identify("generator", "tiny", {})
    chosen = GenerateSettings(generator=identity, steps=4, batch=8, augment="none", flips=True, consistency=1.0)
    torch.manual_seed(0)
    state = gan._start(generator.build(identity, (1, 28, 28), 2), chosen, CPU)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8))
    known, objective = gan.Data(pixels, torch.arange(20) % 2), OBJECTIVES["hinge"]
    assert state.critic is not None
    for move in (gan._move_critic, gan._move_generator):
        torch.manual_seed(1)
        move(state, state.critic, objective, known, chosen, CPU)
    return gradients(nn.ModuleDict({"network": state.network, "critic": state.critic}))


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: each.grad for name, each in network.named_parameters() if each.grad is not None}


def all_gradients() -> dict[str, dict[str, Tensor]]:
    found = {f"{loss} {fakes}": step_gradients(loss, fakes) for loss, fakes in STEPS}
    return {**found, "game": game_gradients()}


def write_gradients(folder: Path) -> None:
    with ranks.joined(CPU, 30):
        torch.save(all_gradients(), folder / f"{os.environ['RANK']}.pt")


def same(several: dict[str, Tensor], one: dict[str, Tensor]) -> None:
    assert several.keys() == one.keys()
    for name, value in one.items():
        rounding = max(1e-6, 2e-4 * float(value.abs().max()))  # of sums in another order, in which most cancels
        torch.testing.assert_close(
            several[name], value, rtol=1e-4, atol=rounding, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture(scope="module")
def of_each(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, dict[str, Tensor]]]]:
    """The gradients of one process, of each of two, and of each of three, whose shares are uneven."""
    found = {}
    for count in (1, 2, 3):
        folder = tmp_path_factory.mktemp("gradients")
        assert ranked.call(write_gradients, count, folder) == [0] * count
        found[count] = [torch.load(folder / f"{rank}.pt") for rank in range(count)]
    return found


@pytest.mark.parametrize(("loss", "fakes"), STEPS)
@pytest.mark.parametrize("count", [2, 3])
def test_the_gradients_of_several_processes_are_those_of_one(loss: str, fakes: bool, count: int, of_each) -> None:
    (one,) = of_each[1]
    for several in of_each[count]:
        same(several[f"{loss} {fakes}"], one[f"{loss} {fakes}"])


def test_critic_and_generator_move_as_in_one_process(of_each) -> None:
    for several in of_each[2]:
        same(several["game"], of_each[1][0]["game"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(paint_classes(tmp_path_factory.mktemp("pictures") / "images"))


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.rglob("step-*.ckpt"))


@pytest.fixture
def running(pictures: str, tmp_path: Path) -> Iterator[list[ForkServerProcess]]:
    """Two processes in the midst of a long training in `tmp_path / "here"`."""
    processes = ranked.start(tmp_path / "here", ["train", pictures, *TRAIN, *LONG], 2)
    give_up = time.monotonic() + 60
    while not checkpoints(tmp_path / "here") and time.monotonic() < give_up:
        time.sleep(0.01)
    yield processes
    ranked.ended(processes, 0)


def test_two_processes_write_one_model_and_say_everything_once(pictures: str, tmp_path: Path) -> None:
    command = ["train", pictures, *TRAIN, "--no-fakes"]
    assert ranked.run(tmp_path / "here", command, 2) == [0, 0]
    said = forked.said(tmp_path / "here")
    assert said.count("computing on cpu, 2 processes") == said.count("training smallconv: ") == 1
    assert "9/9 steps" in said
    assert Bundle.open(tmp_path / "here" / "model").metrics["validation_map_at_all"] > 0.4
    assert ranked.run(tmp_path / "here", command, 2) == [0, 0]
    assert forked.said(tmp_path / "here").count("already done") == 1


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_processes(before: int, after: int, pictures: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    command = ["train", pictures, *TRAIN, "--no-fakes", "--epochs", "10"]
    processes = ranked.start(here, command, before)
    while not checkpoints(here):
        time.sleep(0.002)
    for process in processes:
        process.kill()
    assert ranked.ended(processes) == [-signal.SIGKILL] * before
    assert ranked.run(here, command, after) == [0] * after, forked.said(here)
    assert forked.said(here).count("going on from step") == 1
    assert Bundle.open(here / "model").metrics["validation_map_at_all"] > 0.4


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_one_process_is_killed_the_other_says_so_and_ends(
    victim: int, running: list[ForkServerProcess], tmp_path: Path
) -> None:
    running[victim].kill()
    codes = ranked.ended(running)
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == 7
    said = forked.said(tmp_path / "here")
    assert (
        len(re.findall("^error:", said, re.MULTILINE))
        == said.count("lost another one")
        == said.count("goes on from the last checkpoint")
        == 1
    )
    assert checkpoints(tmp_path / "here")


def test_a_signal_to_one_process_stops_all_after_the_same_step(
    running: list[ForkServerProcess], tmp_path: Path
) -> None:
    os.kill(running[1].pid or 0, signal.SIGTERM)
    assert ranked.ended(running) == [143, 143]
    assert forked.said(tmp_path / "here").count("interrupted, state saved") == 1


@pytest.mark.parametrize("present", [0, 1])
def test_a_process_that_does_not_come_is_not_waited_for_for_ever(present: int, pictures: str, tmp_path: Path) -> None:
    command = ["train", pictures, *TRAIN, "--join-timeout", "1"]
    assert ranked.run(tmp_path / "here", command, 2, [present]) == [7]
    assert f"of 2 processes, {1 - present} did not come within 1 s" in forked.said(tmp_path / "here")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["train", "images-0", *TRAIN, "--batch", "4"], 2, "4 images in a step cannot be shared by 3 processes"),
        (["train", "images-0", *TRAIN, "--sync-batch-norm"], 2, "--sync-batch-norm works on GPUs only"),
        (["train", "images-{rank}", *TRAIN], 5, "this process sees other images"),
        (["generate", "images-0", *GENERATE, "--batch", "7"], 2, "7 images in a step cannot be shared by 3 processes"),
        pytest.param(
            ["generate", "images-{rank}", *GENERATE], 5, "this process sees other images", marks=pytest.mark.slow
        ),
    ],
)
def test_what_several_processes_cannot_do_is_one_error(
    arguments: list[str], exit_code: int, message: str, tmp_path: Path
) -> None:
    for rank in range(3):
        paint_classes(tmp_path / "here" / f"images-{rank}", each=4 + rank)
    assert exit_code in ranked.run(tmp_path / "here", arguments, 3)
    said = forked.said(tmp_path / "here")
    assert len(re.findall("^error:", said, re.MULTILINE)) == 1, said
    assert message in said


@pytest.mark.parametrize(
    ("environment", "message"),
    [({"RANK": "0"}, "MASTER_ADDR"), ({"RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}, "RANK is 2")],
)
def test_a_half_told_number_of_processes_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message), ranks.joined(CPU, 1):
        pass


def test_two_processes_make_one_folder_of_fakes(pictures: str, tmp_path: Path) -> None:
    assert ranked.run(tmp_path / "here", ["generate", pictures, *GENERATE], 2) == [0, 0], forked.said(tmp_path / "here")
    assert len(FakesFolder.open(tmp_path / "here" / "fakes").collection.entries) == 6
    said = forked.said(tmp_path / "here")
    assert said.count("training tiny: ") == said.count("drawing fakes") == 1


@pytest.mark.slow
def test_norms_that_are_synchronised_are_exported_as_others_are(tmp_path: Path) -> None:
    identity = registry.identify("backbone", "timm", {"model": "resnet10t", "pretrained": "false"})
    network = HashNet(backbones.build(identity), 8)
    names, pixels = network.state_dict().keys(), data(fakes=False).training
    before = logits_of(network, pixels, CPU)
    ranks.synchronise(network, torch.device("cuda"))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    assert not any(type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) for module in network.modules())
    assert network.state_dict().keys() == names
    np.testing.assert_allclose(logits_of(network, pixels, CPU), before, rtol=1e-5, atol=1e-6)
    assert finish(exporter.export(network, 32, tmp_path, pixels))["bits_differing"] == 0


def torchrun(folder: Path, *arguments: str, count: int = 2, interval: float = 0.1) -> "subprocess.Popen[str]":
    """Begin a command by torchrun itself, on the bundled sample; every `interval` seconds it looks for who ended."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    launcher += [f"--monitor-interval={interval}", "-m", "ganhash_cli"]
    small = ["-b", "smallconv", "-B", "width=8", "--size", "32", "--no-fakes", "--model", str(folder / "model")]
    return subprocess.Popen(
        [sys.executable, *launcher, "train", *small, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_torchrun_starts_them(tmp_path: Path) -> None:
    process = torchrun(tmp_path, "--epochs", "1", "--batch", "128", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["training_images"] == 900  # and nothing else on stdout
    assert err.count("computing on cpu, 2 processes") == 1


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["0", "1"])
def test_torchrun_ends_all_when_one_is_killed(victim: str, tmp_path: Path) -> None:
    # So seldom that on a busy machine, too, the other process finds out before torchrun ends it.
    process = torchrun(tmp_path, "--epochs", "4000", interval=15)
    give_up = time.monotonic() + 120
    while not checkpoints(tmp_path) and time.monotonic() < give_up:
        time.sleep(0.2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    told = {pid: Path(f"/proc/{pid}/environ").read_text() for pid in children}
    (pid,) = [int(pid) for pid, environment in told.items() if f"\0RANK={victim}\0" in f"\0{environment}"]
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 60
    assert process.returncode != 0
    assert err.count("lost another one") == 1, err
    assert checkpoints(tmp_path)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    scores = []
    for count in (1, 2):
        place = tmp_path / str(count)
        place.mkdir()
        out, _ = torchrun(place, "--epochs", "8", "--json", count=count).communicate(timeout=300)
        scores.append(json.loads(out)["validation_map_at_all"])
    assert abs(scores[0] - scores[1]) < 0.08, scores
    assert min(scores) > 0.5, scores
