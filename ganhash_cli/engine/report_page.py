"""A report → one HTML page: its plots and pictures inside, a sentence beside each that says what it means."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from ganhash_cli.engine import decoders, evaluation, files, page, plots, verdict, wording
from ganhash_cli.engine.epochs import Epochs
from ganhash_cli.engine.evaluation import Evaluation
from ganhash_cli.engine.page import text
from ganhash_cli.engine.plots import CLASS_COLOURS, CLASS_MARKS, Plot
from ganhash_cli.engine.report import NEIGHBOURS, Missing, Portrait, Report, Retrieval
from ganhash_cli.engine.results import Answer
from ganhash_cli.engine.separation import Separation

_STYLE = """
h2 { font-size: 1.2rem }
.chapter { display: block }
.chapter section { border: 0; padding: .5rem 0 1.5rem }
.chapter p, .chapter ul, header p, summary { max-width: 48rem; padding-bottom: .75rem }
.two { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)) }
img.plot, img.wide { width: 100%; max-width: 36rem; aspect-ratio: auto; border: 0 }
img.wide { width: auto; max-width: 100%; margin-bottom: .75rem }
table, picture { display: block; margin-bottom: .75rem }
table { display: table; border-collapse: collapse; width: 100%; max-width: 48rem }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: normal; color: var(--faint); width: 40% }
nav a, nav a:visited { color: inherit; margin-right: 1rem }
.classes { list-style: none; padding: 0 }
.classes li { display: inline-block; margin-right: 1rem }
td small { max-width: 34rem }
summary { cursor: pointer }
@media (min-width: 72rem) { .chapter section ol { grid-template-columns: repeat(8, minmax(0, 1fr)) } }
"""

_DARK = "(prefers-color-scheme: dark)"
_RANKED = "1 where every query ranks all images of its class before all others"
_MEANINGS = {
    "mean average precision (mAP@all)": f"{_RANKED}; ties count as their mean",
    "precision within two bits (P@H<=2)": "the share of images of the query's class among all at most two bits away;"
    " 0 where there is none",
    "queries that find nothing (empty balls)": "the share that has no image at most two bits away",
    "distinct codes": "few, beside the number of images, leave no order within a class",
}
_FACTS = {
    "mAP@all on held-out images": f"mean average precision, of images that the network did not learn from: {_RANKED}",
    "bits in which ONNX Runtime and torch differ": "torch trains the network, ONNX Runtime computes the codes",
    "fingerprint": "codes and queries can be compared where it is the same",
}


def write(report: Report, path: Path) -> None:
    """Write the page, chapter by chapter."""
    with files.atomic_write(path) as stream:
        for part in _parts(report, path.parent):
            stream.write(part.encode())


def _parts(report: Report, folder: Path) -> Iterator[str]:
    chapters = dict(_chapters(report, folder))
    links = "\n".join(f'<a href="#c{number}">{name}</a>' for number, name in enumerate(chapters))
    yield page.head(_title(report), f"{_facts(report)}{_part(report)}\n<nav>\n{links}\n</nav>", _STYLE + _class_style())
    for number, (name, content) in enumerate(chapters.items()):
        yield f'<section class="chapter" aria-labelledby="c{number}">\n<h2 id="c{number}">{name}</h2>\n'
        yield from content
        yield "</section>\n"
    yield page.TAIL


def _chapters(report: Report, folder: Path) -> Iterator[tuple[str, Iterable[str]]]:
    """Give the chapters that there are, with their pieces; those that are not are told of in one of their own."""
    if isinstance(report.epochs, Epochs):
        yield "Training", _training(report.epochs)
    if isinstance(report.fakes, bytes):
        yield "Fakes", _fakes(report.fakes, report.bundle.fakes or {})
    portrait, retrieval = report.portrait, report.retrieval
    if isinstance(portrait, Portrait) and isinstance(portrait.separation, Separation):
        yield "Distances", _distances(portrait, portrait.separation)
    if isinstance(retrieval, Retrieval) and isinstance(retrieval.figures, Evaluation):
        yield "Retrieval", _retrieval(retrieval.figures)
    if isinstance(retrieval, Retrieval):
        yield "Queries", _queries(retrieval, folder)
    if isinstance(portrait, Portrait):
        yield "Bits", _bits(portrait)
        yield "Map", _map(portrait)
    yield "Settings", _settings(report.bundle.settings)
    if report.missing:
        yield "Left out", _missing(report.missing)


def _title(report: Report) -> str:
    return f"report on {text(str(report.bundle.folder))}"


def _facts(report: Report) -> str:
    bundle = report.bundle
    figures, check = bundle.metrics, bundle.metrics.get("onnx_check") or {}
    score, held_out = figures.get("validation_map_at_all"), figures.get("validation_images")
    rows = {
        "codes": wording.counted(bundle.bits, "bit"),
        "backbone": f"{bundle.backbone.get('name')}, on squares of {bundle.side} pixels",
        "trained on": bundle.source,
        "training images": _count(figures.get("training_images")),
        "classes": _listed(bundle.class_names),
        "mAP@all on held-out images": None
        if score is None
        else f"{score:.3f}" + (f" on {wording.counted(held_out, 'image')}" if held_out else ""),
        "bits in which ONNX Runtime and torch differ": _differing(check),
        "fingerprint": bundle.fingerprint[:16],
    }
    return _table(rows, {name: said for name, said in _FACTS.items() if rows[name]})


def _part(report: Report) -> str:
    return f"<p><strong>{_sentence(evaluation.of_part(report.shard))}</strong></p>\n" if report.shard else ""


def _differing(check: Mapping[str, Any]) -> str | None:
    return f"{check['bits_differing']} of {check['bits_compared']:,}" if check else None


def _training(epochs: Epochs) -> Iterator[str]:
    best = epochs.best
    said = "no image was held out to choose an epoch by: the model is the last"
    if best is not None:
        score = epochs.validation_map[epochs.numbers.index(best)]
        said = f"the model is the network after epoch {best} (dashed), whose validation mAP of {score:.3f} is the best"
    yield _meaning(
        "The losses, means over the steps of each epoch, should fall and level out in sum; that of the fakes (entropy)"
        " may rise while the others fall, since they pull against each other. The validation mAP, of images the network"
        " did not learn from, should rise: where it goes down while the losses fall, the network learns by heart."
    )
    yield _plot(
        plots.training(epochs),
        f"losses and validation mAP over {wording.counted(len(epochs.numbers), 'epoch')}; {said}",
    )
    yield f"<p>{_sentence(said)}</p>\n"


def _fakes(grid: bytes, summary: Mapping[str, Any]) -> Iterator[str]:
    yield _meaning(
        "Real images are above, fakes of the same class below: fakes that repeat each other teach little, and fakes"
        " that nobody could tell from real ones teach the network to be undecided about real images."
    )
    quality = summary.get("quality") or {}
    if meaning := verdict.of(quality):
        yield f"<p><strong>{_sentence(meaning)}</strong></p>\n"
    content = base64.b64encode(grid).decode()
    yield f'<img class="wide" src="data:image/png;base64,{content}" alt="real images in rows above fakes">\n'
    shares = {
        "share of fakes that look like some real image": _figure(quality.get("precision")),
        "share of real images that look like some fake": _figure(quality.get("recall")),
    }
    accuracy, ceiling = quality.get("accuracy"), quality.get("accuracy_ceiling")
    yield _table(
        {
            "fakes": _count(summary.get("count")),
            "generator": (summary.get("generator") or {}).get("name"),
            "Fréchet distance to real images": _figure(quality.get("frechet_distance"), 1),
            **({} if verdict.too_brief(quality) else shares),
            "classifier that learned from fakes": _figure(accuracy),
            "classifier that learned from real images": _figure(ceiling),
        },
        {
            "Fréchet distance to real images": "0 where they are alike; comparable between fakes of the same images",
            "classifier that learned from fakes": "the share of real images it knows the class of",
            "classifier that learned from real images": "the same, which fakes can hardly reach",
        },
    )


def _distances(portrait: Portrait, found: Separation) -> Iterator[str]:
    yield _meaning(
        "Images of one class should lie near each other and far from those of others: where the two overlap, a search"
        " finds both."
    )
    said = f"the pair of one class is the nearer one with a chance of {found.nearer:.3f} (0.5: by luck, 1: always)"
    yield _plot(plots.distances(found), f"distances of pairs of one class and of two; {said}")
    pairs = f"{wording.counted(found.same.sum(), 'pair')} of one class, {found.different.sum():,} of two"
    yield f"<p>Of two pairs, one of each kind, {said}. {_sampled(portrait.mapped, portrait.images)}: {pairs}.</p>\n"


def _retrieval(figures: Evaluation) -> Iterator[str]:
    yield _meaning(
        "Each point takes all images within so many bits of the query, the number beside it: how much of the query's"
        " class is among them (recall), and how much of them is of its class (precision). The higher the curve stays,"
        " the better."
    )
    yield _plot(plots.precision_recall(figures.curve), f"precision over recall; mAP@all {figures.map_at_all:.3f}")
    record = figures.record()
    values = {
        "mean average precision (mAP@all)": _figure(figures.map_at_all),
        "precision within two bits (P@H<=2)": _figure(record["precision_within_2"]),
        "queries that find nothing (empty balls)": _figure(record["empty_balls_within_2"]),
        "distinct codes": f"{figures.distinct:,} of {figures.database:,}",
    }
    yield _table(values, _MEANINGS)
    asked = wording.counted(figures.queries, "query", "queries")
    said = [f"{asked} against {wording.counted(figures.database, 'image')}", *(each.text for each in figures.remarks())]
    yield f"<p>{' '.join(map(_sentence, said))}</p>\n"


def _queries(retrieval: Retrieval, folder: Path) -> Iterator[str]:
    best, worst = retrieval.best, retrieval.worst
    shown = [*worst, *best]
    names = (file for answer, _ in shown for file in (answer.query, *(hit.path for hit in answer.hits)))
    tiles = decoders.squares(names, page.SIDE)
    yield _meaning(
        f"Some queries with their {NEIGHBOURS} nearest images, and below each in how many bits it differs: look at the"
        " worst for what they have in common, such as a wrong label, a bad crop or two classes that look alike."
    )
    yield page.key([answer for answer, _ in shown])
    parts: Sequence[tuple[str, Sequence[tuple[Answer, float]]]] = (
        ("Worst by average precision", worst),
        ("Best by average precision", best),
    )
    if isinstance(retrieval.figures, Missing):
        parts = (("The first queries", best),)
    number = 0
    for name, answers in parts:
        if answers:
            yield f"<h3>{name}</h3>\n"
        for answer, value in answers:
            number += 1
            fact = "" if math.isnan(value) else f"average precision {value:.3f}"
            yield page.section(number, answer, tiles, folder, heading="h4", fact=fact)


def _bits(portrait: Portrait) -> Iterator[str]:
    found = portrait.statistics
    yield _meaning(
        "A bit that is 1 in half of the images (on the left a short bar, up or down) and goes its own way (on the right"
        " a row that stays faint) tells the most; a bit that never changes, or two that always change together,"
        " are wasted length."
    )
    worst = f"the bit farthest from a half is 1 in {found.worst_balance:.1%} of the images"
    mean, most = _figure(found.mean_correlation), _figure(found.most_correlation)
    yield '<div class="two">\n'
    yield _plot(plots.balance(found), f"share of ones of each bit; {worst}")
    yield _plot(plots.correlation(found), "correlation of the bits" + (f"; mean {mean}, most {most}" if mean else ""))
    yield "</div>\n"
    said = [f"{worst}; bits that never change: {found.constant} of {len(found.ones)}"]
    if mean:
        both = f"is {mean} on average and {most} at most"
        said.append(f"the correlation |r| of two bits (0: none, 1: one tells the other) {both}")
    said.append(_sampled(portrait.counted, portrait.images))
    yield f"<p>{' '.join(map(_sentence, said))}</p>\n"


def _map(portrait: Portrait) -> Iterator[str]:
    yield _meaning(
        "Each mark is an image, or many of one code where it is large, laid out by the two directions in which the"
        " codes vary most; what lies apart here is apart, what lies together may still differ in other bits."
    )
    shown = sum(portrait.map.shares)
    yield _plot(plots.code_map(portrait.map, portrait.classes), f"map of the codes, {shown:.0%} of their variance")
    if portrait.named:
        marks = zip(range(len(portrait.named)), cycle(CLASS_MARKS))
        listed = [_class(f"k{number}", mark, portrait.named[number]) for number, mark in marks]
        rest = any(number is None for number in portrait.classes)
        others = _class("", "·", "others") if rest else ""
        yield f'<ul class="classes">\n{"".join(listed)}{others}\n</ul>\n'
    yield (
        f"<p>The two directions hold {shown:.0%} of the variance; the rest is not seen here."
        f" {_sampled(portrait.mapped, portrait.images)}.</p>\n"
    )


def _class(style: str, mark: str, name: str) -> str:
    return f'<li><span class="{style}" aria-hidden="true">{mark}</span> <bdi>{text(name)}</bdi></li>'


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    rows: dict[str, str | None] = {}
    for name, value in settings.items():
        if name == "run":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items() if each not in ({}, None, "")) or None
        rows[name.replace("_", " ")] = None if value is None else str(value)
    yield _meaning("What the training was given; with the same images, the same settings make the same model.")
    yield f"<details>\n<summary>{len(rows)} settings</summary>\n{_table(rows)}</details>\n"


def _missing(missing: Mapping[str, str]) -> Iterator[str]:
    yield _meaning("What this page cannot show, and why.")
    yield _table(dict(missing))


def _sampled(shown: int, images: int) -> str:
    if shown == images:
        return f"This shows {wording.counted(images, 'image')}, all there are"
    return f"This shows a random sample of {shown:,} of {wording.counted(images, 'image')}"


def _sentence(said: str) -> str:
    return text(f"{said[0].upper()}{said[1:]}.")


def _meaning(sentence: str) -> str:
    return f"<p>{text(sentence)}</p>\n"


def _plot(plot: Plot, alt: str) -> str:
    size = f'width="{plot.width}" height="{plot.height}"'
    return (
        f'<picture>\n<source media="{_DARK}" srcset="{plot.dark}">\n'
        f'<img class="plot" src="{plot.light}" alt="{text(alt)}" {size}>\n</picture>\n'
    )


def _table(rows: Mapping[str, str | None], meanings: Mapping[str, str] | None = None) -> str:
    said = {name: f"<small>{text(meaning)}</small>" for name, meaning in (meanings or {}).items()}
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td><bdi>{text(value or "-")}</bdi>{said.get(name, "")}</td></tr>\n'
        for name, value in rows.items()
    )
    return f"<table>\n{body}</table>\n"


def _count(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _figure(value: float | None, digits: int = 3) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _class_style() -> str:
    def rules(theme: str) -> str:
        return " ".join(f".k{number} {{ color: {colour} }}" for number, colour in enumerate(CLASS_COLOURS[theme]))

    return f"{rules('light')}\n@media {_DARK} {{ {rules('dark')} }}\n"
