"""An evaluation's precision and recall by radius → a plot and a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ganhash_cli.engine import files, outputs, wording
from ganhash_cli.engine.evaluation import Evaluation
from ganhash_cli.engine.metrics import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT, _GRID, _LINE = "#1c1f24", "#6b7280", "#e5e7eb", "#1b6ca8"
_APART = 0.035  # of an axis, at least, between points that are numbered


def write_table(result: Evaluation, path: Path) -> None:
    """Write `radius,recall,precision,empty_balls` as CSV, one line for each radius from 0 to the bits."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("radius", "recall", "precision", "empty_balls"))
    curve = result.curve
    columns = (values.tolist() for values in (curve.recall, curve.precision, curve.empty))
    lines.writerows(zip(range(result.bits + 1), *columns, strict=True))
    with files.atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def write_plot(result: Evaluation, path: Path) -> None:
    """Draw precision over recall as a PNG, one point a radius; hollow where some balls are empty."""
    from matplotlib.figure import Figure  # not needed, nor loaded, where no plot is wanted

    figure = Figure(figsize=(7, 5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, result.curve, line=_LINE, faint=_FAINT, paper="white")
    axes.grid(color=_GRID)
    _frame(axes, result)
    with files.atomic_write(path) as stream:
        figure.savefig(stream, format="png", metadata=outputs.PNG_TEXT)


def draw(axes: Axes, curve: Curve, *, line: str, faint: str, paper: str) -> None:
    """Draw a curve in these colours, with the numbers of its radii, and the precision of all images as chance."""
    axes.axhline(curve.precision[-1], color=faint, linewidth=1, linestyle=(0, (4, 3)), label="all images (chance)")
    axes.plot(curve.recall, curve.precision, color=line, linewidth=1.8, zorder=2)
    kinds = ((curve.empty == 0, line, "each query finds some"), (curve.empty > 0, paper, "some queries find none"))
    for points, fill, meaning in kinds:
        if points.any():
            at = curve.recall[points], curve.precision[points]
            axes.scatter(*at, s=26, c=fill, edgecolors=line, zorder=3, label=meaning)
    _number_points(axes, curve, faint, paper)
    axes.set(xlim=(-0.02, 1.07), ylim=(-0.02, 1.06))
    axes.set_xlabel("recall: how much of the query's class is found")
    axes.set_ylabel("precision: how much of what is found is of it")
    axes.legend(
        title="numbers: the radius in bits",
        facecolor=paper,
        edgecolor="none",
        fontsize=9,
        title_fontsize=9,
        alignment="left",
    )


def _number_points(axes: Axes, curve: Curve, colour: str, paper: str) -> None:
    """Write the radius beside the points that lie far enough from those numbered already, 0 and 2 first."""
    from matplotlib.patheffects import AbstractPathEffect, withStroke

    apart: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground=paper)]  # where the curve runs through one
    points = list(zip(curve.recall.tolist(), curve.precision.tolist(), strict=True))
    numbered: list[tuple[float, float]] = []
    for radius in (0, min(2, len(points) - 1), *range(len(points))):
        x, y = points[radius]
        if all(max(abs(x - other), abs(y - level)) >= _APART for other, level in numbered):
            numbered.append((x, y))
            place = axes.annotate(str(radius), (x, y), (6, 4), textcoords="offset points", color=colour, fontsize=8)
            place.set_path_effects(apart)


def _frame(axes: Axes, result: Evaluation) -> None:
    facts = (
        f"{wording.counted(result.bits, 'bit')}, {wording.counted(result.queries, 'query', 'queries')},"
        f" {wording.counted(result.database, 'image')}, mAP@all {result.map_at_all:.3f} (tie-aware)"
    )
    axes.set_title("Precision and recall within a Hamming radius", color=_INK, loc="left", pad=24, weight="bold")
    axes.text(0, 1.025, facts, transform=axes.transAxes, color=_FAINT, fontsize=9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
