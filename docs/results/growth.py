"""How the cost of search grows, from scale.json: the table, the projection beyond it, and the plot."""

import math
from pathlib import Path
from typing import Any

FIGURES = {
    "codes.h5": "bytes",
    "opening it": "open_seconds",
    "one exact query": "exact_seconds",
    "building the index": "build_seconds",
    "memory while building": "build_mebibytes",
    "the index": "index_bytes",
    "one approximate query": "approximate_seconds",
}
FITTED, BEYOND = 3, (10**9, 10**10)
Row = dict[str, Any]


def shown(name: str, value: float) -> str:
    """Return a figure with its unit.

    >>> shown("bytes", 2.5e9), shown("open_seconds", 0.0042)
    ('2.5 GB', '4.2 ms')
    """
    kind, steps = {
        "bytes": (value, [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]),
        "mebibytes": (value * 2**20, [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]),
        "seconds": (value, [("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)]),
    }[name.rpartition("_")[2]]
    unit, size = next((step for step in steps if kind >= step[1]), steps[-1])
    return f"{kind / size:,.3g} {unit}" if kind / size < 1000 else f"{kind / size:,.0f} {unit}"


def power_law(rows: list[Row], name: str) -> tuple[float, float]:
    """Return a and b of cost = a N^b, least squares of the logarithms over the largest numbers of codes measured."""
    points = [(math.log(row["codes"]), math.log(row[name])) for row in rows[-FITTED:]]
    middle_x, middle_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    above = sum((x - middle_x) * (y - middle_y) for x, y in points)
    power = above / sum((x - middle_x) ** 2 for x, _ in points)
    return math.exp(middle_y - power * middle_x), power


def measured(rows: list[Row], table: Any) -> str:
    """Return what was measured, a row for each number of codes."""
    body = [
        [
            f"{row['codes']:,}",
            *(shown(name, row[name]) for name in FIGURES.values()),
            f"{row['recall']:.3f}",
            f"{row['probes']:,} of {row['lists']:,}",
        ]
        for row in rows
    ]
    return table(["codes", *FIGURES, "recall@10", "lists probed"], body)


def projected(rows: list[Row], table: Any) -> str:
    """Return the projection, and how far one made from the smaller numbers alone lies from the largest measured."""
    if len(rows) <= FITTED:
        return "*Too few sizes were measured to project from.*"
    largest, body = rows[-1], []
    for label, name in FIGURES.items():
        a, b = power_law(rows, name)
        before_a, before_b = power_law(rows[:-1], name)
        foreseen = before_a * largest["codes"] ** before_b
        beyond = (shown(name, a * count**b) for count in BEYOND)
        off = foreseen / largest[name] - 1
        body.append([label, f"N^{b:.2f}", *beyond, f"{shown(name, foreseen)}, {off:+.0%}"])
    head = ["", "grows as", *(f"{count:,} codes" for count in BEYOND)]
    return table([*head, f"{largest['codes']:,} foreseen from fewer"], body)


def draw(rows: list[Row], path: Path) -> None:
    """Draw seconds by number of codes, measured as points, projected as dashes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for label, name in FIGURES.items():
        if not name.endswith("seconds"):
            continue
        [line] = axes.loglog([row["codes"] for row in rows], [row[name] for row in rows], "o-", label=label)
        a, b = power_law(rows, name)
        ahead = [rows[-1]["codes"], *BEYOND]
        axes.loglog(ahead, [a * count**b for count in ahead], "--", color=line.get_color())
    axes.set_xlabel("codes of 64 bits (dashed: projected)")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
