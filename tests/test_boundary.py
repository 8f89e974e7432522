"""Fakes on the boundary of two classes: how they are mixed, drawn and written, and what is asked of their bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganhash_cli.engine import boundary, fitting, generator, images, sampling, trainer, training_state
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.losses.entropy import uniform
from ganhash_cli.engine.model import HashNet
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.errors import InputError, UsageError
from ganhash_cli.plugin import registry
from ganhash_plugins.backbones.smallconv import SmallConv
from pictures import COLOURS, paint
from test_pool import make

CPU = torch.device("cpu")


def test_each_fake_gets_another_class_that_is_there_and_a_share_in_which_neither_is_alone() -> None:
    labels = np.repeat([0, 2, 5], 60)
    mixed = boundary.mix(labels, np.unique(labels), seed=0)
    assert set(mixed.second.tolist()) == {0, 2, 5}
    assert (mixed.second != labels).all()
    assert boundary.SHARE[0] <= mixed.share.min() < mixed.share.max() <= boundary.SHARE[1]


def test_shares_add_up_to_one_on_two_classes() -> None:
    table = boundary.mix(np.array([1, 0, 2, 1]), np.arange(3), seed=1).table(4)
    assert (table > 0).sum(1).tolist() == [2, 2, 2, 2]
    assert table.sum(1).tolist() == pytest.approx([1.0] * 4)


def test_a_single_fake_between_classes_is_mixed_of_those_of_the_training_images(coloured: Path, tmp_path: Path) -> None:
    [fake] = make(coloured, tmp_path / "fakes", boundary=True, count=1).images
    assert fake.other not in (None, fake.label)


def test_the_manifest_names_both_classes_and_the_share(coloured: Path, tmp_path: Path) -> None:
    made = Fakes.open(make(coloured, tmp_path / "fakes", boundary=True, count=9).folder)
    assert all(fake.other not in (None, fake.label) and fake.score is None for fake in made.images)
    assert all(boundary.SHARE[0] <= (fake.share or 0) <= boundary.SHARE[1] for fake in made.images)
    assert all(len(entry.labels) == 2 for entry in made.collection.entries)
    assert made.record["quality"]["frechet_distance"] > 0
    assert made.record["quality"]["accuracy"] is None


def test_they_are_other_images_than_those_of_one_class(coloured: Path, tmp_path: Path) -> None:
    plain, mixed = (make(coloured, tmp_path / name, boundary=name == "mixed", count=6) for name in ("plain", "mixed"))
    assert {fake.sha256 for fake in plain.images}.isdisjoint(fake.sha256 for fake in mixed.images)


def test_one_class_has_no_boundary(tmp_path: Path) -> None:
    for index in range(6):
        paint(tmp_path / "one" / "red" / f"{index}.png", COLOURS["red"], index)
    with pytest.raises(InputError, match="between two classes"):
        make(tmp_path / "one", tmp_path / "fakes", boundary=True)


def test_a_generator_that_cannot_mix_classes_is_refused_before_it_is_trained(coloured: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'dcgan' cannot mix classes"):
        make(coloured, tmp_path / "fakes", boundary=True, generator=registry.identify("generator", "dcgan", {}))


def test_a_conditional_generator_without_mixtures_is_refused(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganhash_plugins.generators.tiny import Tiny

    monkeypatch.setattr(Tiny, "mixes_classes", False)
    with pytest.raises(UsageError, match="cannot mix classes"):
        make(coloured, tmp_path / "fakes", boundary=True)


REAL = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))  # projections of real images


def state(bits: int = 6) -> training_state.TrainingState:
    torch.manual_seed(0)
    settings = TrainSettings(backbone=registry.identify("backbone", "smallconv", {}), bits=bits)
    return training_state.start(HashNet(SmallConv(width=4), bits), 3, settings, 10, CPU)


def loss_of(at: training_state.TrainingState, pixels: np.ndarray, between: list[tuple[int, int]]) -> float:
    torch.manual_seed(1)
    settings = TrainSettings(backbone=registry.identify("backbone", "smallconv", {}), bits=6)
    return float(fitting._entropy(at, pixels, np.array(between), REAL, settings, CPU).detach())


def logits_of(at: training_state.TrainingState, pixels: np.ndarray) -> torch.Tensor:
    torch.manual_seed(1)
    settings = TrainSettings(backbone=registry.identify("backbone", "smallconv", {}), bits=6)
    return fitting._beside(at, pixels, REAL, settings, CPU).detach()


def test_entropy_is_asked_of_the_bits_in_which_the_centres_differ_and_of_all_bits_off_the_boundary() -> None:
    at = state()
    at.centres[0] = torch.tensor([1.0, 1, 1, -1, -1, -1])
    at.centres[2] = torch.tensor([1.0, -1, 1, -1, 1, -1])
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    z = logits_of(at, pixels)
    wanted = torch.cat([z[0, [1, 4]], z[1], z[2, [1, 4]]])
    assert loss_of(at, pixels, [(0, 2), (-1, -1), (2, 0)]) == pytest.approx(float(uniform(wanted)))


def test_classes_whose_centres_agree_have_no_boundary() -> None:
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    assert loss_of(state(), pixels, [(0, 1), (1, 2)]) == 0.0


def test_centres_follow_the_mean_logits_of_the_classes_that_are_seen() -> None:
    at = state()
    logits = torch.arange(24.0).view(4, 6)
    labels = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]], dtype=torch.bool)
    means = torch.stack([logits[:2].mean(0), logits[2:].mean(0)])
    fitting._note_centres(at, logits, labels)
    torch.testing.assert_close(at.centres[[0, 2]], 0.1 * means)
    fitting._note_centres(at, -logits, labels)
    torch.testing.assert_close(at.centres[[0, 2]], 0.9 * 0.1 * means - 0.1 * means)
    assert at.centres[1].tolist() == [0.0] * 6


def test_boundary_fakes_are_never_labelled(coloured: Path, tmp_path: Path) -> None:
    made = make(coloured, tmp_path / "fakes", boundary=True, count=6)
    pixels = finish(images.load(made.collection, 32, strict=True))
    with pytest.raises(UsageError, match="no fake can be labelled: each lies between two classes"):
        sampling.share_out(pixels, made.judgements, made.class_names, made.class_names, "labels", 0.0)


def test_boundary_fakes_are_for_all_bits_where_images_have_no_labels(coloured: Path, tmp_path: Path) -> None:
    made = make(coloured, tmp_path / "fakes", boundary=True, count=6)
    chosen = TrainSettings(
        backbone=registry.identify("backbone", "smallconv", {"width": "4"}),
        **{"bits": 8, "epochs": 1, "batch": 8, "size": 32, "loss": "contrastive"},
    )
    pool = trainer.FakePool(made.collection, made.training_digest, made.summary, made.judgements)
    collection = images.from_folder(coloured)
    done, _ = finish(trainer.train(collection, "test", chosen, tmp_path / "model", fakes=pool, device=CPU))
    assert done.metrics["training_images"] == len(collection.entries)


@pytest.mark.parametrize("name", ["sngan", "sngan-resnet", "wgan-gp", "progan", "ddpm", "tiny"])
def test_the_built_in_generators_mix_classes(name: str) -> None:
    from test_generator import SMALL

    torch.manual_seed(0)
    network = generator.build(registry.identify("generator", name, SMALL[name]), (1, 28, 28), 3).eval()
    latents = torch.randn(2, generator.contract(network).latent_dim)
    by_number = network(latents, torch.tensor([2, 2]))
    torch.testing.assert_close(network(latents, torch.eye(3)[[2, 2]]), by_number)


def test_labelled_fakes_are_drawn_evenly_from_an_uneven_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(fitting.losses, "call", lambda _, known, __: seen.append(known["labels"]))
    labels = np.eye(3, dtype=np.bool_)[np.repeat([0, 1, 2], [50, 6, 4])]
    pool = np.zeros((60, 32, 32, 3), np.uint8)
    fakes = sampling.Fakes(pool[:0], np.empty((0, 2), np.int64), pool, labels)
    settings = TrainSettings(backbone=registry.identify("backbone", "smallconv", {}), bits=6, batch=24)
    none = {"logits": torch.zeros(0, 6), "labels": torch.zeros(0, 3, dtype=torch.bool)}
    fitting._labelled(state(), none, fakes, REAL, settings, CPU)
    assert seen[0].sum(0).tolist() == [4, 4, 4]


def test_real_images_beside_labelled_fakes_do_not_teach_the_classifier_a_second_time() -> None:
    settings = TrainSettings(
        backbone=registry.identify("backbone", "smallconv", {}), bits=6, batch=24, loss="greedyhash"
    )
    at = training_state.start(HashNet(SmallConv(width=4), 6), 3, settings, 10, CPU)
    assert at.classifier is not None
    labels = np.eye(3, dtype=np.bool_)[[0, 1, 2] * 4]
    pool = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    fakes = sampling.Fakes(pool[:0], np.empty((0, 2), np.int64), pool, labels)
    taught = []
    for sign in (1, -1):  # whatever codes the real images have
        known = {"logits": sign * REAL, "labels": torch.eye(3, dtype=torch.bool)[torch.arange(8) % 3]}
        torch.manual_seed(1)
        loss = fitting._labelled(at, {**known, "classifier": at.classifier}, fakes, REAL, settings, CPU)
        [gradient] = torch.autograd.grad(loss, list(at.classifier.parameters()))
        taught.append(gradient)
    assert taught[0].abs().sum() > 0
    torch.testing.assert_close(taught[0], taught[1])
