"""Which images can teach, which are held out, and which a training step sees: all by the run's seed."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganhash_cli.engine import csv_list, images, wording
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.images import Collection, Entry, Pixels
from ganhash_cli.engine.rows import Images, Rows
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import InputError, UsageError

PER_CLASS = 4  # at least so many images of a class in a batch, so that every anchor has positives
KEPT = 2  # images of a class that are not held out
DRAWS = 100  # batches to try where one lacks a triplet

_LOG = logging.getLogger(__name__)
_NAMED = 5  # classes, where there are many to tell of
_NEARLY_ALL = 0.9  # of the images

Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Fakes:
    """Fakes for maximum entropy, `ambiguous`, and `realistic` ones with (R, classes) `labels`; both (…, S, S, 3).

    `between`, (A, 2), are the classes on whose boundary an ambiguous one lies, or -1.
    """

    ambiguous: Images
    between: NDArray[np.int64]
    realistic: Images
    labels: Labels


@dataclass(frozen=True)
class TrainingData:
    """Decoded images with their label tables, and fakes or None."""

    training: Images
    labels: Labels
    validation: Images
    validation_labels: Labels
    fakes: Fakes | None


def label_table(labels: list[tuple[int, ...]], classes: int) -> Labels:
    """Turn label numbers into an (N, classes) table of booleans.

    >>> label_table([(0,), (0, 1)], 2).astype(int).tolist()
    [[1, 0], [1, 1]]
    """
    table = np.zeros((len(labels), classes), np.bool_)
    for row, numbers in enumerate(labels):
        table[row, list(numbers)] = True
    return table


def hold_out(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Mark `share` of the images of each class for validation, (N,); a class keeps at least two for training.

    An image of several classes counts for each of them.
    """
    held = np.zeros(len(labels), np.bool_)
    rng = np.random.default_rng(derive(seed, "validation"))
    left = labels.sum(0)
    for column in labels.T:
        missing = round(share * column.sum()) - (column & held).sum()
        for image in rng.permutation(np.flatnonzero(column & ~held)):
            if missing <= 0:
                break
            if (left[labels[image]] > KEPT).all():
                held[image] = True
                left -= labels[image]
                missing -= 1
    return held


def draw(labels: Labels, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw the images of one step: equally many of several classes, each class without repetition where it can.

    Without labels, any images, none twice: a copy would be another image to a loss that tells images apart. About
    `batch` images, and no more than there are.
    """
    rng = np.random.default_rng(derive(seed, "batch", step))
    batch = min(batch, len(labels))
    if not labels.shape[1]:
        return rng.choice(len(labels), batch, replace=False)
    present = np.flatnonzero(labels.any(0))
    classes = rng.permutation(present)[: max(2, batch // PER_CLASS)]
    each = max(2, batch // len(classes))
    picked = []
    for number in classes:
        members = np.flatnonzero(labels[:, number])
        picked.append(rng.choice(members, each, replace=len(members) < each))
    return np.concatenate(picked)


def draw_triplets(labels: Labels, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw the images of one step as `draw` does, again where no three of them are a triplet.

    Raises `UsageError` where none of 100 batches has two similar images and one that is dissimilar to the first.
    """
    for again in range(DRAWS):
        chosen = draw(labels, batch, derive(seed, "again", again) if again else seed, step)
        numbers = labels[chosen].astype(np.float32)
        alike = numbers @ numbers.T > 0
        if ((alike.sum(1) > 1) & ~alike.all(1)).any():
            return chosen
    raise UsageError(
        f"step {step:,}: of {DRAWS} batches of {len(chosen)} images none has two similar images and a dissimilar one",
        hint="raise --batch, leave out labels that most images have, or take a loss with hash centres: --loss csq",
    )


def require_two_classes(collection: Collection, entries: tuple[Entry, ...], *, but_val: bool = False) -> None:
    """Refuse images that cannot teach a similarity: unlabelled ones, or only one class.

    With `but_val` the `entries` are what rows marked `val` leave of them.
    """
    if not collection.entries:
        raise images.nothing_usable(collection, collection.skipped)
    if not collection.labelled:
        raise InputError(
            f"the images in {os.fsdecode(collection.root)} have no labels, which this loss needs",
            hint="put each class into a folder of its own, name a CSV with path,label, or learn without: --loss itq",
        )
    seen = Counter(label for entry in entries for label in entry.labels)
    for label, count in seen.items():
        if count == len(entries) and len(seen) > 1:
            raise InputError(
                f"every image has the label {collection.class_names[label]!r}, so that no two are dissimilar",
                hint="leave that label out of the list",
            )
    if len([label for label, count in seen.items() if count > 1]) < 2:
        classes = wording.counted(len(seen), "class", "classes")
        kind = "image" if entries is collection.entries else "readable image"
        poor = [f"{name!r} has {seen[label]}" for label, name in enumerate(collection.class_names) if seen[label] < 2]
        more = f" and {len(poor) - _NAMED:,} more too few" if len(poor) > _NAMED else ""
        lacking = f"add images: {', '.join(poor[:_NAMED])}{more}" if poor else "add images of another class"
        lacking = f"mark fewer rows val: of those for training {', '.join(poor[:_NAMED])}{more}" if but_val else lacking
        raise InputError(
            f"training needs two classes of two images or more, but found {classes} in"
            f" {wording.counted(len(entries), kind)}{' that are not marked val' if but_val else ''}",
            hint=f"{lacking}; or learn without labels: --loss itq",
        )


def tell_of_single_images(collection: Collection, entries: tuple[Entry, ...]) -> None:
    """Warn of classes with one image, which can teach only what they are unlike."""
    seen = Counter(label for entry in entries for label in entry.labels)
    single = np.array([seen[label] == 1 for label in range(len(collection.class_names))])
    if single.any():
        names = _some(single, collection.class_names)
        told = "%d of %d classes have one image only, similar to nothing but itself: %s"
        _LOG.warning(told, single.sum(), len(seen), names)


def tell_of_useless(data: TrainingData, class_names: tuple[str, ...], unlabelled: int) -> None:
    """Warn of what will not be learned: images without a label, classes held out whole, and a label of nearly all."""
    count = len(data.labels)
    if unlabelled:
        whole = unlabelled + count + len(data.validation_labels)
        _LOG.warning("%s of %s images have no label: they are not trained on", f"{unlabelled:,}", f"{whole:,}")
    unseen = data.validation_labels.any(0) & ~data.labels.any(0)
    if unseen.any():
        _LOG.warning("not trained on, since all of its images are held out: %s", _some(unseen, class_names))
    common = data.labels.mean(0) > _NEARLY_ALL
    if common.any():
        _LOG.warning(
            "more than %d %% of the images have the label %s: nearly all are similar, so that mAP is near 1 whatever is"
            " learned",
            100 * _NEARLY_ALL,
            _some(common, class_names),
        )


def _some(chosen: ArrayLike, class_names: tuple[str, ...]) -> str:
    """Name the first of some classes."""
    names = [class_names[number] for number in np.flatnonzero(chosen)]
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def share_out(
    pixels: Pixels,
    judgements: Sequence[Judgement | None],
    names: tuple[str, ...],
    classes: tuple[str, ...],
    use: str,
    threshold: float,
) -> Fakes:
    """Divide fakes by their use: all for "entropy", or for "labels" those with a score of `threshold` or more.

    "both" labels these and takes the others for entropy. The label of a fake is that of its judgement. `names` are the
    classes as the fakes number them, `classes` those of the training images: a class is the same by its name. Raises
    `UsageError` where no fake can be labelled.
    """
    place = {name: number for number, name in enumerate(classes)}
    number_of = [place.get(name) for name in names]
    known = [None if each is None else number_of[each.label] for each in judgements]
    labels = label_table([() if number is None else (number,) for number in known], len(classes))
    pairs = [[number_of[label] for label in entry.labels] for entry in pixels.entries]
    between = np.array([p if len(p) == 2 and None not in p else (-1, -1) for p in pairs], np.int64).reshape(-1, 2)
    if use == "entropy":
        return Fakes(pixels.array, between, pixels.array[:0], labels[:0])
    scores = np.array([-1.0 if each is None else each.score for each in judgements])
    good = (scores >= threshold) & labels.any(1)
    if not good.any():
        if (scores >= 0).any():
            reason, hint = f"their best score is {scores.max():.3f}", "lower --fake-filter"
        elif any(len(entry.labels) == 2 for entry in pixels.entries):
            reason, hint = "each lies between two classes", "make others, with `ganhash generate` without --boundary"
        else:
            reason = "they have no one class each"
            hint = "images of one label each and a generator that takes classes, as sngan does, make such that have"
        raise UsageError(f"no fake can be labelled: {reason}", hint=hint)
    _LOG.info(
        "%s of %s fakes have a score of %g or more and are labelled", f"{good.sum():,}", f"{len(good):,}", threshold
    )
    if (missing := ~labels[good].any(0)).any():
        _LOG.warning("no fake is labelled as %s", _some(missing, classes))
    others = ~good if use == "both" else np.zeros(len(good), np.bool_)
    if use == "both" and not others.any():
        _LOG.warning(
            "no fake is left for maximum entropy: a teacher of %s is sure of all by %g or more; raise --fake-filter",
            wording.counted(len(classes), "class", "classes"),
            threshold,
        )
    ambiguous, realistic = (Rows(pixels.array, np.flatnonzero(some)) for some in (others, good))
    return Fakes(ambiguous, between[others], realistic, labels[good])


def split(pixels: Pixels, collection: Collection, fakes: Fakes | None, share: float, seed: int) -> TrainingData:
    """Part the labelled images into training and validation: by the CSV's `val`, else a share of each class.

    Raises `InputError` where those for training cannot teach.
    """
    labels = label_table([entry.labels for entry in pixels.entries], len(collection.class_names))
    labelled = labels.any(1)
    named = np.array([entry.split == csv_list.VALIDATION_SPLIT for entry in pixels.entries], np.bool_)
    held = named if named.any() else hold_out(labels, share, seed)
    if share and not held.any():
        _LOG.warning(
            "no class is large enough to hold out a share of %g: the weights of the last epoch are kept", share
        )
    kept = labelled & ~held
    held = labelled & held
    taught = tuple(pixels.entries[row] for row in np.flatnonzero(kept))
    require_two_classes(collection, taught, but_val=bool(named.any()))
    training, validation = (Rows(pixels.array, np.flatnonzero(some)) for some in (kept, held))
    data = TrainingData(training, labels[kept], validation, labels[held], fakes)
    tell_of_useless(data, collection.class_names, int((~labelled).sum()))
    return data


def whole(pixels: Pixels, fakes: Fakes | None = None) -> TrainingData:
    """Take all images for training but those that a CSV marks `val`, without labels.

    Raises `InputError` where fewer than two are left.
    """
    kept = np.array([entry.split != csv_list.VALIDATION_SPLIT for entry in pixels.entries], np.bool_)
    if (count := int(kept.sum())) < 2:
        raise InputError(f"{wording.counted(count, 'image')} to train on", hint="what tells images apart needs two")
    labels = np.zeros((count, 0), np.bool_)
    return TrainingData(Rows(pixels.array, np.flatnonzero(kept)), labels, pixels.array[:0], labels[:0], fakes)
