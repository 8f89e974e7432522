"""Sampling: which images are held out, which a step sees, and what fakes are used for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ganhash_cli.engine import images, sampling
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.images import Entry
from ganhash_cli.engine.progress import finish
from ganhash_cli.errors import UsageError
from pictures import scored


def test_a_batch_has_no_more_images_than_there_are():
    labels = np.eye(3, dtype=np.bool_)[np.arange(30) % 3]
    assert len(sampling.draw(labels, 4096, 0, 0)) == 30


def test_of_images_with_several_labels_hardly_more_are_held_out_than_asked_and_no_class_goes():
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(50):
        labels = rng.random((80, 10)) < [0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.3, 0.1, 0.05]  # five an image
        held = sampling.hold_out(labels, 0.1, seed)
        assert (labels[~held].sum(0) >= np.minimum(labels.sum(0), 2)).all()
        shares.append(held.mean())
    assert 0.1 <= np.mean(shares) < 0.14  # what one class draws counts for the rest, and may be more than their share
    assert sampling.hold_out(np.ones((20, 3), np.bool_), 0.1, 0).sum() == 2


def test_images_of_one_label_each_are_held_out_as_before():
    labels = np.eye(3, dtype=np.bool_)[np.repeat([0, 1, 2], [20, 10, 2])]
    held = sampling.hold_out(labels, 0.25, 0)
    assert labels[held].sum(0).tolist() == [5, 2, 0]


def test_parts_of_the_images_are_no_copies_of_them():
    entries = tuple(Entry(b"%d" % row, 0, 0, (row % 2,)) for row in range(20))
    pixels = images.Pixels(np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1), entries, ())
    collection = images.Collection(b"/", entries, ("a", "b"))
    data = sampling.split(pixels, collection, None, 0.2, 0)
    for part, count in ((data.training, 16), (data.validation, 4)):
        assert np.shares_memory(part.array, pixels.array)
        assert np.array_equal(np.asarray(part).ravel(), part.numbers)
        assert len(part) == len(part[::2]) * 2 == count
    assert np.shares_memory(sampling.whole(pixels).training.array, pixels.array)


def test_a_batch_without_a_triplet_is_drawn_again():
    labels = np.zeros((40, 3), np.bool_)
    labels[:38, 0] = True
    labels[::8, 1] = labels[38:, 2] = True
    first = [sampling.draw(labels, 8, 0, step) for step in range(50)]
    found = [sampling.draw_triplets(labels, 8, 0, step) for step in range(50)]

    def lacks(chosen: np.ndarray) -> bool:
        alike = labels[chosen].astype(int) @ labels[chosen].T.astype(int) > 0
        return bool(alike.all())

    assert any(map(lacks, first))
    assert not any(map(lacks, found))
    assert all(np.array_equal(a, b) for a, b in zip(first, found, strict=True) if not lacks(a))


def test_images_of_which_no_batch_has_a_triplet_are_refused_with_the_step():
    labels = np.ones((30, 2), np.bool_)
    with pytest.raises(UsageError, match="step 7: of 100 batches of 8 images none has two similar images"):
        sampling.draw_triplets(labels, 8, 0, 7)


def test_without_labels_no_image_is_twice_in_a_batch():
    assert sorted(sampling.draw(np.zeros((8, 0), np.bool_), 32, 0, 0)) == list(range(8))
    assert len(set(sampling.draw(np.zeros((80, 0), np.bool_), 32, 0, 0))) == 32


def test_fakes_are_parted_by_their_scores(tmp_path: Path):
    fakes, judged = scored(tmp_path / "fakes", [0.1, 0.5, 0.9] * 3)
    pixels = finish(images.load(fakes, 32, strict=True))
    names = fakes.class_names
    found = sampling.share_out(pixels, judged, names, names, "both", 0.5)
    assert np.array_equal(found.ambiguous, pixels.array[::3])
    assert np.array_equal(found.realistic, pixels.array[[1, 2, 4, 5, 7, 8]])
    assert found.labels.argmax(1).tolist() == [0, 0, 1, 1, 2, 2]


def test_who_asks_for_both_uses_hears_that_a_filter_leaves_nothing_for_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fakes, judged = scored(tmp_path / "fakes", [0.6, 0.7, 0.9])
    pixels = finish(images.load(fakes, 32, strict=True))
    names = fakes.class_names
    assert not len(sampling.share_out(pixels, judged, names, names, "both", 0.5).ambiguous)
    assert "no fake is left for maximum entropy: a teacher of 3 classes is sure of all by 0.5" in caplog.text


def test_a_fake_has_the_label_that_its_teacher_gives_it(tmp_path: Path):
    fakes, _ = scored(tmp_path / "fakes", [0.9] * 3)
    pixels = finish(images.load(fakes, 32, strict=True))
    judged, names = [Judgement(2, 0.9), Judgement(0, 0.4), Judgement(1, 0.8)], fakes.class_names
    found = sampling.share_out(pixels, judged, names, names, "both", 0.5)
    assert found.labels.argmax(1).tolist() == [2, 1]
    assert np.array_equal(found.ambiguous, pixels.array[1:2])


def test_a_class_of_fakes_is_known_by_its_name_however_it_is_numbered(tmp_path: Path):
    fakes, judged = scored(tmp_path / "fakes", [0.9] * 3)
    pixels = finish(images.load(fakes, 32, strict=True))
    here = ("aardvark", "blue", "red")  # and no green
    found = sampling.share_out(pixels, judged, ("blue", "green", "red"), here, "both", 0.5)
    assert [here[number] for number in found.labels.argmax(1)] == ["blue", "red"]
    assert np.array_equal(found.ambiguous, pixels.array[1:2])


def test_fakes_between_two_classes_are_between_those_of_their_names(tmp_path: Path):
    fakes, _ = scored(tmp_path / "fakes", [0.9] * 3)
    pixels = finish(images.load(fakes, 32, strict=True))
    entries = [
        replace(entry, labels=pair) for entry, pair in zip(pixels.entries, [(0, 1), (1, 2), (2, 0)], strict=True)
    ]
    mixed = replace(pixels, entries=tuple(entries))
    found = sampling.share_out(mixed, [None] * 3, ("blue", "green", "red"), ("red", "x", "blue"), "entropy", 0.5)
    assert found.between.tolist() == [[-1, -1], [-1, -1], [0, 2]]
    unlabelled = sampling.share_out(mixed, [None] * 3, ("blue", "green", "red"), (), "entropy", 0.5)
    assert unlabelled.between.tolist() == [[-1, -1]] * 3
