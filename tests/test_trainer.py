"""Training: what it writes, what it refuses, and that a stopped run ends like one that was not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cases import mostly_slow
from ganhash_cli.commands.train import Augment, EntropyOn, Loss
from ganhash_cli.engine import (
    bits,
    bundle,
    checkpoint,
    decoding,
    devices,
    files,
    fitting,
    images,
    losses,
    metrics,
    sampling,
    trainer,
    training_state,
)
from ganhash_cli.engine.ambiguous import CONTROLS
from ganhash_cli.engine.augment import MORE
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.devices import Precision
from ganhash_cli.engine.epochs import METRICS
from ganhash_cli.engine.losses import LOSSES
from ganhash_cli.engine.losses.csq import csq
from ganhash_cli.engine.model import HashNet
from ganhash_cli.engine.progress import Work, finish
from ganhash_cli.engine.runtime import open_runtime
from ganhash_cli.engine.train_settings import UNLABELLED, TrainSettings
from ganhash_cli.engine.trainer import FakePool
from ganhash_cli.errors import CorruptError, InputError, Interrupted, MismatchError, UsageError
from ganhash_cli.plugin import registry
from ganhash_plugins.backbones.smallconv import SmallConv
from pictures import COLOURS, paint, paint_classes, scored

CPU = torch.device("cpu")


def settings(**changes: object) -> TrainSettings:
    small = TrainSettings(
        backbone=registry.identify("backbone", "smallconv", {"width": "8"}), bits=12, epochs=3, batch=12, size=32
    )
    return replace(small, **changes)  # type: ignore[arg-type]  # wrong values are what some tests are about


def run(folder: Path, model: Path, chosen: TrainSettings | None = None, fakes: FakePool | None = None, **options: bool):
    collection = images.from_folder(folder)
    return trainer.train(collection, "test", chosen or settings(), model, fakes=fakes, device=CPU, **options)


def pool(folder: Path, digest: str) -> FakePool:
    return FakePool(images.from_folder(folder), digest, {"generator": "noise"})


def stop(work: Work[object], step: int) -> None:
    """Drive training to `step` and interrupt it there."""
    for progress in work:
        if progress.stage.startswith("training") and progress.done >= step:
            work.throw(Interrupted(2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One trained model for the tests that only read it."""
    place = tmp_path_factory.mktemp("trained")
    done, _ = finish(run(paint_classes(place / "images"), place / "model", settings(epochs=12)))
    return done


def test_colours_are_told_apart_after_training(trained: Bundle):
    assert trained.metrics["validation_map_at_all"] > 0.9


def test_the_bundle_opens_and_gives_logits_for_its_side(trained: Bundle):
    opened = Bundle.open(trained.folder)
    logits = open_runtime(opened).logits(np.zeros((3, opened.side, opened.side, 3), np.uint8))
    assert logits.shape == (3, 12)


def test_onnx_agrees_with_torch_on_the_training_images(trained: Bundle):
    assert trained.metrics["onnx_check"]["images"] == 36
    assert trained.metrics["onnx_check"]["bits_differing"] == 0


def test_the_bundle_knows_every_picture_it_learned_from(trained: Bundle):
    files_of = [bytes(path) for path in sorted((trained.folder.parent / "images").rglob("*.png"))]
    seen = {decoding.pixel_digest(decoding.square(file, trained.side)) for file in files_of}
    assert Bundle.open(trained.folder).training_images() == seen


def test_every_epoch_leaves_a_line_of_figures(trained: Bundle):
    rows = [json.loads(line) for line in (trained.folder / METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert all("validation_map" in row for row in rows)


def test_the_losses_of_an_epoch_are_means_of_its_steps(coloured: Path, tmp_path: Path):
    seen = {step.done: step.figures["triplet"] for step in run(coloured, tmp_path, settings()) if step.unit == "steps"}
    told = [json.loads(line)["triplet"] for line in (tmp_path / METRICS).read_text().splitlines()]
    each = len(seen) // len(told)
    assert each > 1
    assert told == pytest.approx([np.mean([seen[1 + each * n + i] for i in range(each)]) for n in range(len(told))])


@pytest.mark.parametrize("name", [bundle.ONNX, bundle.WEIGHTS])
def test_a_flipped_bit_is_found_by_whoever_reads_the_file(trained: Bundle, tmp_path: Path, name: str):
    copy = replace(trained, folder=tmp_path)
    content = bytearray((trained.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorruptError, match="checksum"):
        copy.verified(tmp_path / name)


def test_a_changed_description_is_found(trained: Bundle, tmp_path: Path):
    text = (trained.folder / bundle.DESCRIPTION).read_text()
    (tmp_path / bundle.DESCRIPTION).write_text(text.replace('"bits": 12', '"bits": 13', 1))
    with pytest.raises(CorruptError, match="checksum"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("precision", mostly_slow(["float32", "bfloat16"], "float32"))
def test_a_stopped_run_ends_with_the_same_weights(coloured: Path, tmp_path: Path, precision: Precision):
    chosen = settings(precision=precision)
    finish(run(coloured, tmp_path / "whole", chosen))
    for stop_at in (2, 5):
        with pytest.raises(Interrupted):
            stop(run(coloured, tmp_path / "stopped", chosen), stop_at)
    finish(run(coloured, tmp_path / "stopped", chosen))
    for name in (bundle.WEIGHTS, METRICS):
        assert files.sha256(tmp_path / "stopped" / name) == files.sha256(tmp_path / "whole" / name)


@pytest.mark.parametrize("settled", ["float32", "bfloat16"])
def test_the_precision_that_auto_chose_is_recorded(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: Precision
):
    monkeypatch.setattr(devices, "settle", lambda asked, *_: settled if asked == "auto" else asked)
    done, _ = finish(run(coloured, tmp_path / "model", settings(epochs=1)))
    assert done.settings["precision"] == settled
    again, _ = finish(run(coloured, tmp_path / "model", settings(epochs=1, precision=settled)))
    assert again.fingerprint == done.fingerprint
    other: Precision = "float32" if settled == "bfloat16" else "bfloat16"
    with pytest.raises(UsageError, match=f"trained with --precision {settled}, not {other}"):
        finish(run(coloured, tmp_path / "model", settings(epochs=1, precision=other)))


def test_the_same_command_again_gives_the_same_model_without_training(coloured: Path, tmp_path: Path):
    first, _ = finish(run(coloured, tmp_path / "model"))
    seen: list[object] = []
    again, _ = finish(run(coloured, tmp_path / "model"), seen.append)
    assert again.fingerprint == first.fingerprint
    assert seen == []


def test_checkpoints_that_a_kill_left_beside_a_finished_model_go(coloured: Path, tmp_path: Path):
    finish(run(coloured, tmp_path / "model"))
    (tmp_path / "model" / "checkpoints").mkdir()
    finish(run(coloured, tmp_path / "model"))
    assert not (tmp_path / "model" / "checkpoints").exists()


def test_an_unfinished_run_is_not_continued_with_other_settings(coloured: Path, tmp_path: Path):
    with pytest.raises(Interrupted):
        stop(run(coloured, tmp_path / "model"), 2)
    with pytest.raises(UsageError, match=r"an unfinished run with --bits \d+, not 16$"):
        finish(run(coloured, tmp_path / "model", settings(bits=16)))


def test_a_finished_model_is_not_replaced_unless_asked(coloured: Path, tmp_path: Path):
    finish(run(coloured, tmp_path / "model"))
    with pytest.raises(UsageError, match=r"trained with --bits \d+, not 16$"):
        finish(run(coloured, tmp_path / "model", settings(bits=16)))
    done, _ = finish(run(coloured, tmp_path / "model", settings(bits=16), overwrite=True))
    assert done.bits == 16


@pytest.mark.parametrize("loss", ["contrastive", UNLABELLED])
def test_rows_marked_val_are_not_trained_on_without_labels_either(coloured: Path, tmp_path: Path, loss: str):
    rows = [f"{c}/{i:02}.png,{c},{'val' if i < 4 else 'train'}" for c in COLOURS for i in range(12)]
    (coloured / "list.csv").write_text("\n".join(["path,label,split", *rows]))
    chosen = settings(loss=loss, epochs=1)
    work = trainer.train(
        images.from_csv(coloured / "list.csv"), "csv", chosen, tmp_path / "model", fakes=None, device=CPU
    )
    assert finish(work)[0].metrics["training_images"] == 24


def test_who_has_too_few_images_to_hold_one_out_hears_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    finish(run(paint_classes(tmp_path / "few", each=4), tmp_path / "model", settings(epochs=1)))
    assert "no class is large enough to hold out a share of 0.1" in caplog.text


def test_fakes_made_from_other_images_are_refused(coloured: Path, tmp_path: Path):
    with pytest.raises(MismatchError, match="other training images"):
        finish(run(coloured, tmp_path / "model", fakes=pool(coloured, "another digest")))


def test_fakes_change_the_weights_and_are_remembered(coloured: Path, tmp_path: Path):
    digest = images.content_digest(images.from_folder(coloured))
    for index in range(6):
        paint(tmp_path / "fakes" / f"{index}.png", (128, 128, 128), seed=index)
    plain, _ = finish(run(coloured, tmp_path / "plain"))
    regular, _ = finish(run(coloured, tmp_path / "regular", fakes=pool(tmp_path / "fakes", digest)))
    assert regular.digests[bundle.WEIGHTS] != plain.digests[bundle.WEIGHTS]
    assert regular.fakes == {"generator": "noise"}


def test_one_class_is_refused(tmp_path: Path):
    for index in range(4):
        paint(tmp_path / "one" / "red" / f"{index}.png", COLOURS["red"], index)
    with pytest.raises(InputError, match="two classes"):
        finish(run(tmp_path / "one", tmp_path / "model"))


def test_images_without_labels_are_refused(tmp_path: Path):
    for index in range(4):
        paint(tmp_path / "flat" / f"{index}.png", COLOURS["red"], index)
    with pytest.raises(InputError, match="no labels"):
        finish(run(tmp_path / "flat", tmp_path / "model"))


def test_fewer_images_than_a_batch_train_all_the_same(tmp_path: Path):
    for name, colour in COLOURS.items():
        for index in range(2):
            paint(tmp_path / "few" / name / f"{index}.png", colour, index)
    done, _ = finish(run(tmp_path / "few", tmp_path / "model"))
    assert done.metrics["training_images"] == 6
    assert done.metrics["validation_map_at_all"] is None
    assert "NaN" not in (tmp_path / "model" / METRICS).read_text()


def test_a_broken_image_is_left_out_and_named(coloured: Path, tmp_path: Path):
    (coloured / "red" / "00.png").write_bytes(b"no image")
    done, skipped = finish(run(coloured, tmp_path / "model"))
    assert [item.path for item in skipped] == [b"red/00.png"]
    assert done.metrics["training_images"] + done.metrics["validation_images"] == 35


def train_from_csv(folder: Path, rows: list[str], model: Path) -> Bundle:
    (folder / "list.csv").write_text("\n".join(rows))
    done, _ = finish(
        trainer.train(images.from_csv(folder / "list.csv"), "csv", settings(), model, fakes=None, device=CPU)
    )
    return done


def test_rows_of_a_csv_marked_val_are_the_validation_split(coloured: Path, tmp_path: Path):
    rows = ["path,label,split"]
    rows += [f"{c}/{i:02}.png,{c},{'val' if i < 2 else 'train'}" for c in COLOURS for i in range(12)]
    done = train_from_csv(coloured, rows, tmp_path / "model")
    assert done.metrics["validation_images"] == 6


@pytest.mark.parametrize("held", ["red,green", "red,green,blue"])
def test_rows_that_leave_nothing_to_learn_from_are_refused(coloured: Path, tmp_path: Path, held: str):
    rows = ["path,label,split"]
    rows += [f"{c}/{i:02}.png,{c},{'val' if c in held else 'train'}" for c in COLOURS for i in range(12)]
    found = "1 class in 12" if held == "red,green" else "0 classes in 0"
    told = f"two classes of two images or more, but found {found} readable images that are not marked val"
    with pytest.raises(InputError, match=told) as raised:
        train_from_csv(coloured, rows, tmp_path / "model")
    assert "mark fewer rows val: of those for training" in raised.value.hint


def test_what_will_not_be_learned_is_told(coloured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = ["path,label,label,split"]
    rows += [
        f"{c}/{i:02}.png,{c},{'all' if i else ''},{'val' if c == 'red' else ''}" for c in COLOURS for i in range(12)
    ]
    rows[rows.index("green/00.png,green,,")] = "green/00.png,,,"
    train_from_csv(coloured, rows, tmp_path / "model")
    told = [record.getMessage() for record in caplog.records]
    assert "1 of 36 images have no label: they are not trained on" in told
    assert "not trained on, since all of its images are held out: red" in told
    assert any("more than 90 % of the images have the label all: nearly all are similar" in line for line in told)


def test_images_of_which_all_can_be_learned_are_not_worth_a_word(
    coloured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    finish(run(coloured, tmp_path / "model", settings(epochs=1)))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_how_many_fakes_are_labelled_is_told_and_which_class_has_none(
    coloured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fakes = scored_pool(tmp_path / "fakes", coloured, [0.9, 0.1, 0.9, 0.2, 0.1, 0.1])
    caplog.set_level("INFO")
    finish(run(coloured, tmp_path / "model", settings(epochs=1, fakes_as="labels"), fakes))
    told = [record.getMessage() for record in caplog.records]
    assert "2 of 6 fakes have a score of 0.5 or more and are labelled" in told
    assert "no fake is labelled as red" in told


def test_a_class_that_only_queries_have_is_none_to_train_on(coloured: Path, tmp_path: Path):
    rows = ["path,label,split", *(f"{c}/{i:02}.png,{c},train" for c in COLOURS for i in range(11))]
    rows += [f"{c}/11.png,{'aardvark' if c == 'red' else c},query" for c in COLOURS]
    (coloured / "list.csv").write_text("\n".join(rows))
    part = images.training_part(images.from_csv(coloured / "list.csv"))
    assert part.class_names == ("blue", "green", "red")
    assert {entry.path.split(b"/")[0].decode(): part.class_names[entry.labels[0]] for entry in part.entries} == {
        name: name for name in COLOURS
    }


def test_a_mirrored_model_has_the_weights_of_one_that_is_not_and_other_codes(coloured: Path, tmp_path: Path):
    both = [settings(mirrored=mirrored, epochs=1, validation=0) for mirrored in (False, True)]
    one, other = (finish(run(coloured, tmp_path / str(chosen.mirrored), chosen))[0] for chosen in both)
    assert one.weights.read_bytes() == other.weights.read_bytes()
    assert one.fingerprint != other.fingerprint


def test_images_with_several_labels_train(coloured: Path, tmp_path: Path):
    rows = ["path,label,label"]
    rows += [f"{c}/{i:02}.png,{c},{'even' if i % 2 else ''}" for c in COLOURS for i in range(12)]
    done = train_from_csv(coloured, rows, tmp_path / "model")
    assert done.class_names == ("blue", "even", "green", "red")


@pytest.mark.parametrize(("name", "value"), [("bits", 0), ("bits", 2000), ("epochs", 0), ("entropy", "nonsense")])
def test_settings_out_of_range_are_refused(name: str, value: object):
    with pytest.raises(UsageError):
        settings(**{name: value})


def test_every_loss_and_every_control_has_its_name_on_the_command_line():
    assert {each.value for each in Loss} == {*LOSSES, UNLABELLED}
    assert {each.value for each in EntropyOn} == {*CONTROLS, "fakes"}
    assert {each.value for each in Augment} == {*MORE}


OTHERS = [name for name in LOSSES if name not in ("triplet", "csq", "contrastive")]


@pytest.mark.parametrize("loss", mostly_slow(OTHERS, "hashnet"))
def test_a_network_learns_by_every_loss(coloured: Path, tmp_path: Path, loss: str):
    done, _ = finish(run(coloured, tmp_path / "model", settings(loss=loss, epochs=8)))
    assert done.metrics["validation_map_at_all"] > 0.7


@pytest.mark.parametrize("loss", ["dpsh", "hashnet"])
def test_a_network_starts_undecided_about_pairs(loss: str):
    chosen, network = settings(loss=loss, bits=64), HashNet(SmallConv(width=8), 64)
    training_state.start(network, 4, chosen, 10, CPU)
    rng = np.random.default_rng(0)
    shown = torch.from_numpy(rng.integers(0, 256, (32, 3, 32, 32), np.uint8))
    logits, labels = network(shown).detach(), torch.eye(4, dtype=torch.bool).repeat(8, 1)
    known = {"logits": logits, "labels": labels, "seen": (logits, labels), "progress": 0.0}
    value = float(losses.call(loss, known, {}))
    groups = {"dpsh": 1, "hashnet": 2}[loss]  # hashnet adds the mean of similar pairs to that of the others
    assert value == pytest.approx(groups * np.log(2), rel=0.25)
    assert float(torch.tanh(logits).abs().mean()) < 0.3


def test_a_loss_on_pairs_is_told_of_as_many_images_as_there_are_those_seen_last():
    chosen, network = settings(loss="dpsh", batch=8, bits=16), HashNet(SmallConv(width=8), 16)
    labels = np.eye(2, dtype=np.bool_)[[0, 1, 1, 0, 0, 1, 1, 1, 0, 1]]
    pixels = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    state = training_state.start(network, 2, chosen, 10, CPU)
    data = sampling.TrainingData(pixels, labels, pixels[:0], labels[:0], None)
    for _ in range(3):
        fitting._step(state, data, chosen, 10, CPU)
        state.step += 1
    drawn = np.concatenate([sampling.draw(labels, 8, chosen.seed, step) for step in range(3)])
    assert state.seen is not None
    assert state.seen[0].shape == (10, 16)
    assert np.array_equal(state.seen[1].numpy(), labels[drawn[-10:]])


@pytest.mark.parametrize("loss", ["greedyhash", "dpsh"])
def test_a_stopped_run_goes_on_with_what_its_loss_keeps(loss: str, coloured: Path, tmp_path: Path):
    """A classifier that learns beside the network, or the images that were seen last."""
    chosen = settings(loss=loss)
    finish(run(coloured, tmp_path / "whole", chosen))
    with pytest.raises(Interrupted):
        stop(run(coloured, tmp_path / "stopped", chosen), 5)
    finish(run(coloured, tmp_path / "stopped", chosen))
    assert files.sha256(tmp_path / "stopped" / bundle.WEIGHTS) == files.sha256(tmp_path / "whole" / bundle.WEIGHTS)


class Failing(torch.autograd.Function):
    """Passes numbers on, and sends back gradients that are none."""

    @staticmethod
    def forward(_: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.clone()

    @staticmethod
    def backward(_: object, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # of one number
        return gradient * float("nan")


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (lambda z: z * float("inf"), r"training diverged at step 3: csq (inf|nan), gradient nan"),
        (Failing.apply, r"training diverged at step 3: csq 0\.\d+, gradient nan"),
    ],
    ids=["loss", "gradient"],
)
def test_training_that_diverges_stops_says_at_which_step_and_keeps_the_state_before_it(
    breaks: Callable[[torch.Tensor], torch.Tensor],
    told: str,
    coloured: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    chosen, steps = settings(loss="csq", epochs=1, validation=0.0), 0

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += 1
        return csq(breaks(logits) if steps == 4 else logits, labels)  # the first call tries the loss

    with monkeypatch.context() as patched:
        patched.setitem(LOSSES, "csq", loss)
        with pytest.raises(UsageError, match=told) as raised:
            finish(run(coloured, tmp_path / "model", chosen))
    assert "the state before that step is saved" in str(raised.value.hint)
    step, record = checkpoint.load_latest(tmp_path / "model" / bundle.CHECKPOINTS) or (0, {})
    assert step == 2
    assert all(bool(value.isfinite().all()) for value in (*record["network"].values(), record["centres"]))
    # Nothing of the step that failed is in it: the run ends as one that did not fail.
    finish(run(coloured, tmp_path / "model", chosen))
    finish(run(coloured, tmp_path / "whole", chosen))
    assert files.sha256(tmp_path / "model" / bundle.WEIGHTS) == files.sha256(tmp_path / "whole" / bundle.WEIGHTS)


def test_a_label_that_every_image_has_is_named(coloured: Path, tmp_path: Path):
    rows = ["path,label,label", *(f"{c}/{i:02}.png,{c},picture" for c in COLOURS for i in range(12))]
    with pytest.raises(InputError, match="every image has the label 'picture'"):
        train_from_csv(coloured, rows, tmp_path / "model")


def test_a_network_learns_from_two_views_of_images_without_labels(tmp_path: Path):
    for number, (name, colour) in enumerate(COLOURS.items()):
        for index in range(12):
            paint(tmp_path / "flat" / f"{name}-{index}.png", colour, 100 * number + index)
    done, _ = finish(run(tmp_path / "flat", tmp_path / "model", settings(loss="contrastive", epochs=8)))
    assert done.metrics["validation_map_at_all"] is None
    colours = finish(images.load(images.from_folder(paint_classes(tmp_path / "seen")), 32, strict=True))
    codes = bits.pack(open_runtime(done).logits(colours.array))
    labels = np.array([entry.labels[0] for entry in colours.entries])[:, None] == np.arange(3)
    assert metrics.mean_average_precision(codes, codes, metrics.relevance(labels, labels)) > 0.8


@pytest.mark.parametrize("control", mostly_slow(CONTROLS, "mixup"))
def test_a_control_takes_the_place_of_fakes(control: str, coloured: Path, tmp_path: Path):
    plain, _ = finish(run(coloured, tmp_path / "plain", settings(entropy_weight=0.0)))
    done, _ = finish(run(coloured, tmp_path / "control", settings(entropy_on=control, entropy_weight=0.1)))
    assert done.digests[bundle.WEIGHTS] != plain.digests[bundle.WEIGHTS]
    assert "entropy" in json.loads((tmp_path / "control" / METRICS).read_text().splitlines()[0])


def scored_pool(folder: Path, real: Path, scores: list[float]) -> FakePool:
    fakes, judged = scored(folder, scores)
    return FakePool(fakes, images.content_digest(images.from_folder(real)), {}, judged)


def terms(folder: Path) -> set[str]:
    return set(json.loads((folder / METRICS).read_text().splitlines()[0])) - {"epoch", "validation_map"}


@pytest.mark.parametrize(
    ("use", "threshold", "wanted"),
    [
        ("entropy", 0.5, {"triplet", "entropy"}),
        ("labels", 0.5, {"triplet", "fakes"}),
        ("both", 0.5, {"triplet", "entropy", "fakes"}),
        ("both", 0.0, {"triplet", "fakes"}),
    ],
)
def test_fakes_are_used_as_they_shall_be(use: str, threshold: float, wanted: set[str], coloured: Path, tmp_path: Path):
    fakes = scored_pool(tmp_path / "fakes", coloured, [0.1, 0.9, 0.2] * 3)
    chosen = settings(fakes_as=use, fake_filter=threshold, epochs=1)
    finish(run(coloured, tmp_path / "model", chosen, fakes))
    assert terms(tmp_path / "model") == wanted


def test_a_filter_that_no_fake_passes_is_refused_with_the_best_score(coloured: Path, tmp_path: Path):
    fakes = scored_pool(tmp_path / "fakes", coloured, [0.1, 0.3, 0.2])
    with pytest.raises(UsageError, match=r"no fake can be labelled: their best score is 0\.300"):
        finish(run(coloured, tmp_path / "model", settings(fakes_as="labels"), fakes))


def test_fakes_without_classes_cannot_be_labelled(coloured: Path, tmp_path: Path):
    for index in range(3):
        paint(tmp_path / "fakes" / f"{index}.png", (128, 128, 128), seed=index)
    digest = images.content_digest(images.from_folder(coloured))
    fakes = replace(pool(tmp_path / "fakes", digest), judgements=(None, None, None))
    with pytest.raises(UsageError, match="they have no one class each"):
        finish(run(coloured, tmp_path / "model", settings(fakes_as="both"), fakes))


def test_labelled_fakes_move_the_network_by_their_weight(coloured: Path, tmp_path: Path):
    fakes = scored_pool(tmp_path / "fakes", coloured, [0.9] * 3)
    alone, _ = finish(run(coloured, tmp_path / "alone", settings(epochs=1)))
    beside, _ = finish(run(coloured, tmp_path / "beside", settings(epochs=1, fakes_as="labels"), fakes))
    weightless, _ = finish(
        run(coloured, tmp_path / "none", settings(epochs=1, fakes_as="labels", label_weight=0.0), fakes)
    )
    assert beside.digests[bundle.WEIGHTS] != alone.digests[bundle.WEIGHTS]
    assert weightless.digests[bundle.WEIGHTS] == alone.digests[bundle.WEIGHTS]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"entropy_on": "mixup"}, False),
        ({"entropy_on": "mixup", "fakes_as": "labels"}, True),
        ({"loss": "itq"}, False),
        ({"loss": "contrastive"}, True),
        ({"entropy_weight": 0.0}, False),
        ({"entropy_weight": 0.0, "fakes_as": "both"}, True),
    ],
)
def test_fakes_are_asked_for_only_where_they_are_used(changes: dict[str, str], wanted: bool):
    assert settings(**changes).wants_fakes is wanted


def test_images_are_varied_as_asked(coloured: Path, tmp_path: Path):
    plain, _ = finish(run(coloured, tmp_path / "plain"))
    varied, _ = finish(run(coloured, tmp_path / "varied", settings(augment="trivial")))
    assert varied.digests[bundle.WEIGHTS] != plain.digests[bundle.WEIGHTS]


def test_a_loss_without_labels_has_no_use_for_labelled_fakes():
    with pytest.raises(UsageError, match="no use for labels of fakes"):
        settings(loss="contrastive", fakes_as="both")


@pytest.mark.parametrize("name", [bundle.ONNX, bundle.WEIGHTS])
def test_a_finished_model_that_is_damaged_is_not_passed_off_as_done(coloured: Path, tmp_path: Path, name: str):
    finish(run(coloured, tmp_path / "model"))
    content = bytearray((tmp_path / "model" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model" / name).write_bytes(content)
    with pytest.raises(CorruptError, match=name):
        finish(run(coloured, tmp_path / "model"))


def test_a_finished_model_and_a_run_that_goes_on_are_told_of(
    coloured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    with pytest.raises(Interrupted):
        stop(run(coloured, tmp_path / "model"), 5)
    finish(run(coloured, tmp_path / "model"))
    finish(run(coloured, tmp_path / "model"))
    said = [record.getMessage() for record in caplog.records]
    assert "going on from step 5" in said
    assert f"already done: {tmp_path / 'model'} holds this very model; --overwrite trains it again" in said


def test_every_file_of_a_model_can_be_read_by_whom_the_umask_lets(coloured: Path, tmp_path: Path):
    finish(run(coloured, tmp_path / "model"))
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir() if path.is_file()}
    assert len(modes) == 1


@pytest.mark.parametrize("steps", range(1, 12))
def test_the_schedule_takes_any_number_of_steps(steps: int):
    begun = training_state.start(HashNet(SmallConv(width=4), 4), 3, settings(bits=4), steps, CPU)
    for _ in range(steps):
        begun.optimiser.step()
        begun.schedule.step()
