"""Values → plots for a page: each an SVG in light and in dark colours, without a text or a name from a file."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import pr_curve
from ganhash_cli.engine.bit_statistics import BitStatistics
from ganhash_cli.engine.code_map import CodeMap
from ganhash_cli.engine.epochs import Epochs
from ganhash_cli.engine.metrics import Curve
from ganhash_cli.engine.page import THEMES
from ganhash_cli.engine.separation import Separation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Colours = Mapping[str, str]
Paint = Callable[["Figure", Colours], None]

_WIDTH = 4.8  # inches: letters of 9 points are still read where a phone shows all of it
_COLOURS = {
    "light": {"first": "#1b6ca8", "second": "#b4531a"},
    "dark": {"first": "#6cb4ea", "second": "#f0a06a"},
}
CLASS_COLOURS = {
    "light": [
        "#1b6ca8",
        "#b4531a",
        "#2f7d32",
        "#a3267a",
        "#6b5b00",
        "#5b4bb5",
        "#00727a",
        "#a11d2a",
        "#5c6773",
        "#7a4b2c",
    ],
    "dark": [
        "#6cb4ea",
        "#f0a06a",
        "#7bc97e",
        "#ec86c6",
        "#d3c04a",
        "#b0a5f5",
        "#55c8cf",
        "#f4868f",
        "#b3bcc6",
        "#d3a284",
    ],
}
"""Of the first ten classes; each is told from its neighbours by its mark too."""
CLASS_MARKS = "●■▲◆▼"
_MARKERS = "os^Dv"


@dataclass(frozen=True)
class Plot:
    """The addresses, `data:image/svg+xml…`, of one plot in both colour schemes, and its size in CSS pixels."""

    light: str
    dark: str
    width: int
    height: int


def training(epochs: Epochs) -> Plot:
    """Draw every loss, and below them the validation mAP, over the epochs."""
    series = [(f"loss: {name}", values) for name, values in epochs.losses.items()]
    if epochs.best is not None:
        series.append(("validation mAP", epochs.validation_map))

    def paint(figure: Figure, colours: Colours) -> None:
        every = np.atleast_1d(figure.subplots(len(series), sharex=True))
        for axes, (name, values) in zip(every, series, strict=True):
            axes.plot(epochs.numbers, values, color=colours["first"], marker=".", linewidth=1.6)
            axes.set_title(name, loc="left", fontsize=9)
            if name == "validation mAP":
                axes.axvline(epochs.best, color=colours["second"], linewidth=1, linestyle=(0, (4, 3)))
        every[-1].set_xlabel("epoch")
        _count(every[-1].xaxis)

    return _draw(paint, 1.5 * len(series) + 0.4)


def distances(found: Separation) -> Plot:
    """Draw the shares of pairs at each distance, of one class and of two."""

    def paint(figure: Figure, colours: Colours) -> None:
        axes = figure.subplots()
        edges = np.arange(len(found.same) + 1) - 0.5
        kinds = (
            ("pairs of one class", found.same, "first", "-"),
            ("pairs of two classes", found.different, "second", (0, (4, 2))),
        )
        for name, counts, colour, dashes in kinds:
            shares = counts / max(1, counts.sum())
            axes.stairs(shares, edges, fill=True, alpha=0.25, color=colours[colour])
            axes.stairs(shares, edges, color=colours[colour], linewidth=1.6, linestyle=dashes, label=name)
        axes.set(xlabel="Hamming distance in bits", ylabel="share of the pairs of its kind")
        axes.legend(frameon=False)
        _count(axes.xaxis)

    return _draw(paint, 3.2)


def precision_recall(curve: Curve) -> Plot:
    """Draw precision over recall within each radius."""

    def paint(figure: Figure, colours: Colours) -> None:
        axes = figure.subplots()
        pr_curve.draw(axes, curve, line=colours["first"], faint=colours["faint"], paper=colours["paper"])

    return _draw(paint, 3.8)


def balance(statistics: BitStatistics) -> Plot:
    """Draw the share of ones of each bit."""

    def paint(figure: Figure, colours: Colours) -> None:
        axes = figure.subplots()
        axes.bar(np.arange(len(statistics.ones)), statistics.ones - 0.5, 0.8, 0.5, color=colours["first"])
        axes.axhline(0.5, color=colours["faint"], linewidth=1)
        axes.set(ylim=(0, 1), xlabel="bit", ylabel="share of images where it is 1")
        _count(axes.xaxis)

    return _draw(paint, 2.6)


def correlation(statistics: BitStatistics) -> Plot:
    """Draw |r| of every pair of bits."""

    def paint(figure: Figure, colours: Colours) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.subplots()
        shades = LinearSegmentedColormap.from_list("shades", [colours["empty"], colours["first"]])
        shown = axes.imshow(np.abs(statistics.correlation), cmap=shades, vmin=0, vmax=1, interpolation="nearest")
        figure.colorbar(shown, ax=axes, label="correlation |r|").outline.set_visible(False)
        axes.set(xlabel="bit", ylabel="bit")
        axes.grid(visible=False)
        for axis in (axes.xaxis, axes.yaxis):
            _count(axis)

    return _draw(paint, 3.8)


def code_map(found: CodeMap, classes: Sequence[int | None]) -> Plot:
    """Draw the map, each image in the colour and mark of its class, 0 … 9; None is faint. Where many lie, it is larger.

    >>> code_map(CodeMap(np.zeros((1, 2)), np.zeros(2)), [0]).light[:18]
    'data:image/svg+xml'
    """

    def paint(figure: Figure, colours: Colours) -> None:
        axes = figure.subplots()
        theme = "light" if colours["paper"] == THEMES["light"]["paper"] else "dark"
        painted = dict(enumerate(zip(CLASS_COLOURS[theme], cycle(_MARKERS))))
        for number in sorted({-1 if each is None else each for each in classes}):
            colour, marker = painted.get(number, (colours["faint"], "."))
            chosen = np.array([(-1 if each is None else each) == number for each in classes])
            _scatter(axes, found.points[chosen], colour, marker)
        names = [f"direction {number + 1}: {share:.0%} of the variance" for number, share in enumerate(found.shares)]
        axes.set(xlabel=names[0], ylabel=names[1])
        axes.margins(0.08)

    return _draw(paint, 4.2)


def _scatter(axes: Axes, points: NDArray[np.float64], colour: str, marker: str) -> None:
    places, counts = np.unique(points.round(6), axis=0, return_counts=True)
    axes.scatter(
        places[:, 0],
        places[:, 1],
        s=9 * np.sqrt(counts),
        c=colour,
        marker=marker,
        alpha=0.7,
        linewidths=0,
        rasterized=True,
    )


def _count(axis: Axis) -> None:
    """Let an axis show whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # with more, one epoch has fractions of it


def _draw(paint: Paint, height: float) -> Plot:
    """Draw a plot of `height` inches in both colour schemes."""
    light, dark = (_svg(paint, height, {**THEMES[theme], **_COLOURS[theme]}) for theme in ("light", "dark"))
    return Plot(light, dark, round(96 * _WIDTH), round(96 * height))


def _svg(paint: Paint, height: float, colours: Colours) -> str:
    from matplotlib.figure import Figure

    with _colours(colours):
        figure = Figure(figsize=(_WIDTH, height), dpi=200, layout="constrained")
        paint(figure, colours)
        content = BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"


@contextmanager
def _colours(colours: Colours) -> Iterator[None]:
    from matplotlib import rc_context

    given: dict[Any, Any] = {"font.size": 9, "svg.hashsalt": "ganhash"}  # a salt, so that one plot is one file
    given |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), colours["ink"])
    given |= dict.fromkeys(("xtick.color", "ytick.color"), colours["faint"])
    given |= dict.fromkeys(("axes.edgecolor", "grid.color"), colours["line"])
    given |= dict.fromkeys(("axes.spines.top", "axes.spines.right"), False)
    given |= dict.fromkeys(("axes.grid", "axes.axisbelow"), True)
    with rc_context(given):
        yield
