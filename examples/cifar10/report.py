"""What results.jsonl shows: `python report.py` prints its tables as Markdown and draws its plots to docs/images/.

Differences are paired: an arm and the arm without anything added, with the same seed, images and number of steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
RESULTS = HERE / "results.jsonl"

# Student's t at 97.5 %, by degrees of freedom; the last stands for more of them, too, a little too wide.
T = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201}
T |= {12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093}
MEANING = {
    "A": "nothing",
    "B": "entropy on real images",
    "C": "entropy on noise",
    "D": "entropy on mixtures",
    "E": "entropy on fakes",
    "F": "random codes on fakes",
    "G": "fakes as labelled images",
    "H": "fakes both ways, by their scores",
    "I": "smoothed labels",
}
WITHOUT = {"H": "G"}
"""The arm that one is without maximum entropy; any other is A then."""
ACCURACIES = ("all real images, by a classifier that learned from the fakes", "half of them, from the other half")
"""What share of real images is told right: heads of two columns."""
DOUBLED = "A of twice the batch"
"""The arm that sees as many images in a step as H, real ones all of them."""
UNTAUGHT = "G as drawn"
"""The arm whose fakes are all labelled as the class that they were drawn for, by no teacher."""
RIVALS = ("A", DOUBLED, "B", "C", "D", "E", "F", "G", "I")
FEWEST = 3
"""Seeds from which an interval may be bold and has a whisker: that of two hangs on how alike they happen to be."""
AT_ONCE = ("itq", "lsh")
"""Those that fit the head to the features as they are, without a step."""
UNLABELLED = ("contrastive", *AT_ONCE)
FAKES = "EFGH"
COLOURS = {True: "#1b6ca8", False: "#6b7280"}
"""Of the arms in plots, by whether they use fakes."""
Line = dict[str, Any]
REGIME = ("dataset", "backbone", "side", "bits", "images_per_class", "precision")
"""What runs have in common that are compared: arithmetic too, which not every machine has the choice of."""


def read(path: Path = RESULTS) -> list[Line]:
    """Return the lines of a results file; none where there is no file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line | {"precision": line["settings"]["precision"]} for line in lines]


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval, which is endless for one value.

    >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.inf
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean, T[min(len(values) - 1, max(T))] * deviation / math.sqrt(len(values))


def paired(lines: Iterable[Line], arm: str, other: str, figure: str = "map") -> list[float]:
    """Return arm - other of a figure for each seed that both have; the lines are of one regime, protocol and weight.

    Raises `ValueError` where an arm has two lines with one seed.
    """
    by_seed: dict[str, dict[int, float]] = {arm: {}, other: {}}
    for line in lines:
        if line["arm"] in by_seed:
            if line["seed"] in by_seed[line["arm"]]:
                raise ValueError(f"two runs of arm {line['arm']} with seed {line['seed']} cannot be told apart: {line}")
            by_seed[line["arm"]][line["seed"]] = line[figure]
    return [value - by_seed[other][seed] for seed, value in by_seed[arm].items() if seed in by_seed[other]]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def groups(lines: Iterable[Line], *keys: str) -> dict[tuple[Any, ...], list[Line]]:
    """Return the lines by the values of `keys`, in the order of these values."""
    found: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(line[key] for key in keys), []).append(line)
    return dict(sorted(found.items()))


def signed(values: list[float]) -> str:
    """Show the mean of differences in points with its interval, bold where three seeds or more exclude 0."""
    if not values:
        return ""
    mean, half = (100 * value for value in interval(values))
    if math.isinf(half):
        return f"{mean:+.1f}"
    shown = f"{mean:+.1f} ± {half:.1f}"
    return f"**{shown}**" if abs(mean) > half and len(values) >= FEWEST else shown


def arms(lines: list[Line]) -> str:
    """Return for each regime a table of its arms: retrieval, the difference to A, over-fitting, and who is unsure."""
    parts = []
    for regime, members in groups(lines, *REGIME).items():
        dataset, backbone, side, bits, count, arithmetic = regime
        rows = []
        for arm, runs in groups(members, "arm").items():
            of = groups(runs, "protocol")
            p1, prime = of[("P1",)], of[("P1'",)]
            every = [line for line in members if line["protocol"] == "P1"]
            every_prime = [line for line in members if line["protocol"] == "P1'"]
            rows.append(
                [
                    f"{arm[0]} {MEANING[arm[0]]}",
                    _weight(arm[0], runs),
                    _mean(p1, "map"),
                    signed(paired(every, arm[0], "A")) if arm != ("A",) else "",
                    _mean(prime, "map"),
                    signed(paired(every_prime, arm[0], "A")) if arm != ("A",) else "",
                    f"{100 * interval([line['map_train'] - line['map'] for line in p1])[0]:.1f}",
                    _mean(p1, "entropy_query"),
                    _mean(p1, "entropy_fakes"),
                    _mean(p1, "entropy_mixtures"),
                    str(len(p1)),
                ]
            )
        head = [
            "added to the loss",
            "entropy weight",
            "P1",
            "difference to A, points",
            "P1'",
            "difference to A, points",
            "gap to training, points",
        ]
        head += ["entropy: queries", "fakes", "mixtures", "seeds"]
        title = f"**{dataset}, {count} images a class, `{backbone}` at {side} pixels, {bits} bits, {arithmetic}**"
        parts.append(f"{title}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def _weight(arm: str, runs: list[Line]) -> str:
    return "" if arm in "AGI" else ", ".join(f"{weight:g}" for weight in sorted({line["weight"] for line in runs}))


def _mean(lines: list[Line], figure: str) -> str:
    values = [line[figure] for line in lines if figure in line]
    return f"{math.fsum(values) / len(values):.3f}" if values else ""


def rivals(lines: list[Line]) -> str:
    """Return for each regime whether fakes beat what could explain their gain away, and which use of them does."""
    head = ["H minus each of these, points", *RIVALS]
    rows = []
    for regime, members in groups(lines, *REGIME).items():
        queries = [line for line in members if line["protocol"] == "P1"]
        if any(line["arm"] == "H" for line in queries):
            rows.append([_in_short(*regime), *(signed(paired(queries, "H", arm)) for arm in RIVALS)])
    return table(head, rows)


def teachers(lines: list[Line]) -> str:
    """Return for each regime what labelled fakes gain by labels of a teacher, and by those that they were drawn for."""
    rows = []
    queries = [line for line in lines if line["protocol"] == "P1"]
    for regime, members in groups(queries, *REGIME).items():
        if any(line["arm"] == UNTAUGHT for line in members):
            compared = (("G", "A"), (UNTAUGHT, "A"), (UNTAUGHT, "G"))
            seeds = len(paired(members, UNTAUGHT, "A"))
            rows.append([_in_short(*regime), *(signed(paired(members, *arms)) for arms in compared), str(seeds)])
    head = ["differences, points", "G - A", f"{UNTAUGHT} - A", f"{UNTAUGHT} - G", "seeds"]
    return table(head, rows)


def _in_short(dataset: str, backbone: str, side: int, bits: int, count: int, arithmetic: str) -> str:
    return f"{dataset}, {count} a class, `{backbone}` at {side}, {bits} bits, {arithmetic}"


def fakes(lines: list[Line]) -> str:
    """Return for each regime how good its fakes are, where a run has noted that."""
    rows = []
    judged = [line for line in lines if "fakes" in line]
    for (dataset, count), members in groups(judged, "dataset", "images_per_class").items():
        found = {line["digests"]["fakes"]: line["fakes"] for line in members}
        for quality in found.values():
            real, made = quality["frechet_images"]
            name, distance = f"{dataset}, {count} a class", f"{quality['frechet_distance']:.0f}"
            shown = [f"{quality[name]:.2f}" for name in ("precision", "recall")]
            accuracy = [f"{quality[name]:.1%}" for name in ("accuracy", "accuracy_ceiling")]
            rows.append([name, f"{real:,} and {made:,}", distance, *shown, *accuracy])
    head = ["fakes of", "real and fake images compared", "Fréchet distance", "precision", "recall"]
    return table([*head, *ACCURACIES], rows)


def lengths(lines: list[Line]) -> str:
    """Return for each length of the codes what the arms reach on P1."""
    parts = []
    queries = [line for line in lines if line["protocol"] == "P1"]
    for (dataset, backbone, side, count, arithmetic), members in groups(queries, *_regime_but("bits")).items():
        rows = []
        for (bits,), runs in groups(members, "bits").items():
            bare = [line for line in runs if line["arm"] == "A"]
            compared = [paired(runs, *arms) for arms in (("D", "A"), ("H", "A"), ("H", "D"))]
            seeds = min((len(some) for some in compared if some), default=0)
            rows.append([str(bits), _mean(bare, "map"), *map(signed, compared), str(seeds)])
        title = f"**{dataset}, {count} images a class, `{backbone}` at {side} pixels, {arithmetic}**"
        head = ["bits", "A nothing", "D - A, points", "H - A, points", "H - D, points", "seeds"]
        parts.append(f"{title}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def _regime_but(key: str) -> list[str]:
    return [other for other in REGIME if other != key]


def earlier(lines: list[Line]) -> str:
    """Return for each regime what an earlier way to normalise fakes came to, less the arm without anything added."""
    rows = []
    queries = [line for line in lines if line["protocol"] == "P1"]
    for (dataset, count, arithmetic), members in groups(queries, "dataset", "images_per_class", "precision").items():
        regime = f"{dataset}, {count} a class, {arithmetic}"
        for (arm,), runs in groups(members, "arm").items():
            if arm != "A":
                differences = paired(members, arm, "A")
                name = f"{arm} {MEANING[arm]}"
                rows.append([regime, name, _weight(arm, runs), signed(differences), str(len(differences))])
    return table(["regime", "added to the loss", "entropy weight", "difference to A, points", "seeds"], rows)


def weights(lines: list[Line]) -> str:
    """Return the sweep of the entropy weight on held-out training images."""
    rows = []
    for (arithmetic, arm, weight), members in groups(_swept(lines), "precision", "arm", "weight").items():
        others = _beside(members, lines, "precision")
        without = _less(members, others, WITHOUT.get(arm, "A")) if weight else ""
        bare = _less(members, others, "A") if arm != "A" else ""
        name, score = f"{arm} {MEANING[arm]}", _mean(members, "map")
        rows.append([arithmetic, name, f"{weight:g}", score, without, bare, str(len(members))])
    head = ["arithmetic", "added to the loss", "entropy weight", "validation mAP@all"]
    return table([*head, "difference to weight 0, points", "difference to A, points", "seeds"], rows)


def _less(members: list[Line], lines: list[Line], other: str) -> str:
    """Show by how much the runs of one arm differ from those of another among the lines."""
    against = [line for line in lines if line["arm"] == other]
    return signed(paired([*members, *against], members[0]["arm"], other))


def _swept(lines: list[Line]) -> list[Line]:
    """Return the lines with the weight that maximum entropy really had: where fakes are labelled only, none."""
    return [line | {"weight": 0.0} if line["arm"] == "G" else line for line in lines]


def validated(lines: list[Line]) -> str:
    """Return what losses reach on held-out training images, without fakes, by how they are trained."""
    named = [line | {name: line["settings"][name] for name in ("epochs", "augment")} for line in lines]
    named = [line | {"options": _options(line["settings"]["loss_options"])} for line in named]
    named = [line | {"network": f"`{line['backbone']}`{_options(_tried(line, lines))}"} for line in named]
    found = {"map": "validation mAP@all", "map_mirrored": "with `--mirrored`", "map_train": "training mAP@all"}
    found = {name: title for name, title in found.items() if any(name in line for line in lines)}
    same = ("network", "side", "images_per_class", "precision")
    trained = ("loss", "options", "augment", "epochs", "learning_rate")
    rows = []
    for (network, side, count, arithmetic, loss, options, augment, epochs, rate), runs in groups(
        named, *same, *trained
    ).items():
        taught = ["", "", ""] if loss in AT_ONCE else [augment, str(epochs), f"{rate:g}"]
        reached = [_mean(runs, name) for name in found]
        regime = [f"{network} at {side}", str(count), arithmetic, f"`{loss}`{options}"]
        rows.append([*regime, *taught, *reached, str(len(runs))])
    head = ["backbone", "images a class", "arithmetic", "loss", "augmentation", "epochs", "learning rate"]
    return table([*head, *found.values(), "seeds"], rows)


def _tried(line: Line, lines: list[Line]) -> dict[str, float]:
    """Return the options of its backbone, but those that are 0 or the same in all lines with it."""
    own, *others = (
        each["settings"]["backbone"]["options"] for each in (line, *lines) if each["backbone"] == line["backbone"]
    )
    return {name: value for name, value in own.items() if value and any(other[name] != value for other in others)}


def _options(given: dict[str, float]) -> str:
    """Show what was said of a loss or a backbone, behind its name.

    >>> _options({"penalty": 0.3})
    ', `penalty=0.3`'
    """
    return "".join(f", `{name}={value:g}`" for name, value in given.items())


def precision(lines: list[Line]) -> str:
    """Return what each arithmetic reaches on held-out training images, without fakes, beside float32."""
    rows = []
    named = [line | {"arm": line["precision"]} for line in lines]
    for (backbone, side, count, name), runs in groups(named, "backbone", "side", "images_per_class", "arm").items():
        alike = _beside(runs, named, "backbone", "side", "images_per_class")
        against = "" if name == "float32" else signed(paired(alike, name, "float32"))
        rows.append([f"`{backbone}` at {side}", str(count), name, _mean(runs, "map"), against, str(len(runs))])
    head = ["backbone", "images a class", "arithmetic", "validation mAP@all", "difference to float32, points", "seeds"]
    return table(head, rows)


def remedies(lines: list[Line]) -> str:
    """Return what was tried where fakes did not help, on held-out training images, beside A with the same loss."""
    parts = []
    alike = groups(lines, "dataset", "images_per_class", "loss", "precision")
    for (dataset, count, loss, arithmetic), members in alike.items():
        rows = []
        bare = [line for line in members if line["arm"] == "A" and line["remedy"] == "none"]
        for (remedy, arm, weight), runs in groups(members, "remedy", "arm", "weight").items():
            itself = remedy == "none" and arm == "A"
            against = "" if itself else signed(paired([*_as(bare, "bare"), *_as(runs, "this")], "this", "bare"))
            train = _mean(runs, "map_train")
            used = "" if arm == "G" else f"{weight:g}"
            usual = [line for line in members if (line["arm"], line["remedy"]) == (arm, "none")]
            what = _changed(runs[0], usual[0]) if usual else remedy
            rows.append([what, f"{arm} {MEANING[arm]}", used, _mean(runs, "map"), against, train, str(len(runs))])
        rows.sort(key=lambda row: bool(row[0]))  # what nothing was changed of comes first
        head = [
            "changed",
            "arm",
            "entropy weight",
            "validation mAP@all",
            "difference to A, points",
            "training mAP@all",
            "seeds",
        ]
        parts.append(f"**{dataset}, {count} images a class, `{loss}`, {arithmetic}**\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def _changed(line: Line, usual: Line) -> str:
    """Show the settings of a run that differ from the usual ones.

    >>> _changed({"settings": {"augment": "trivial", "bits": 48}}, {"settings": {"augment": "crop", "bits": 48}})
    '`augment=trivial`'
    """
    pairs = ((name, value) for name, value in line["settings"].items() if value != usual["settings"][name])
    return ", ".join(f"`{name}={value}`" for name, value in pairs)


def _as(lines: list[Line], arm: str) -> list[Line]:
    return [line | {"arm": arm} for line in lines]


def losses(lines: list[Line]) -> str:
    """Return what each loss reaches without fakes, best last, in one table a regime."""
    parts = []
    for (dataset, backbone, side, bits, count, arithmetic), members in groups(lines, *REGIME).items():
        rows = []
        named = [line | {"augment": line["settings"]["augment"]} for line in members]
        for (loss, augment), runs in groups(named, "loss", "augment").items():
            of = groups(runs, "protocol")
            p1, prime = of[("P1",)], of[("P1'",)]
            gap = 100 * interval([line["map_train"] - line["map"] for line in p1])[0]
            labels = "no" if loss in UNLABELLED else "yes"
            views = augment if loss not in AT_ONCE else ""
            rows.append([f"`{loss}`", labels, views, _mean(p1, "map"), _mean(prime, "map"), f"{gap:.1f}", str(len(p1))])
        rows.sort(key=lambda row: (row[1], float(row[3])))
        title = f"**{dataset}, {count} images a class, `{backbone}` at {side} pixels, {bits} bits, {arithmetic}**"
        head = ["loss", "labels", "augmentation", "P1", "P1'", "gap to training, points", "seeds"]
        parts.append(f"{title}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def plot_arms(lines: list[Line], path: Path) -> None:
    """Draw the paired differences to arm A, one panel for each number of images: every seed, the mean, its interval.

    A mean of fewer than `FEWEST` seeds is hollow, and has no whiskers.
    """
    from matplotlib.figure import Figure

    queries = [line for line in lines if line["protocol"] == "P1"]
    panels = groups(queries, "images_per_class", "precision")
    figure = Figure(figsize=(3.4 * len(panels) + 1.6, 3.9), dpi=130, layout="constrained")
    grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    names = [arm for arm in MEANING if arm != "A" and any(line["arm"] == arm for line in queries)]
    for axes, ((count, arithmetic), members) in zip(grid, panels.items(), strict=True):
        for row, arm in enumerate(names):
            differences = paired(members, arm, "A")
            if not differences:
                continue
            mean, half = (100 * value for value in interval(differences))
            enough = len(differences) >= FEWEST
            colour = COLOURS[arm in FAKES]
            dots = [100 * difference for difference in differences]
            axes.plot(dots, [row + 0.25] * len(dots), "o", ms=3, color=colour, alpha=0.5, markeredgewidth=0)
            shape = {"fmt": "D", "ms": 5, "color": colour, "mfc": colour if enough else "white", "capsize": 3}
            axes.errorbar(mean, row, xerr=half if enough else None, **shape)
        axes.axvline(0, color="#1c1f24", linewidth=1, zorder=0)
        axes.set_title(f"{count} images a class, {arithmetic}", fontsize=10, loc="left")
        axes.set_xlabel("mAP@all less arm A, points")
        axes.grid(axis="x", color="#e5e7eb")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0].set_yticks(range(len(names)), [f"{arm}  {MEANING[arm]}" for arm in names], fontsize=9)
    for label, arm in zip(grid[0].get_yticklabels(), names, strict=True):
        label.set_color(COLOURS[arm in FAKES])
    grid[0].invert_yaxis()
    _save(figure, path)


def plot_weights(lines: list[Line], path: Path) -> None:
    """Draw validation mAP over the entropy weight, 0 among them, every seed and the mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    lines = _swept(lines)
    given = sorted({line["weight"] for line in lines})
    place = {weight: number for number, weight in enumerate(given)}
    colours = {"E": "#1b6ca8", "D": "#b45309", "H": "#15803d"}
    swept = groups([line for line in lines if line["weight"]], "arm", "precision")
    for (arm, arithmetic), members in swept.items():
        without = [line for line in lines if line["arm"] == WITHOUT.get(arm, "A")]
        runs = [*_beside(members, without, "precision"), *members]
        colour = colours.get(arm, "#6b7280")
        axes.plot(
            [place[line["weight"]] for line in runs],
            [line["map"] for line in runs],
            "o",
            ms=3,
            color=colour,
            alpha=0.35,
        )
        means = [
            (place[weight[0]], interval([line["map"] for line in some])[0])
            for weight, some in groups(runs, "weight").items()
        ]
        style = "-" if arithmetic == "bfloat16" else "--"
        seeds = len({line["seed"] for line in runs})
        label = f"{arm}  {MEANING[arm]}, {arithmetic}, {seeds} seed{'s' * (seeds > 1)}; 0 is {WITHOUT.get(arm, 'A')}"
        axes.plot(*zip(*means, strict=True), style, color=colour, label=label)
    axes.set_xticks(range(len(given)), [f"{weight:g}" for weight in given])
    axes.set(xlabel="entropy weight", ylabel="validation mAP@all")
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=9, loc="outside upper left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    # Without the library's version in the file, the same figures give the same bytes.
    figure.savefig(path, format="png", metadata={"Software": None})


def of(lines: list[Line], experiment: str) -> list[Line]:
    """Return the lines of one experiment.

    Beside the fakes that were normalised by running statistics stands the arm without any, which is as it was; beside
    codes of other lengths those of the main experiment; beside its rivals the arm of twice the batch; beside fakes
    that no teacher labelled the main experiment.
    """
    found = [line for line in lines if line["experiment"] == experiment]
    if experiment == "running-statistics":
        return [*found, *_beside(found, [line for line in of(lines, "main") if line["arm"] == "A"], *REGIME)]
    if experiment == "bits":
        return [*found, *_beside(found, of(lines, "main"), *_regime_but("bits"), "arm")]
    if experiment == "rivals":
        doubled = _as([line for line in lines if line["experiment"] == "batch"], DOUBLED)
        return [*of(lines, "main"), *doubled]
    if experiment == "drawn":
        return [*of(lines, "main"), *_as(found, UNTAUGHT)] if found else []
    return found


def _beside(found: list[Line], others: list[Line], *keys: str) -> list[Line]:
    """Return those of the others that have the values of `keys` of one that was found."""
    alike = groups(found, *keys)
    return [line for line in others if tuple(line[key] for key in keys) in alike]


def tables(lines: list[Line]) -> dict[str, str]:
    """Return every table of docs/results.md that comes from these lines, by its name."""
    made: dict[str, tuple[str, Callable[[list[Line]], str]]] = {
        "arms": ("main", arms),
        "rivals": ("rivals", rivals),
        "teachers": ("drawn", teachers),
        "fakes": ("main", fakes),
        "bits": ("bits", lengths),
        "earlier": ("running-statistics", earlier),
        "weights": ("lambda", weights),
        "remedies": ("remedy", remedies),
        "long": ("long", remedies),
        "losses": ("losses", losses),
        "defaults": ("defaults", validated),
        "unlabelled": ("unlabelled", validated),
        "tuning": ("tuning", validated),
        "choice": ("choice", validated),
        "precision": ("precision", precision),
    }
    return {name: build(of(lines, experiment)) for name, (experiment, build) in made.items() if of(lines, experiment)}


def draw(lines: list[Line], folder: Path) -> None:
    """Draw every plot that these lines have figures for."""
    scratch = [line for line in of(lines, "main") if (line["dataset"], line["backbone"]) == ("cifar10", "smallconv")]
    if scratch:
        plot_arms(scratch, folder / "arms.png")
    if sweep := of(lines, "lambda"):
        plot_weights(sweep, folder / "weights.png")


if __name__ == "__main__":
    known = read()
    draw(known, IMAGES)
    for name, text in tables(known).items():
        print(f"<!-- {name} -->\n{text}\n")
