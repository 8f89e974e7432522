"""Learning without labels: the hash ITQ finds, and the bundle that comes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganhash_cli import app
from ganhash_cli.engine import backbones, decoders, images, itq, trainer, unlabelled
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.images import Collection, Entry
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.runtime import open_runtime
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.errors import InputError
from ganhash_cli.plugin import registry
from pictures import COLOURS, paint, paint_classes

CPU = torch.device("cpu")


def settings(bits: int = 8) -> TrainSettings:
    identity = registry.identify("backbone", "smallconv", {"width": "8"})
    return TrainSettings(backbone=identity, bits=bits, size=32, loss="itq")


def fit(folder: Path, model: Path):
    return trainer.train(images.from_folder(folder), "test", settings(), model, fakes=None, device=CPU)


def train(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Run `ganhash train` in this process on a tiny network; return exit code and stderr."""
    with pytest.raises(SystemExit) as ended:
        app.main(["train", *map(str, arguments), "--backbone", "smallconv", "--bits", "8"])
    return int(ended.value.code or 0), capsys.readouterr().err


def features(count: int = 200, dimensions: int = 20) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.normal(size=(count, dimensions)) * np.linspace(4, 0.1, dimensions) + 3).astype(np.float32)


def lost(x: np.ndarray, weights: np.ndarray) -> float:
    """Return the quantisation loss ||B - V||^2 of Gong et al. 2013, eq. 2."""
    projected = (x - x.mean(0)) @ weights.T
    return float(((np.sign(projected) - projected) ** 2).sum())


def unlabelled_folder(place: Path, count: int = 30) -> Path:
    place.mkdir()
    for number in range(count):
        paint(place / f"{number:02}.png", list(COLOURS.values())[number % len(COLOURS)], seed=number)
    return place


def test_the_hash_stays_within_the_first_principal_components():
    x, bits = features(), 6
    centred = x - x.mean(0)
    kept = np.linalg.svd(centred, full_matrices=False)[2][:bits]
    weights = itq.fit(x, bits, seed=0)
    np.testing.assert_allclose(weights @ kept.T @ kept, weights, atol=1e-4)
    np.testing.assert_allclose(weights @ weights.T, np.eye(bits), atol=1e-4)


def test_the_rotation_loses_less_than_the_components_and_than_random_rotations():
    x, bits = features(), 6
    found = itq.fit(x, bits, seed=0)
    components = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:bits]
    rng = np.random.default_rng(0)
    others = [components, *(np.linalg.qr(rng.normal(size=(bits, bits)))[0] @ components for _ in range(20))]
    assert lost(x, found) < min(lost(x, other) for other in others)


def test_more_bits_than_components_are_refused():
    with pytest.raises(ValueError, match="no 8 principal components"):
        itq.fit(features(count=8), 8, seed=0)


def test_the_bits_of_the_bundle_are_those_of_itq_on_the_features(tmp_path: Path):
    folder = unlabelled_folder(tmp_path / "images")
    done, skipped = finish(fit(folder, tmp_path / "model"))
    pixels = np.stack(list(decoders.squares(sorted(map(bytes, folder.iterdir())), 32)))
    torch.manual_seed(derive(0, "weights"))
    x = backbones.feature_extractor(backbones.build(settings().backbone), CPU)(pixels)
    expected = (x - x.mean(0)) @ itq.fit(x, 8, seed=0).T
    assert skipped == ()
    assert np.array_equal(open_runtime(done).logits(pixels) >= 0, expected >= 0)


def test_the_same_images_give_the_same_model(tmp_path: Path):
    folder = unlabelled_folder(tmp_path / "images")
    first, _ = finish(fit(folder, tmp_path / "first"))
    second, _ = finish(fit(folder, tmp_path / "second"))
    assert first.digests == second.digests


def test_labels_are_no_hindrance(tmp_path: Path):
    done, _ = finish(fit(paint_classes(tmp_path / "images"), tmp_path / "model"))
    assert (done.metrics["training_images"], done.metrics["validation_map_at_all"]) == (36, None)


def test_too_few_images_are_refused_with_the_bits_they_would_do_for(tmp_path: Path):
    with pytest.raises(InputError, match="too few images for 8 bits without labels: 6") as error:
        finish(fit(unlabelled_folder(tmp_path / "images", count=6), tmp_path / "model"))
    assert "--bits 5" in error.value.hint


def test_of_a_large_folder_ten_thousand_images_are_chosen_in_their_order():
    entries = tuple(Entry(f"{number:06}.jpg".encode(), 0, 0) for number in range(25_000))
    chosen = unlabelled.choose(Collection(b"/", entries), seed=0).entries
    assert len(set(chosen)) == 10_000
    assert chosen == tuple(sorted(chosen, key=lambda entry: entry.path))


def test_without_labels_train_says_that_it_learns_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, said = train(capsys, unlabelled_folder(tmp_path / "images"), "--model", tmp_path / "model")
    assert (code, "the images have no labels" in said) == (0, True)
    assert Bundle.open(tmp_path / "model").settings["loss"] == "itq"


@pytest.mark.parametrize(
    ("words", "varied"),
    [
        (["--loss", "contrastive"], "trivial"),
        (["--loss", "contrastive", "--augment", "crop"], "crop"),
        (["--loss", "csq"], "crop"),
    ],
)
def test_two_views_are_varied_more_than_images_with_labels_unless_told_how(
    words: list[str],
    varied: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def take(collection: Collection, source: str, settings: TrainSettings, *_: object, **__: object):
        raise InputError(f"varied by {settings.augment}", hint="")

    monkeypatch.setattr(trainer, "train", take)
    code, said = train(capsys, paint_classes(tmp_path / "images"), "--model", tmp_path / "model", *words)
    assert (code, f"varied by {varied}" in said) == (4, True)


def test_info_tells_no_epochs_of_a_model_that_took_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    finish(fit(unlabelled_folder(tmp_path / "images"), tmp_path / "model"))
    with pytest.raises(SystemExit):
        app.main(["info", str(tmp_path / "model")])
    said = capsys.readouterr().out
    assert ("settings.loss" in said, "settings.epochs" in said) == (True, False)


@pytest.mark.parametrize(("options", "told"), [([], True), (["--no-fakes"], False)])
def test_fakes_that_itq_has_no_use_for_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], told: bool
):
    monkeypatch.chdir(tmp_path)
    Path("fakes").mkdir()
    Path("fakes/fakes.json").write_text("{}")
    code, said = train(capsys, unlabelled_folder(Path("images")), *options)
    assert (code, "fakes/ is not used by ITQ" in said) == (0, told)


@pytest.mark.parametrize(
    ("name", "options", "untaught"),
    [
        ("smallconv", {"width": "8"}, True),
        ("resnet18", {"pretrained": "false"}, True),
        ("efficientnet_lite0", {"pretrained": "false"}, True),
        ("efficientnet_lite0", {}, False),
    ],
)
def test_a_backbone_is_untaught_where_its_weights_are_drawn(name: str, options: dict[str, str], untaught: bool):
    state = torch.random.get_rng_state()
    assert backbones.untaught(backbones.identify(name, options)) == untaught
    assert torch.equal(torch.random.get_rng_state(), state)


def test_itq_on_an_untaught_backbone_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, said = train(capsys, unlabelled_folder(Path("images")))
    assert (code, "warning: smallconv knows nothing yet" in said) == (0, True)


def test_a_loss_that_needs_labels_is_refused_without_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, said = train(capsys, unlabelled_folder(tmp_path / "images"), "--model", tmp_path / "model", "--loss", "csq")
    assert (code, "have no labels" in said, "--loss itq" in said) == (4, True, True)


def test_itq_has_no_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, said = train(capsys, unlabelled_folder(tmp_path / "images"), "-L", "margin=3")
    assert (code, "loss 'itq' has no option 'margin'" in said) == (2, True)
