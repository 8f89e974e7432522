"""Write the figures between the markers of the pages anew, from files that commands of this repository wrote."""

import json
import re
import runpy
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganhash_cli.engine import verdict

HERE = Path(__file__).parent
PAGES = [HERE.parent / name for name in ("results.md", "performance.md", "reliability.md", "dedup.md", "../README.md")]
SOURCES = {"search": "bench", "projection": "scale", "card": "reliability"}  # blocks that share a file with another
REPORT = runpy.run_path(str(HERE.parents[1] / "examples" / "cifar10" / "report.py"))
table = REPORT["table"]
GROWTH = runpy.run_path(str(HERE / "growth.py"))


NOT_YET = "*Not measured yet.*"


def cifar10(record: dict[str, Any]) -> str:
    """Return the retrieval figures, the settings and the digests of the run in examples/cifar10."""
    runs = _by_length(record)
    fakes, models = record["fakes"], [run["model"] for run in runs.values()]
    settings, backbone = models[0]["settings"], models[0]["backbone"]
    figures = {
        "mAP@1000, tie-aware": lambda e: f"{e['map_at_r']:.3f}",
        "P@100": lambda e: f"{e['precision_at_k']:.3f}",
        "P@H<=2": lambda e: f"{e['precision_within_2']:.3f}",
        "empty balls at H<=2": lambda e: f"{100 * e['empty_balls_within_2']:.1f} %",
        "queries": lambda e: f"{e['queries']:,}",
        "database": lambda e: f"{e['database']:,}",
        "distinct codes": lambda e: f"{e['distinct_codes']:,}",
        "ones in the worst bit": lambda e: f"{e['worst_balance']:.2f}",
        "bit correlation, mean": lambda e: f"{e['mean_correlation']:.2f}",
        "queries that stand in the database": lambda e: str(e["queries_in_database"]),
        "queries that were trained on": lambda e: str(e["queries_in_training"]),
    }
    found = [run["evaluation"] for run in runs.values()]
    retrieval = table(
        ["bits", *map(str, runs)],
        [
            ["**mAP@all, tie-aware, P1**", *(f"**{each['cifar10-p1']['map_at_all']:.3f}**" for each in found)],
            ["**mAP@all, tie-aware, P1'**", *(f"**{each['cifar10-p1prime']['map_at_all']:.3f}**" for each in found)],
            *([f"{name}, P1'", *(shown(each["cifar10-p1prime"]) for each in found)] for name, shown in figures.items()),
        ],
    )
    quality = fakes["quality"]
    made = table(
        ["setting", "value"],
        [
            ["backbone", _with_options(backbone["name"], backbone["options"])],
            ["side of the images", f"{models[0]['side']} pixels"],
            ["loss", _with_options(settings["loss"], settings["loss_options"])],
            ["training", f"{settings['epochs']} epochs of batch {settings['batch']}"],
            ["augmentation", f"`{settings['augment']}`"],
            ["an image and its mirror image", "one code" if settings["mirrored"] else "two codes"],
            ["learning rate, weight decay", f"{settings['learning_rate']:g}, {settings['weight_decay']:g}"],
            ["arithmetic of training", settings["precision"]],
            [f"fakes as {settings['fakes_as']}", f"`{settings['entropy']}`, weight {settings['entropy_weight']:g}"],
            ["fakes in a step for each real image", f"{settings['fakes_per_real']:g}"],
            ["validation mAP@all", _validation(models[0]["metrics"]["validation_map_at_all"])],
            ["seed", str(settings["seed"])],
            ["fakes", f"{fakes['count']:,} by `{fakes['generator']['name']}`, {fakes['settings']['steps']:,} steps"],
            ["learning rate of the generator", f"{fakes['settings']['learning_rate']:g}"],
            ["Fréchet distance of the fakes", f"{quality['frechet_distance']:.0f}"],
            [
                "classifier on fakes, and its ceiling",
                f"right on {quality['accuracy']:.1%} of real images, {quality['accuracy_ceiling']:.1%}",
            ],
            *([f"fingerprint of the model, {each['bits']} bits", f"`{each['fingerprint'][:16]}…`"] for each in models),
            *([f"SHA-256 of {name} {part}", f"`{digest[:16]}…`"] for name, part, digest in _lists(record)),
            ["made with", ", ".join(f"{name} {version}" for name, version in record["made_with"].items())],
        ],
    )
    return f"{retrieval}\n\n{made}"


def published(rows: list[dict[str, Any]]) -> str:
    """Return what others report under P1', as they report it, and what ganhash retrieves, at the same lengths."""
    ours = {bits: run["evaluation"]["cifar10-p1prime"] for bits, run in _by_length(_read("cifar10")).items()}
    lengths = [int(bits) for bits in rows[0]["map"]]
    made = [[row["method"], *(f"{value:.3f}" for value in row["map"].values())] for row in rows]
    shown = [f"{ours[bits]['map_at_all']:.3f}" if bits in ours else "not run" for bits in lengths]
    head = ["method", *(f"{bits} bits" for bits in lengths)]
    return table(head, [*made, ["ganhash, `efficientnet_lite0`", *shown]])


def limits(rows: list[dict[str, Any]]) -> str:
    """Return what the same outputs retrieve as codes, as they are, and as nothing but classes, by length."""
    shown = {
        "mAP@all, P1, by the codes": "map_by_codes",
        "by the cosine of the outputs": "map_by_cosines",
        "by the class whose code is nearest": "map_by_classes",
        "images nearest to the code of their class": "nearest_to_its_class",
    }
    made = [[name, *(f"{row[key]:.3f}" for row in rows)] for name, key in shown.items()]
    return table(["bits", *(str(row["bits"]) for row in rows)], made)


def _by_length(record: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(bits): record["runs"][bits] for bits in sorted(record["runs"], key=int)}


def _with_options(name: str, options: dict[str, Any]) -> str:
    return ", ".join([f"`{name}`", *(f"`{option}={value}`" for option, value in options.items())])


def _validation(score: float | None) -> str:
    return "none held out: the last epoch" if score is None else f"{score:.3f} (chose the epoch)"


def _lists(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(name, part, digest) for name, made in record["lists"].items() for part, digest in made["sha256"].items()]


def peer_losses(record: dict[str, Any]) -> str:
    """Return how far our losses lie from the published code of peers on the same logits."""
    return table(
        ["loss", "largest relative difference of the value", "of the gradient", "what differs by design"],
        [
            [f"`{name}`", f"{found['value']:.1e}", f"{found['gradient']:.1e}", found["differs"] or "nothing"]
            for name, found in record.items()
        ],
    )


def peer_training(rows: list[dict[str, Any]]) -> str:
    """Return how networks do that were trained with a peer's code beside those trained with ours."""
    made = []
    for (name, epochs, rate), runs in REPORT["groups"](rows, "loss", "epochs", "learning_rate").items():
        by_code = {
            code: {row["seed"]: row["map"] for row in runs if row["code"] == code} for code in ("ganhash", "peer")
        }
        seeds = sorted(by_code["ganhash"].keys() & by_code["peer"].keys())
        ours, theirs = ([found[seed] for seed in seeds] for found in by_code.values())
        if seeds:  # a run that is under way has ours before the peer's
            differences = REPORT["signed"]([one - other for one, other in zip(ours, theirs, strict=True)])
            means = [f"{statistics.mean(found):.3f}" for found in (ours, theirs)]
            made.append([f"`{name}`", str(epochs), f"{rate:g}", *means, differences, str(len(seeds))])
    head = ["loss", "epochs", "learning rate", "mAP@all, ganhash", "the peer's code", "difference, points", "seeds"]
    return table(head, made)


def near_copies(rows: list[dict[str, Any]]) -> str:
    """Return how many copies of photographs are near their originals by default, and how many strangers are too."""
    head = ["bits", "near: at most", "cropped by 2 % a side", "JPEG of quality 40", "half the size"]
    made = [
        [
            str(row["bits"]),
            str(row["most"]),
            *(f"{row['near'][kind]:.1%}" for kind in ("cropped", "compressed", "halved")),
            f"{row['strangers_near']:,} of {row['pairs_of_strangers']:,}",
            str(row["nearest_strangers"]),
        ]
        for row in rows
    ]
    return table([*head, "pairs of strangers as near", "nearest strangers"], made)


def generators(rows: list[dict[str, Any]]) -> str:
    """Return what each generator makes of the same minutes; no precision where `ganhash generate` shows none."""
    made = []
    for row in rows:
        quality = row["quality"]
        precision = "" if verdict.too_brief(quality) else f"{quality['precision']:.2f}"
        made.append(
            [
                f"`{row['generator']}`",
                f"{row['minutes']:g}",
                f"{row['steps']:,}",
                row["arithmetic"],
                f"{quality['frechet_distance']:.0f}",
                precision,
                *(f"{quality[name]:.2f}" for name in ("recall", "diversity")),
                *("" if quality[name] is None else f"{quality[name]:.1%}" for name in ("accuracy", "accuracy_ceiling")),
                f"{row['seconds_for_1000']:.2f}",
            ]
        )
    head = ["generator", "minutes of training", "steps", "arithmetic", "Fréchet distance", "precision", "recall"]
    return table([*head, "diversity", *REPORT["ACCURACIES"], "seconds for 1,000 fakes"], made)


def bench(rows: list[dict[str, Any]]) -> str:
    """Return what `make bench` measured, but for search."""
    return _benchmarks([row for row in rows if not row["name"].startswith("search,")])


def search(rows: list[dict[str, Any]]) -> str:
    """Return what `make bench` measured of search."""
    found = [row | {"name": row["name"].removeprefix("search, ")} for row in rows if row["name"].startswith("search,")]
    return _benchmarks(found) if found else NOT_YET


def scale(rows: list[dict[str, Any]]) -> str:
    """Return how the cost of search grows, as `make bench-scale` measured it."""
    plot = "![Seconds by number of codes, both logarithmic](images/scale.png)"
    return f"{GROWTH['measured'](rows, table)}\n\n{plot}"


def projection(rows: list[dict[str, Any]]) -> str:
    """Return what that growth means for more codes than were measured."""
    return str(GROWTH["projected"](rows, table))


def reliability(rows: dict[str, dict[str, Any]]) -> str:
    """Return what every test of reliability did, and what it counted."""
    made = []
    for test, row in sorted(rows.items(), key=lambda each: _number(each[0])):
        figures = [f"{_figure(value)} {name.replace('_', ' ')}" for name, value in row.items() if name != "what"]
        made.append([test, row["what"], ", ".join(figures)])
    return table(["test", "what is done", "what was counted"], made)


def _number(test: str) -> tuple[str, int, str]:
    """Order R2 before R10, and letters by themselves."""
    name, _, verb = test.partition(" ")
    return name[:1], int(re.sub(r"\D", "", name) or 0), verb


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def card(rows: dict[str, dict[str, Any]]) -> str:
    """Return the sums that the README shows, each of the tests whose names begin so and of the figures that end so."""
    wanted = {
        "kills at random moments, after which the same command ended with the very same bytes": ("R", "kills"),
        "images lost whose codes were in place before a kill": ("R", "acknowledged_images_lost"),
        "steps of a command at which it was stopped, all that it takes": ("R2 ", "points_covered"),
        "writes, syncs and renames refused by the system": ("D2 ", "refused"),
        "half-written files left by a full disk": ("D", "stumps"),
        "checkpoints damaged, all found": ("R9 ", "damaged"),
        "renames in the wrong order for a loss of power": ("R7 ", "violations"),
        "images with a few bytes changed": ("I2 ", "_files"),
        "of these, crashes, hangs and decoders that swelled": ("I2 ", "_crashes"),
        "codes files with a few bytes changed": ("I2 codes", "files"),
        "of these, read as other than they were": ("I2 codes", "silently_wrong"),
    }
    found = {
        label: [
            value
            for test, row in rows.items()
            if test.startswith(start)
            for name, value in row.items()
            if name.endswith(end)
        ]
        for label, (start, end) in wanted.items()
    }
    return table(["what", "counted"], [[label, f"{sum(values):,}"] for label, values in found.items() if values])


def _benchmarks(rows: list[dict[str, Any]]) -> str:

    def shown(row: dict[str, Any], name: str) -> str:
        value = row[name]
        return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    def aim(row: dict[str, Any]) -> str:
        sign, times = "≤" if row["better"] == "lower" else "≥", " x peer" if row["ratio"] else ""
        return f"{sign} {row['reach']:.3g}{times}, {'reached' if row['reached'] else '**missed**'}"

    return table(
        ["what", "unit", "ganhash", "peer", "limit", "aim"],
        [
            [row["name"], row["unit"], *(shown(row, each) for each in ("ours", "peer", "limit")), aim(row)]
            for row in rows
        ],
    )


TABLES: dict[str, Callable[[Any], str]] = {
    each.__name__: each
    for each in (
        *(
            cifar10,
            published,
            limits,
            peer_losses,
            peer_training,
            near_copies,
            generators,
            bench,
            search,
            scale,
            projection,
        ),
        *(reliability, card),
    )
}


def _read(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


def _table(name: str) -> str:
    source = SOURCES.get(name, name)
    return TABLES[name](_read(source)) if (HERE / f"{source}.json").exists() else NOT_YET


def page(text: str) -> str:
    """Return the page with every block as its file says: JSON of its name, or the lines of the experiment."""
    experiment = REPORT["tables"](REPORT["read"]())

    def made(block: re.Match[str]) -> str:
        name = block[1]
        text = _table(name) if name in TABLES else experiment.get(name, NOT_YET)
        return f"<!-- figures: {name} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- figures: (\w+) -->\n.*?<!-- end -->", made, text, flags=re.DOTALL)


if __name__ == "__main__":
    REPORT["draw"](REPORT["read"](), REPORT["IMAGES"])
    if (scaled := HERE / "scale.json").exists():
        GROWTH["draw"](json.loads(scaled.read_text()), REPORT["IMAGES"] / "scale.png")
    for each in PAGES:
        each.write_text(page(each.read_text()))
