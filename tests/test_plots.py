"""Plots for a page: what their axes say."""

import base64
import re

import numpy as np
import pytest

from ganhash_cli.engine import plots
from ganhash_cli.engine.epochs import Epochs
from ganhash_cli.engine.plots import Plot
from ganhash_cli.engine.separation import Separation


def numbers(plot: Plot, axis: int) -> list[str]:
    """Return what stands at the ticks of an axis along the bottom; matplotlib writes each text beside its outline."""
    svg = base64.b64decode(plot.light.partition("base64,")[2]).decode()
    return re.findall(r"<!-- (.*?) -->", svg.split('id="matplotlib.axis_')[axis])[:-1]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    values = tuple(0.5 for _ in range(epochs))
    found = Epochs(tuple(range(1, epochs + 1)), {"triplet": values}, tuple(np.nan for _ in range(epochs)))
    assert numbers(plots.training(found), 1) == [str(number) for number in range(1, epochs + 1)]


def test_distances_are_whole_numbers_of_bits() -> None:
    assert numbers(plots.distances(Separation(np.array([3, 1]), np.array([1, 3]))), 1) == ["0", "1"]
