"""Precision, recall and diversity of fakes → one sentence on what they mean, where something is plainly wrong.

Loads no torch, so that `ganhash info` can say it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOW, HIGH = 0.1, 0.5
"""Below and from which a share is plainly bad or good. Two draws of one distribution reach 0.7 and more; where a few
images are repeated, or noise is drawn, one share is below 0.05: tests/test_verdict.py. Between, look at `grid.png`."""
LEAST, FEWEST = 100, 20
"""Images of each kind; of fewer than the first, a tenth is less than ten images, and chance. Of the second, a
diversity is that of the pool to a few hundredths."""
ALIKE = 1 / 3
"""Diversity below which fakes lie together in a place of their own. Of 1,000 images of CIFAR-10 it is below a quarter
after 2 steps, 60 steps or a minute, and precision, by the few odd real images whose reach is large, anything up to 1.
Three to ten real images, repeated, have more: tests/test_verdict.py. One, or two alike, have as little, and there too
more steps are the first thing to try."""


def of(quality: Mapping[str, Any]) -> str:
    """Return what the figures of fakes.json mean; empty where they are not plainly wrong, or of too few images."""
    precision, recall = quality.get("precision"), quality.get("recall")
    if too_brief(quality):
        return (
            "trained too briefly: the fakes differ far less from each other than real images do, and precision says"
            " nothing of them; make them again with --overwrite and more --minutes or --steps, and where that does not"
            " help with half the --learning-rate"
        )
    if precision is None or recall is None or _fewest(quality) < LEAST:
        return ""
    if precision >= HIGH and recall < LOW and quality.get("diversity") is not None:
        return (
            "mode collapse: the fakes look real, but nearly all like the same few real images; make them again with"
            " --overwrite and half the --learning-rate, or by another generator of `ganhash plugins list`"
        )
    if recall >= HIGH and precision < LOW:
        return (
            "mostly noise: the fakes lie all around the real images, but hardly one looks like them; make them again"
            " with --overwrite and more --steps, or by another generator of `ganhash plugins list`"
        )
    if max(precision, recall) < LOW:
        return (
            "far from the real images: hardly a fake looks like one of them; make them again with --overwrite and more"
            " --minutes or --steps"
        )
    return ""


def too_brief(quality: Mapping[str, Any]) -> bool:
    """Return whether fakes are so much alike, and so few real images among them, that a precision is no praise."""
    recall, diversity = quality.get("recall"), quality.get("diversity")
    if recall is None or diversity is None or _fewest(quality) < FEWEST:
        return False
    return bool(recall < LOW and diversity < ALIKE)


def _fewest(quality: Mapping[str, Any]) -> int:
    return int(min(quality.get("frechet_images") or [0]))
