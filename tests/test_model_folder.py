"""model/ before, while and after it is trained: whose files are there, which run goes on, and what stays."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganhash_cli.engine import bundle, exporter, files, images, trainer
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.epochs import METRICS
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.progress import Work, finish
from ganhash_cli.engine.train_settings import UNLABELLED, TrainSettings
from ganhash_cli.errors import InputError, Interrupted, UsageError
from ganhash_cli.plugin import registry
from pictures import COLOURS, paint, paint_classes

SMALL = TrainSettings(
    backbone=registry.identify("backbone", "smallconv", {"width": "8"}), bits=8, epochs=2, batch=12, size=32
)
VIEWS = replace(SMALL, loss="contrastive")
FITTED = replace(SMALL, loss=UNLABELLED)


def run(
    folder: Path | Collection, model: Path, settings: TrainSettings = SMALL, *, overwrite: bool = False
) -> Work[tuple[Bundle, object]]:
    collection = folder if isinstance(folder, Collection) else images.from_folder(folder)
    return trainer.train(
        collection, "test", settings, model, fakes=None, device=torch.device("cpu"), overwrite=overwrite
    )


def stop(work: Work[object], step: int) -> None:
    """Drive training to `step` and interrupt it there."""
    for progress in work:
        if progress.stage.startswith("training") and progress.done >= step:
            with pytest.raises(Interrupted):
                work.throw(Interrupted(2))
            return
    raise AssertionError(f"there was no step {step}")


def all_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", [bundle.WEIGHTS, bundle.ONNX, METRICS, "checkpoints/best.pt", "checkpoints/step-1000.ckpt"]
)
def test_files_of_others_are_neither_replaced_nor_removed(coloured: Path, tmp_path: Path, name: str, overwrite: bool):
    mine = tmp_path / "project" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=f"project holds {name.split('/')[0]}") as raised:
        finish(run(coloured, tmp_path / "project", overwrite=overwrite))
    assert "--model" in str(raised.value.hint)
    assert all_in(tmp_path / "project") == {name: b"mine"}


def test_other_files_may_stand_beside_a_model(coloured: Path, tmp_path: Path):
    (tmp_path / "model" / "tensorboard").mkdir(parents=True)
    for name in ("notes.txt", "tensorboard/mine.txt"):
        (tmp_path / "model" / name).write_text("mine")
    for overwrite in (False, True):
        finish(run(coloured, tmp_path / "model", overwrite=overwrite))
    kept = all_in(tmp_path / "model")
    assert kept["notes.txt"] == kept["tensorboard/mine.txt"] == b"mine"
    assert not any(name.startswith(bundle.CHECKPOINTS) for name in kept)


def test_fitting_at_once_does_not_discard_an_unfinished_training(coloured: Path, tmp_path: Path):
    stop(run(coloured, tmp_path / "model", VIEWS), 2)
    before = all_in(tmp_path / "model")
    with pytest.raises(UsageError, match="an unfinished run with --loss contrastive, not itq"):
        finish(run(coloured, tmp_path / "model", FITTED))
    assert all_in(tmp_path / "model") == before
    finish(run(coloured, tmp_path / "model", FITTED, overwrite=True))
    assert METRICS not in all_in(tmp_path / "model")


def test_a_training_that_replaces_a_model_goes_on_after_a_stop(coloured: Path, tmp_path: Path):
    finish(run(coloured, tmp_path / "whole", replace(SMALL, bits=12)))
    finish(run(coloured, tmp_path / "model"))
    for step in (2, 4):
        stop(run(coloured, tmp_path / "model", replace(SMALL, bits=12), overwrite=True), step)
        names = [path.name for path in (tmp_path / "model" / bundle.CHECKPOINTS).glob("*.ckpt")]
        assert max(names) == f"step-{step:08}.ckpt"
    finish(run(coloured, tmp_path / "model", replace(SMALL, bits=12), overwrite=True))
    assert all_in(tmp_path / "model").keys() == all_in(tmp_path / "whole").keys()
    for name in (bundle.WEIGHTS, METRICS):
        assert files.sha256(tmp_path / "model" / name) == files.sha256(tmp_path / "whole" / name)


def test_a_model_stays_until_the_one_that_replaces_it_is_whole(coloured: Path, tmp_path: Path):
    finish(run(coloured, tmp_path / "model"))
    before = all_in(tmp_path / "model")
    for index in range(2):
        paint(tmp_path / "few" / f"{index}.png", COLOURS["red"], index)
    with pytest.raises(InputError, match="too few images"):
        finish(run(tmp_path / "few", tmp_path / "model", FITTED, overwrite=True))
    assert all_in(tmp_path / "model") == before
    stop(run(coloured, tmp_path / "model", replace(SMALL, bits=12), overwrite=True), 2)
    assert Bundle.open(tmp_path / "model").bits == 8
    with pytest.raises(UsageError, match="trained with --bits 8, not 12"):
        finish(run(coloured, tmp_path / "model", replace(SMALL, bits=12)))
    under_way = all_in(tmp_path / "model")
    finish(run(coloured, tmp_path / "model"))  # done already, and no reason to discard what is to replace it
    assert all_in(tmp_path / "model") == under_way


def test_a_replacement_that_was_stopped_while_it_was_written_is_written_again(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    finish(run(coloured, tmp_path / "whole", replace(SMALL, bits=12)))
    finish(run(coloured, tmp_path / "model"))

    def stopped(*_: object) -> None:
        raise Interrupted(15)

    for what in ("write_onnx", "_compare"):  # the old weights, then the new ones
        with monkeypatch.context() as patch:
            patch.setattr(exporter, what, stopped)
            with pytest.raises(Interrupted):
                finish(run(coloured, tmp_path / "model", replace(SMALL, bits=12), overwrite=True))
        with pytest.raises(InputError, match="not finished"):
            Bundle.open(tmp_path / "model")
    finish(run(coloured, tmp_path / "model", replace(SMALL, bits=12)))
    assert all_in(tmp_path / "model") == all_in(tmp_path / "whole")


def test_a_refused_training_leaves_no_folder(tmp_path: Path):
    paint(tmp_path / "few" / "0.png", COLOURS["red"], 0)
    with pytest.raises(InputError, match="1 image to train on"):
        finish(run(tmp_path / "few", tmp_path / "model", FITTED))
    assert not (tmp_path / "model").exists()


def test_an_unreadable_plan_is_another_run_and_no_reason_to_fail_for_ever(coloured: Path, tmp_path: Path):
    stop(run(coloured, tmp_path / "model"), 2)
    (tmp_path / "model" / bundle.CHECKPOINTS / "plan.json").write_text("{")
    with pytest.raises(UsageError, match="an unfinished run"):
        finish(run(coloured, tmp_path / "model"))
    assert finish(run(coloured, tmp_path / "model", overwrite=True))[0].bits == 8


def with_val_rows(folder: Path, held: range) -> Collection:
    rows = [f"{c}/{i:02}.png,{c},{'val' if i in held else 'train'}" for c in COLOURS for i in range(12)]
    (folder / "list.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    return images.from_csv(folder / "list.csv")


def test_the_same_images_in_another_split_are_another_run(coloured: Path, tmp_path: Path):
    finish(run(with_val_rows(coloured, range(4)), tmp_path / "model"))
    finish(run(with_val_rows(coloured, range(4)), tmp_path / "model"))  # done already
    with pytest.raises(UsageError, match="in another order or split"):
        finish(run(with_val_rows(coloured, range(8, 12)), tmp_path / "model"))


def test_images_that_were_renamed_do_not_go_on_as_others_than_they_were(tmp_path: Path):
    folder = paint_classes(tmp_path / "images")
    stop(run(folder, tmp_path / "model"), 2)
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name(f"{99 - int(path.stem):02}.png"))
    with pytest.raises(UsageError, match="in another order or split"):
        finish(run(folder, tmp_path / "model"))


def test_a_folder_that_was_moved_goes_on(tmp_path: Path):
    folder = paint_classes(tmp_path / "images")
    stop(run(folder, tmp_path / "model"), 2)
    finish(run(folder.rename(tmp_path / "elsewhere"), tmp_path / "model"))


def test_other_first_weights_under_the_same_name_are_another_run(coloured: Path, tmp_path: Path):
    from safetensors.torch import save_file

    from ganhash_cli.engine import backbones

    chosen = {"pretrained": "false"}
    place = tmp_path / "first.safetensors"
    known = backbones.identify("mobilenetv3_small_050", {**chosen, "weights": str(place)})
    network = backbones.build(backbones.identify("mobilenetv3_small_050", chosen))
    model = next(each for each in network.children() if list(each.children()))
    settings = replace(SMALL, backbone=known, epochs=1, size=64)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, place)
    finish(run(coloured, tmp_path / "model", settings))
    save_file({name: value.contiguous() + 1 for name, value in model.state_dict().items()}, place)
    with pytest.raises(UsageError, match="other first weights"):
        finish(run(coloured, tmp_path / "model", settings))
