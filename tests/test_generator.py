"""Generators keep their contract, learn by each objective, and resume to the same weights."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stranger
from cases import mostly_slow
from ganhash_cli.engine import adversarial, checkpoint, diffaugment, gan, generator, stability
from ganhash_cli.engine.gan import Data
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.progress import Progress, finish
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import Interrupted, PluginError, UsageError
from ganhash_cli.plugin import registry
from ganhash_cli.plugin.registry import Identity
from ganhash_plugins.generators.sngan_resnet import SnganResnet

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread(_same_for_every_test: None) -> None:
    """Work this small only waits for a second thread."""
    torch.set_num_threads(1)


def tiny(**options: str) -> Identity:
    return registry.identify("generator", "tiny", options)


def settings(**changes: Any) -> GenerateSettings:
    return GenerateSettings(**{"generator": tiny(), "steps": 4, "batch": 8, "augment": "translation", **changes})


def two_greys(count: int = 20) -> Data:
    """Dark images of class 0 and light ones of class 1."""
    labels = torch.arange(count) % 2
    return Data((60 + 130 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28).contiguous(), labels)


def build(identity: Identity, classes: int | None = 2, size: tuple[int, int, int] = (1, 28, 28)) -> nn.Module:
    torch.manual_seed(0)
    return generator.build(identity, size, classes)


def trained(folder: Path, chosen: GenerateSettings, data: Data | None = None) -> nn.Module:
    return finish(gan.train(build(chosen.generator), data or two_greys(), chosen, folder, CPU)).network


def equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


SMALL = {
    "dcgan": {"base": "8"},
    "ddpm": {"base": "8", "drawing_steps": "2"},
    "progan": {"base": "4"},
    "sngan": {"base": "4", "critic_base": "4"},
    "sngan-resnet": {"base": "4", "critic_base": "4"},
    "tiny": {},
    "wgan-gp": {"base": "4", "critic_base": "4"},
}


def small(name: str) -> Identity:
    return registry.identify("generator", name, SMALL[name])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(1, 28, 28), (3, 33, 33), (3, 64, 64), (1, 128, 128)])
@pytest.mark.parametrize("classes", [None, 1, 3])
def test_a_generator_paints_any_square_size_with_and_without_classes(
    name: str, size: tuple[int, int, int], classes: int | None
) -> None:
    network = build(small(name), classes, size).eval()
    labels = None if classes is None else torch.zeros(2, dtype=torch.int64)
    images = network(torch.randn(2, generator.contract(network).latent_dim), labels)
    assert tuple(images.shape) == (2, *size)
    assert images.abs().max() <= 1
    if hasattr(network, "critic"):
        scores, _ = adversarial.verdict(network.critic(), images, labels)  # type: ignore[operator]  # critic() is of its contract
        assert tuple(scores.shape) == (2,)


@pytest.mark.parametrize(("side", "wanted"), [(32, "DD.."), (64, "DDD.."), (128, "DDDD..")])
def test_the_residual_critic_halves_down_to_8_pixels_and_has_two_stages_there(side: int, wanted: str) -> None:
    critic = SnganResnet((3, side, side), 10, base=4, critic_base=4).critic()
    stages = list(cast(nn.Sequential, critic.body))
    assert "".join("D" if cast(Any, stage).halves else "." for stage in stages) == wanted


@pytest.mark.parametrize("name", SMALL)
def test_a_generator_that_was_stopped_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    chosen = settings(generator=small(name), steps=4, consistency=1.0)
    whole = trained(tmp_path / "whole", chosen)
    work = gan.train(build(chosen.generator), two_greys(), chosen, tmp_path / "stopped", CPU)
    next(work), next(work)
    with pytest.raises(Interrupted):
        work.throw(Interrupted(15))
    assert equal(trained(tmp_path / "stopped", chosen), whole)


@pytest.mark.parametrize("name", mostly_slow(["ddpm", "progan", "sngan", "sngan-resnet", "wgan-gp"], "sngan"))
def test_each_architecture_learns_which_class_is_light(name: str, tmp_path: Path) -> None:
    steps = 60 if name == "wgan-gp" else 200
    network = trained(
        tmp_path, settings(generator=small(name), steps=steps, learning_rate=3e-3, ema_decay=0.9, batch=16)
    )
    latents = torch.randn(32, generator.contract(network).latent_dim, generator=torch.Generator().manual_seed(1))
    dark, light = (network(latents, torch.full((32,), label)).mean() for label in (0, 1))
    assert light - dark > 0.3


def test_a_generator_that_grows_is_grown_when_training_ends(tmp_path: Path) -> None:
    network: Any = trained(tmp_path, settings(generator=small("progan"), steps=3))
    assert network.progress == 1.0


def test_a_critic_that_tells_classes_learns_to(tmp_path: Path) -> None:
    seen: list[Any] = []
    network: Any = build(small("wgan-gp"))
    new = network.critic
    network.critic = lambda: seen.append(new()) or seen[-1]
    finish(gan.train(network, two_greys(), settings(steps=20, learning_rate=3e-3), tmp_path, CPU))
    data = two_greys()
    _, classes = adversarial.verdict(seen[0], data.images.float() / 127.5 - 1, data.labels)
    assert classes is not None
    assert torch.equal(classes.argmax(1), data.labels)


def test_consistency_makes_the_critic_agree_about_two_views(tmp_path: Path) -> None:
    critics: list[Any] = []
    policy, data = "translation,cutout", two_greys()
    for weight in (0.0, 10.0):
        network: Any = build(small("sngan"))
        new = network.critic
        network.critic = lambda new=new: critics.append(new()) or critics[-1]
        chosen = settings(steps=30, learning_rate=3e-3, consistency=weight, augment=policy)
        finish(gan.train(network, data, chosen, tmp_path / f"{weight}", CPU))
    real = data.images.float() / 127.5 - 1

    def disagreement(critic: nn.Module) -> float:
        torch.manual_seed(0)
        views = [adversarial.verdict(critic, diffaugment.augment(real, policy), data.labels)[0] for _ in range(20)]
        return float(torch.stack(views).var(0).mean().detach())

    plain, agreeing = map(disagreement, critics)
    assert agreeing < plain / 4


def test_sngan_paints_another_image_for_another_class_once_trained(tmp_path: Path) -> None:
    identity = registry.identify("generator", "sngan", {"base": "4", "critic_base": "4"})
    network = trained(tmp_path, settings(generator=identity, steps=3))
    latents = torch.randn(2, 64).repeat(2, 1)
    images = network(latents, torch.tensor([0, 0, 1, 1]))
    assert not torch.equal(images[:2], images[2:])


def test_dcgan_takes_no_classes_whatever_the_core_passes() -> None:
    network = build(registry.identify("generator", "dcgan", {}), classes=5)
    assert generator.contract(network).num_classes is None


@pytest.mark.parametrize("objective", sorted(adversarial.OBJECTIVES))
def test_a_generator_learns_which_class_is_light_by(objective: str, tmp_path: Path) -> None:
    identity = tiny(objective=objective)
    network = trained(tmp_path, settings(generator=identity, steps=120, learning_rate=0.02, ema_decay=0.9, batch=16))
    latents = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    dark, light = (network(latents, torch.full((64,), label)).mean() for label in (0, 1))
    assert light - dark > 0.3


def test_the_losses_are_those_of_their_papers() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    assert adversarial.hinge(real, fake).item() == pytest.approx(0.25 + 1.0)
    entropy = nn.functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones(2)) + entropy(fake, torch.zeros(2))
    assert adversarial.nonsaturating(real, fake).item() == pytest.approx(expected.item())
    assert adversarial.wasserstein(real, fake).item() == pytest.approx(-1.0 - 1.25)


def test_the_penalty_is_nothing_for_a_critic_of_slope_one_and_one_for_slope_two() -> None:
    class Slope(nn.Module):
        def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
            return images.flatten(1).sum(dim=1) * (self.steepness / images[0].numel() ** 0.5)

        steepness = 1.0

    critic, real, fake = Slope(), torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    assert adversarial.gradient_penalty(critic, real, fake, None).item() == pytest.approx(0, abs=1e-6)
    critic.steepness = 2.0
    assert adversarial.gradient_penalty(critic, real, fake, None).item() == pytest.approx(1, abs=1e-5)


def test_a_run_stopped_anywhere_ends_with_the_same_weights(tmp_path: Path) -> None:
    chosen = settings(steps=6, flips=True, augment="translation,cutout,color")
    whole = trained(tmp_path / "whole", chosen)
    for _ in range(2):
        work = gan.train(build(chosen.generator), two_greys(), chosen, tmp_path / "stopped", CPU)
        next(work)
        next(work)
        with pytest.raises(Interrupted):
            work.throw(Interrupted(15))
    assert equal(whole, trained(tmp_path / "stopped", chosen))


def test_a_run_killed_after_a_checkpoint_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole", settings())
    monkeypatch.setattr(gan, "CHECKPOINT_SECONDS", -1.0)
    work = gan.train(build(tiny()), two_greys(), settings(), tmp_path / "killed", CPU)
    next(work)
    next(work)
    work.close()
    assert equal(whole, trained(tmp_path / "killed", settings()))


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    first = trained(tmp_path / "a", settings(seed=0))
    assert not equal(first, trained(tmp_path / "b", settings(seed=1)))


def test_minutes_bound_the_training_and_are_counted_across_a_stop(tmp_path: Path) -> None:
    chosen = settings(steps=None, minutes=0.005)
    work = gan.train(build(tiny()), two_greys(), chosen, tmp_path, CPU)
    first = next(work)
    with pytest.raises(Interrupted):
        work.throw(Interrupted(15))
    seen: list[Progress] = []
    finish(gan.train(build(tiny()), two_greys(), chosen, tmp_path, CPU), seen.append)
    assert seen[0].done > first.done
    assert (seen[-1].done, seen[-1].unit) == (pytest.approx(0.3), "s")


def test_the_average_follows_the_weights_faster_at_first() -> None:
    state = gan._start(build(tiny()), settings(), CPU)
    before = copy.deepcopy(state.average.state_dict())["picture.weight"]
    with torch.no_grad():
        state.network.picture.weight += 1.0  # type: ignore[union-attr, operator]  # of tiny alone
    gan._follow(state, decay=0.999)
    moved = state.average.state_dict()["picture.weight"] - before
    assert torch.allclose(moved, torch.full_like(moved, 0.9), atol=1e-5)


def test_both_rates_fall_to_nothing_over_the_second_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[list[float]] = []
    step = gan._step

    def noted(state: Any, *rest: Any) -> dict[str, float]:
        rates.append([optimiser.param_groups[0]["lr"] for optimiser in state.optimisers.values()])
        return step(state, *rest)

    monkeypatch.setattr(gan, "_step", noted)
    trained(tmp_path, settings(steps=8, learning_rate=1e-3))
    slowing = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert np.array(rates) == pytest.approx(np.outer(slowing, [1e-3, 2e-3]))


def test_a_handful_of_images_fills_a_batch_by_repetition(tmp_path: Path) -> None:
    network = trained(tmp_path, settings(batch=16), two_greys(count=2))
    assert isinstance(network, nn.Module)


def test_a_batch_shows_images_between_minus_one_and_one() -> None:
    images, _ = Data(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1), None).batch(50, CPU)
    assert sorted(set(images.flatten().tolist())) == [-1.0, 1.0]


def test_flips_mirror_about_half_of_a_batch_and_only_where_asked_for() -> None:
    ramp = Data(torch.arange(28, dtype=torch.uint8).expand(4, 1, 28, 28).contiguous(), None)
    state = gan._start(build(tiny()), settings(), CPU)
    mirrored = {}
    for flips in (False, True):
        torch.manual_seed(0)
        images, _ = gan._real(state, ramp, settings(flips=flips, batch=64), CPU)
        mirrored[flips] = int((images[:, 0, 0, 0] > images[:, 0, 0, -1]).sum())
    assert mirrored[False] == 0
    assert 16 < mirrored[True] < 48


def test_one_seed_draws_one_pool_and_a_larger_one_starts_with_it() -> None:
    network = build(tiny()).eval()
    labels = torch.zeros(200, dtype=torch.int64)
    few = np.concatenate(list(generator.draw(network, labels[:128], 128, seed=3)))
    many = np.concatenate(list(generator.draw(network, labels, 200, seed=3)))
    assert (few.shape, many.shape) == ((128, 28, 28, 1), (200, 28, 28, 1))
    assert np.array_equal(few, many[:128])


@pytest.mark.parametrize("stop", [None, 2])
def test_what_a_critic_has_frozen_stays_as_it_is_also_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int | None
) -> None:
    code = PLUGIN.replace(
        "        return Scorer(nn.Flatten(), nn.Linear(28 * 28, 1), nn.Flatten(0))",
        "        body = nn.Linear(28 * 28, 8).requires_grad_(False)\n"
        "        return Scorer(nn.Flatten(), body, nn.Linear(8, 1), nn.Flatten(0))",
    )
    stranger.install(tmp_path, monkeypatch, "frozen-eye", code, kind="generator")
    chosen = settings(generator=registry.identify("generator", "odd", {}), steps=5)
    work = gan.train(build(chosen.generator), two_greys(), chosen, tmp_path / "run", CPU)
    if stop:
        for _ in range(stop):
            next(work)
        with pytest.raises(Interrupted):
            work.throw(Interrupted(15))
    trained(tmp_path / "run", chosen)
    torch.manual_seed(derive(chosen.seed, "critic"))
    first: Any = build(chosen.generator)
    torch.manual_seed(derive(chosen.seed, "critic"))
    new = first.critic().state_dict()
    found = checkpoint.load_latest(tmp_path / "run")
    assert found is not None
    same = {name: torch.equal(found[1]["critic"][name], value) for name, value in new.items()}
    assert (same["1.weight"], same["1.bias"], same["2.weight"]) == (True, True, False)


@pytest.mark.parametrize("name", ["dcgan", "ddpm", "progan", "sngan", "sngan-resnet", "tiny", "wgan-gp"])
def test_sizes_below_one_are_the_fault_of_the_option(name: str) -> None:
    sizes = ("latent_dim", "base", "critic_base", "width")
    identity = registry.identify("generator", name, {})
    taken = [option for option in sizes if option in identity.options]
    assert taken
    for option, text in itertools.product(taken, ("0", "-8")):
        with pytest.raises(UsageError, match=rf"{option}={text} is below 1"):
            build(registry.identify("generator", name, {option: text}))


def test_a_diverged_run_says_so(tmp_path: Path) -> None:
    chosen = settings(steps=60, generator=tiny(objective="wgan-gp"), batch=8, augment="none")
    with pytest.raises(
        UsageError, match=r"training of tiny diverged at step 1: critic (nan|-?inf), gradient nan"
    ) as raised:
        trained(tmp_path, chosen, _huge())
    assert "nothing had been saved" in raised.value.hint
    assert checkpoint.load_latest(tmp_path) is None


def test_where_the_generator_diverges_the_critic_is_saved_as_it_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan, "CHECKPOINT_SECONDS", -1.0)
    whole = checkpoint.load_latest(_saved(tmp_path / "whole", 2))
    step, calls = gan._move_generator, itertools.count()
    monkeypatch.setattr(gan, "_move_generator", lambda *given: step(*given) if next(calls) < 2 else _diverge(given[0]))
    with pytest.raises(UsageError, match="diverged at step 3"):
        _saved(tmp_path / "broken", 4)
    broken = checkpoint.load_latest(tmp_path / "broken")
    assert whole is not None
    assert broken is not None
    assert broken[0] == whole[0] == 2
    for name in ("network", "critic"):
        assert all(torch.equal(value, whole[1][name][key]) for key, value in broken[1][name].items())


def _saved(folder: Path, steps: int) -> Path:
    trained(folder, settings(steps=steps))
    return folder


def _diverge(state: Any) -> float:
    stability.require_finite(state.optimisers["network"], {"network": float("nan")}, "training", state.step, "a state")
    return 0.0


def _huge() -> Data:
    class Endless(Data):
        def batch(self, count: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
            images, labels = super().batch(count, device)
            return images * float("inf"), labels

    data = two_greys()
    return Endless(data.images, data.labels)


@pytest.mark.parametrize(
    "changes",
    [{"size": 27}, {"size": 129}, {"batch": 1}, {"count": 0}, {"steps": 0}, {"minutes": 1.0}, {"augment": "rotate"}],
)
def test_a_setting_that_cannot_be_meant_is_a_usage_error(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        settings(**changes)


PLUGIN = """
from torch import nn, zeros
class Scorer(nn.Sequential):
    def forward(self, images, labels=None):
        return super().forward(images)
class Plugin(nn.Module):
    latent_dim, num_classes, objective = 4, None, "hinge"
    def __init__(self, image_size, num_classes):
        super().__init__()
        self.image_size = image_size
        self.layer = nn.Linear(4, 28 * 28)
    def forward(self, latents, labels=None):
        return self.layer(latents).tanh().view(-1, 1, 28, 28)
    def critic(self):
        return Scorer(nn.Flatten(), nn.Linear(28 * 28, 1), nn.Flatten(0))
"""


TELLS_ONE_CLASS = """
class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(28 * 28, 2)
    def forward(self, images, labels=None):
        found = self.score(images.flatten(1))
        return found[:, 0], found[:, 1:]
class Plugin(Plugin):
    num_classes = 2
    def critic(self):
        return Critic()
"""
LOSES_BY_IMAGE = """
del Plugin.critic
Plugin.training_loss = lambda self, images, labels: (self(zeros(len(images), 4)) - images).square().mean((1, 2, 3))
"""
SHARES_A_WEIGHT = """
class Plugin(Plugin):
    def __init__(self, image_size, num_classes):
        super().__init__(image_size, num_classes)
        self.again = nn.Linear(4, 28 * 28)
        self.again.weight = self.layer.weight
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda code: code.replace('"hinge"', '"chess"'), "objective is 'chess'"),
        (lambda code: code.replace("latent_dim, num_classes", "latent, num_classes"), "lacks latent_dim"),
        (lambda code: code.replace("def critic", "def judge"), "neither critic nor training_loss"),
        (lambda code: code.replace("1, 28, 28)", "1, 28, 14)"), r"shape \(4, 1, 28, 14\)"),
        (lambda code: code.replace("self.layer(latents)", "self.layer(latents[:, :2])"), "it fails: RuntimeError"),
        (lambda code: code.replace("4, None,", "4, 7,"), "takes 7 classes, not 2"),
        (lambda code: code.replace("num_classes, objective = 4,", "num_classes, objective = 0,"), "latent_dim is 0"),
        (
            lambda code: code.replace("return self.layer", "return [][self.training] or self.layer"),
            "it fails: IndexError",
        ),
        (
            lambda code: code.replace(", nn.Flatten(0))", ")"),
            r"scores of two images have the shape \(2, 1\), not \(2,\)",
        ),
        (lambda code: code + TELLS_ONE_CLASS, r"class scores have the shape \(2, 1\), not \(2, 2\)"),
        (lambda code: code + LOSES_BY_IMAGE, r"training_loss has the shape \(2,\), not \(\)"),
        (lambda code: code + SHARES_A_WEIGHT, "share memory"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_named_with_the_reason(
    change: Callable[[str], str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger.install(tmp_path, monkeypatch, "odd-gans", change(PLUGIN), kind="generator")
    with pytest.raises(PluginError, match=reason):
        build(registry.identify("generator", "odd", {}))


def test_a_self_trained_generator_learns_by_its_own_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = PLUGIN.split("    def critic")[0] + (
        "    def training_loss(self, images, labels):\n"
        "        return (self(zeros(len(images), 4)) - images).square().mean()\n"
    )
    stranger.install(tmp_path, monkeypatch, "own-loss", code, kind="generator")
    data = Data(torch.full((4, 1, 28, 28), 200, dtype=torch.uint8), None)
    chosen = settings(generator=registry.identify("generator", "odd", {}), steps=100, learning_rate=0.05, ema_decay=0.9)
    network = trained(tmp_path / "run", chosen, data)
    assert network(torch.zeros(1, 4)).mean().item() == pytest.approx(200 / 127.5 - 1, abs=0.05)
