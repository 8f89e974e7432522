"""Which images can teach, which are held out, and which a training step sees: all by the run's seed."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import images, wording
from ganhash_cli.engine.fakes import Judgement
from ganhash_cli.engine.images import Collection, Entry, Pixels
from ganhash_cli.engine.seeds import derive
from ganhash_cli.errors import InputError, UsageError

PER_CLASS = 4  # at least so many images of a class in a batch, so that every anchor has positives

_LOG = logging.getLogger(__name__)
_NAMED = 5  # classes, where there are many to tell of

Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Fakes:
    """Fakes for maximum entropy, `ambiguous`, and `realistic` ones with (R, classes) `labels`; both (…, S, S, 3).

    `between`, (A, 2), are the classes on whose boundary an ambiguous one lies, or -1.
    """

    ambiguous: NDArray[np.uint8]
    between: NDArray[np.int64]
    realistic: NDArray[np.uint8]
    labels: Labels


@dataclass(frozen=True)
class TrainingData:
    """Decoded images with their label tables, and fakes or None."""

    training: NDArray[np.uint8]
    labels: Labels
    validation: NDArray[np.uint8]
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
    """Mark `share` of the images of each class for validation, (N,); a class keeps at least two for training."""
    held = np.zeros(len(labels), np.bool_)
    rng = np.random.default_rng(derive(seed, "validation"))
    for column in labels.T:
        members = np.flatnonzero(column & ~held)
        count = min(round(share * len(members)), max(0, len(members) - 2))
        held[rng.permutation(members)[:count]] = True
    return held


def draw(labels: Labels, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Draw the images of one step: equally many of several classes, each class without repetition where it can.

    Without labels, any images.
    """
    rng = np.random.default_rng(derive(seed, "batch", step))
    if not labels.shape[1]:
        return rng.choice(len(labels), batch, replace=len(labels) < batch)
    present = np.flatnonzero(labels.any(0))
    classes = rng.permutation(present)[: max(2, batch // PER_CLASS)]
    each = max(2, batch // len(classes))
    picked = []
    for number in classes:
        members = np.flatnonzero(labels[:, number])
        picked.append(rng.choice(members, each, replace=len(members) < each))
    return np.concatenate(picked)


def require_two_classes(collection: Collection, entries: tuple[Entry, ...]) -> None:
    """Refuse images that cannot teach a similarity: unlabelled ones, or only one class."""
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
        raise InputError(
            f"training needs two classes of two images or more, but found {classes} in"
            f" {wording.counted(len(entries), kind)}",
            hint=f"{lacking}; or learn without labels: --loss itq",
        )


def tell_of_single_images(collection: Collection, entries: tuple[Entry, ...]) -> None:
    """Warn of classes with one image, which can teach only what they are unlike."""
    seen = Counter(label for entry in entries for label in entry.labels)
    single = [collection.class_names[label] for label, count in sorted(seen.items()) if count == 1]
    if single:
        names = ", ".join(single[:_NAMED]) + (", …" if len(single) > _NAMED else "")
        _LOG.warning(
            "%d of %d classes have one image only, which nothing is similar to: %s", len(single), len(seen), names
        )


def share_out(
    pixels: Pixels, judgements: Sequence[Judgement | None], classes: int, use: str, threshold: float
) -> Fakes:
    """Divide fakes by their use: all for "entropy", or for "labels" those with a score of `threshold` or more.

    "both" labels these and takes the others for entropy. The label of a fake is that of its judgement. Raises
    `UsageError` where no fake can be labelled.
    """
    labels = label_table([(known.label,) if known else () for known in judgements], classes)
    between = np.array([e.labels if len(e.labels) == 2 else (-1, -1) for e in pixels.entries], np.int64).reshape(-1, 2)
    if use == "entropy":
        return Fakes(pixels.array, between, pixels.array[:0], labels[:0])
    scores = np.array([-1.0 if known is None else known.score for known in judgements])
    good = (scores >= threshold) & labels.any(1)
    if not good.any():
        best = f"their best score is {scores.max():.3f}" if (scores >= 0).any() else "they have no one class each"
        raise UsageError(
            f"no fake can be labelled: {best}",
            hint="lower --fake-filter, or make fakes with a generator that takes classes, as sngan does",
        )
    others = ~good if use == "both" else np.zeros(len(good), np.bool_)
    return Fakes(pixels.array[others], between[others], pixels.array[good], labels[good])


def split(pixels: Pixels, classes: int, fakes: Fakes | None, share: float, seed: int) -> TrainingData:
    """Part the labelled images into training and validation: by the CSV's `val`, else a share of each class."""
    labels = label_table([entry.labels for entry in pixels.entries], classes)
    labelled = labels.any(1)
    named = np.array([entry.split == images.VALIDATION_SPLIT for entry in pixels.entries], np.bool_)
    held = named if named.any() else hold_out(labels, share, seed)
    kept = labelled & ~held
    held = labelled & held
    return TrainingData(pixels.array[kept], labels[kept], pixels.array[held], labels[held], fakes)


def whole(pixels: Pixels, fakes: Fakes | None = None) -> TrainingData:
    """Take all images for training, without labels."""
    labels = np.zeros((len(pixels.array), 0), np.bool_)
    return TrainingData(pixels.array, labels, pixels.array[:0], labels[:0], fakes)
