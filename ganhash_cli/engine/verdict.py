"""Precision and recall of fakes → one sentence on what they mean and what to do, where something is plainly wrong.

Loads no torch, so that `ganhash info` can say it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOW, HIGH = 0.1, 0.5
"""Below and from which a share is plainly bad or good. Two draws of one distribution reach 0.7 and more; where a few
images are repeated, or noise is drawn, one share is below 0.05: tests/test_verdict.py. Between, look at `grid.png`."""
LEAST = 100
"""Images of each kind; of fewer, a tenth is less than ten images, and chance."""


def of(quality: Mapping[str, Any]) -> str:
    """Return what the figures of fakes.json mean; empty where they are not plainly wrong, or of too few images."""
    precision, recall = quality.get("precision"), quality.get("recall")
    if precision is None or recall is None or min(quality.get("frechet_images") or [0]) < LEAST:
        return ""
    if precision >= HIGH and recall < LOW:
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
            " --steps"
        )
    return ""
