"""A pool of fakes is made whole from any images, equal after a kill, and never over something else."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from ganhash_cli.engine import fakes, gan, images, pool
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.pool import Made
from ganhash_cli.engine.progress import Work, finish
from ganhash_cli.errors import CorruptError, InputError, Interrupted, UsageError
from ganhash_cli.plugin import registry
from pictures import paint, paint_classes


@pytest.fixture(autouse=True)
def _one_thread(_same_for_every_test: None) -> None:
    """Work this small only waits for a second thread."""
    torch.set_num_threads(1)


def making(source: Path, folder: Path, overwrite: bool = False, strict: bool = False, **changes: Any) -> Work[Made]:
    given = {"generator": registry.identify("generator", "tiny", {}), "steps": 3, "batch": 4, "features": "smallconv"}
    collection = images.collect(source)
    settings = GenerateSettings(**{**given, **changes})
    cpu = torch.device("cpu")
    return pool.make(collection, "here", settings, folder, device=cpu, overwrite=overwrite, strict=strict)


def make(source: Path, folder: Path, **changes: Any) -> Fakes:
    return finish(making(source, folder, **changes)).fakes


def test_a_class_name_that_no_folder_can_have_is_refused_before_training(tmp_path: Path) -> None:
    long = "क्षि" * 14  # legal as a folder, but every vowel sign takes nine bytes where it is escaped
    for number in range(3):
        paint(tmp_path / "images" / long / f"{number}.png", (9, 9, 9), number)
        paint(tmp_path / "images" / "other" / f"{number}.png", (99, 9, 9), number)
    seen: list[str] = []
    with pytest.raises(InputError, match="too long for a folder"):
        finish(making(tmp_path / "images", tmp_path / "fakes"), lambda progress: seen.append(progress.stage))
    assert not [stage for stage in seen if stage.startswith("training")]
    assert not (tmp_path / "fakes").exists()


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_pool_holds_one_fake_for_each_image_spread_over_the_classes(coloured: Path, tmp_path: Path) -> None:
    made = Fakes.open(make(coloured, tmp_path / "fakes").folder)
    assert made.class_names == ("blue", "green", "red")
    assert np.bincount([image.label for image in made.images]).tolist() == [12, 12, 12]


def test_an_uneven_count_gives_the_first_classes_one_more(coloured: Path, tmp_path: Path) -> None:
    made = make(coloured, tmp_path / "fakes", count=7)
    assert [image.label for image in made.images] == [0, 0, 0, 1, 1, 2, 2]


def test_the_description_says_what_a_reader_needs(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    record = json.loads((tmp_path / "fakes" / fakes.DESCRIPTION).read_text())
    assert record["training_digest"] == images.content_digest(images.collect(coloured))
    assert record["steps"] == record["settings"]["steps"]
    assert record["generator"]["name"] == "tiny"
    assert record["settings"]["augment"] == "translation,cutout,color"
    assert record["image_size"] == [3, 32, 32]
    assert record["quality"]["frechet_distance"] > 0
    assert record["quality"]["accuracy_images"] == 36
    assert all(1 / 3 <= image["score"] <= 1 and image["judged"] in (0, 1, 2) for image in record["images"])


def test_the_weights_are_the_generators(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    with safe_open(tmp_path / "fakes" / fakes.WEIGHTS, "pt") as weights:
        assert sorted(weights.keys()) == ["picture.bias", "picture.weight"]


def test_images_without_labels_make_fakes_without_classes(tmp_path: Path) -> None:
    for index in range(6):
        paint(tmp_path / "plain" / f"{index}.png", (200, 40, 40), seed=index)
    made = make(tmp_path / "plain", tmp_path / "fakes")
    assert [(image.path, image.label, image.score) for image in made.images][:1] == [("000000.png", None, None)]
    assert made.record["quality"]["accuracy"] is None


def test_a_generator_without_classes_makes_fakes_without_classes(coloured: Path, tmp_path: Path) -> None:
    made = make(coloured, tmp_path / "fakes", generator=registry.identify("generator", "dcgan", {"base": "2"}))
    assert made.class_names == ()
    assert (tmp_path / "fakes" / "000035.png").exists()


def test_images_with_several_labels_make_fakes_without_classes(coloured: Path, tmp_path: Path) -> None:
    rows = "path,label,label\nred/00.png,warm,red\nblue/00.png,cold,blue\n"
    (coloured / "list.csv").write_text(rows)
    assert make(coloured / "list.csv", tmp_path / "fakes").class_names == ()


def test_an_image_without_a_label_among_labelled_ones_is_left_out_and_listed(coloured: Path, tmp_path: Path) -> None:
    paint(coloured / "stray.png", (0, 0, 0), seed=1)
    made = finish(making(coloured, tmp_path / "fakes"))
    assert [(item.path, item.reason) for item in made.skipped] == [(b"stray.png", "has no label")]
    assert made.fakes.record["training_images"] == 36


def test_grey_images_make_grey_fakes(tmp_path: Path) -> None:
    for index in range(4):
        Image.fromarray(np.full((30, 40), 50 * index, np.uint8)).save(tmp_path / f"{index}.png")
    made = make(tmp_path, tmp_path / "fakes")
    assert tuple(made.record["image_size"]) == (1, 30, 30)
    with Image.open(tmp_path / "fakes" / "000000.png") as fake:
        assert fake.mode == "L"


@pytest.mark.parametrize(("side", "size"), [(8, 28), (40, 40), (300, 64)])
def test_the_default_size_is_the_median_short_side_within_reason(side: int, size: int, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (9, 9, 9), seed=0, side=side)
    assert pool.default_size(images.collect(tmp_path)) == size


def test_one_class_of_two_images_is_enough_and_one_image_is_not(tmp_path: Path) -> None:
    paint(tmp_path / "two" / "class" / "0.png", (200, 40, 40), seed=0)
    with pytest.raises(InputError, match="a generator learns from two images or more, and there is one"):
        make(tmp_path / "two", tmp_path / "fakes")
    (tmp_path / "two" / "class" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="a generator learns from two images or more, and there is one"):
        make(tmp_path / "two", tmp_path / "fakes")
    assert not (tmp_path / "fakes").exists()
    paint(tmp_path / "two" / "class" / "1.png", (200, 40, 40), seed=1)
    made = make(tmp_path / "two", tmp_path / "fakes")
    assert (made.class_names, len(made.images)) == (("class",), 2)


def test_a_run_stopped_in_training_ends_in_equal_files(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "whole")
    work = making(coloured, tmp_path / "stopped")
    while next(work).stage != "training tiny":
        pass
    with pytest.raises(Interrupted):
        work.throw(Interrupted(2))
    assert not (tmp_path / "stopped" / fakes.DESCRIPTION).exists()
    make(coloured, tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("stage", ["reading images", "training tiny", "drawing fakes", "judging fakes"])
def test_a_run_killed_at_any_stage_ends_in_equal_files(
    stage: str, coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(coloured, tmp_path / "whole")
    monkeypatch.setattr(gan, "CHECKPOINT_SECONDS", -1.0)
    work = making(coloured, tmp_path / "killed")
    while next(work).stage != stage:
        pass
    work.close()
    make(coloured, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_same_call_again_does_nothing(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "fakes").rglob("*")}
    assert not finish(making(coloured, tmp_path / "fakes")).new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "fakes").rglob("*")} == before


def test_other_settings_do_not_replace_fakes_unless_told_to(coloured: Path, tmp_path: Path) -> None:
    before = contents(make(coloured, tmp_path / "fakes").folder)
    with pytest.raises(UsageError) as caught:
        make(coloured, tmp_path / "fakes", seed=1)
    assert "--overwrite" in caught.value.hint
    assert contents(tmp_path / "fakes") == before
    assert make(coloured, tmp_path / "fakes", seed=1, overwrite=True).record["settings"]["seed"] == 1


def test_a_setting_that_has_come_since_makes_older_fakes_no_others(coloured: Path, tmp_path: Path) -> None:
    description = make(coloured, tmp_path / "fakes").folder / fakes.DESCRIPTION
    record = json.loads(description.read_text())
    del record["settings"]["consistency"], record["settings"]["boundary"]
    record[fakes.SEAL] = fakes._seal(record)
    description.write_text(json.dumps(record))
    assert not finish(making(coloured, tmp_path / "fakes")).new
    with pytest.raises(UsageError, match=r"with --consistency 0\.0, not 1\.0"):
        make(coloured, tmp_path / "fakes", consistency=1.0)


def test_other_images_do_not_replace_fakes_unless_told_to(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    other = paint_classes(tmp_path / "other", each=3)
    with pytest.raises(UsageError, match="other images"):
        make(other, tmp_path / "fakes")


def test_unfinished_work_with_other_settings_is_kept_unless_told_otherwise(coloured: Path, tmp_path: Path) -> None:
    work = making(coloured, tmp_path / "fakes")
    while next(work).stage != "training tiny":
        pass
    with pytest.raises(Interrupted):
        work.throw(Interrupted(2))
    with pytest.raises(UsageError, match="unfinished"):
        make(coloured, tmp_path / "fakes", seed=1)
    assert len(make(coloured, tmp_path / "fakes", seed=1, overwrite=True).images) == 36


def test_a_start_that_trained_nothing_stands_in_no_ones_way(coloured: Path, tmp_path: Path) -> None:
    work = making(coloured, tmp_path / "fakes")
    next(work)
    work.close()
    assert make(coloured, tmp_path / "fakes", seed=1).record["settings"]["seed"] == 1


def test_a_run_that_diverges_at_once_leaves_an_empty_folder_empty(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fakes").mkdir()
    step, calls = gan._step, itertools.count()

    def diverges(*given: Any) -> dict[str, float]:
        if next(calls) == 2:
            raise UsageError("diverged")
        return step(*given)

    monkeypatch.setattr(gan, "_step", diverges)
    with pytest.raises(UsageError, match="diverged"):
        make(coloured, tmp_path / "fakes")
    assert list((tmp_path / "fakes").iterdir()) == []
    monkeypatch.undo()
    assert len(make(coloured, tmp_path / "fakes").images) == 36


def test_overwriting_replaces_even_a_broken_description(coloured: Path, tmp_path: Path) -> None:
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / fakes.DESCRIPTION).write_text("{")
    with pytest.raises(CorruptError):
        make(coloured, tmp_path / "fakes")
    assert len(make(coloured, tmp_path / "fakes", overwrite=True).images) == 36


def test_old_fakes_stay_whole_while_new_ones_are_made(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    work = making(coloured, tmp_path / "fakes", seed=1, overwrite=True)
    while next(work).stage != "judging fakes":
        pass
    work.close()
    assert Fakes.open(tmp_path / "fakes").record["settings"]["seed"] == 0


def test_images_of_others_among_fakes_stay_where_these_are_replaced(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    kept = tmp_path / "fakes" / "best" / "000000.png"
    kept.parent.mkdir()
    shutil.copy(tmp_path / "fakes" / "red" / "000000.png", kept)
    (tmp_path / "fakes" / "empty").mkdir()
    make(coloured, tmp_path / "fakes", seed=1, overwrite=True)
    assert kept.exists()
    assert (tmp_path / "fakes" / "empty").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_written_to(overwrite: bool, coloured: Path) -> None:
    before = contents(coloured)
    with pytest.raises(UsageError, match="other files"):
        make(coloured, coloured, overwrite=overwrite)
    assert contents(coloured) == before


def test_a_bad_file_is_skipped_and_listed(coloured: Path, tmp_path: Path) -> None:
    (coloured / "red" / "bad.png").write_bytes(b"no image")
    made = finish(making(coloured, tmp_path / "fakes"))
    assert [item.path for item in made.skipped] == [b"red/bad.png"]


def test_a_bad_file_stops_a_strict_run(coloured: Path, tmp_path: Path) -> None:
    (coloured / "red" / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError):
        make(coloured, tmp_path / "fakes", strict=True)


def test_no_images_are_an_input_error_and_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no usable image"):
        make(tmp_path / "empty", tmp_path / "fakes")
    assert not (tmp_path / "fakes").exists()


def test_an_empty_collection_made_by_a_program_is_an_input_error(tmp_path: Path) -> None:
    settings = GenerateSettings(generator=registry.identify("generator", "tiny", {}))
    work = pool.make(Collection(b"/nowhere", ()), "here", settings, tmp_path / "f", device=torch.device("cpu"))
    with pytest.raises(InputError):
        finish(work)


def test_a_kill_after_the_last_file_leaves_nothing_for_good(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "fakes")
    whole = contents(tmp_path / "fakes")
    (tmp_path / "fakes" / ".work" / "checkpoints").mkdir(parents=True)
    (tmp_path / "fakes" / ".work" / "plan.json").write_text("{}")
    make(coloured, tmp_path / "fakes")
    assert contents(tmp_path / "fakes") == whole


def test_a_kill_before_the_first_file_stands_in_no_ones_way(coloured: Path, tmp_path: Path) -> None:
    make(coloured, tmp_path / "whole")
    (tmp_path / "fakes" / ".work").mkdir(parents=True)
    (tmp_path / "fakes" / ".work" / ".plan.json.4000000.tmp").write_text("{")
    make(coloured, tmp_path / "fakes")
    assert contents(tmp_path / "fakes") == contents(tmp_path / "whole")


def test_a_hidden_folder_of_someone_else_is_not_taken_for_our_own(coloured: Path, tmp_path: Path) -> None:
    (tmp_path / "fakes" / ".work").mkdir(parents=True)
    (tmp_path / "fakes" / ".work" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="other files"):
        make(coloured, tmp_path / "fakes")
    assert (tmp_path / "fakes" / ".work" / "mine.txt").exists()
