"""Run arms of the controlled experiment: `python experiment.py DATA --backbone smallconv`; it resumes.

DATA holds train/CLASS/* and test/CLASS/*, as an unpacked CIFAR-10 does. One line for each run and protocol is added to
results.jsonl, and a line that is there is not computed again. Of each class, in the order of the SHA-256 of their
names, 100 images are queries, 500 may be trained on, and the rest is the database. P1 searches the rest, P1' also the
images that were trained on. With `--validate` the images that may be trained on and are not search each other instead,
so that settings can be chosen before a query is seen.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ganhash_cli.engine import (
    ambiguous,
    backbones,
    bits,
    devices,
    exporter,
    fitting,
    images,
    metrics,
    pool,
    runtime,
    sampling,
    unlabelled,
)
from ganhash_cli.engine.fakes import Fakes, Judgement
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.histograms import of_tables
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.model import HashNet, to_tensor
from ganhash_cli.engine.progress import finish
from ganhash_cli.engine.protocols import QUERIES, TRAINING, shuffled
from ganhash_cli.engine.runtime import Runtime
from ganhash_cli.engine.sampling import TrainingData
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import UNLABELLED, TrainSettings
from ganhash_cli.plugin import registry

HERE = Path(__file__).parent
CPU = torch.device("cpu")
WEIGHT = 0.1
VALIDATION = "validation"  # what the protocol is called that sees no query
LSH = "lsh"  # no loss of ganhash; what it is measured against
ARMS: dict[str, dict[str, Any]] = {
    "A": {"entropy_weight": 0.0},
    "B": {"entropy_on": "real"},
    "C": {"entropy_on": "noise"},
    "D": {"entropy_on": "mixup"},
    "E": {},
    "F": {"entropy": "random"},
    "G": {"fakes_as": "labels", "entropy_weight": WEIGHT},  # not used, but one, whatever weights are swept
    "H": {"fakes_as": "both"},
    "I": {"entropy_weight": 0.0, "loss_options": {"smoothing": 0.1}},
}
"""A: nothing. Maximum entropy on B: real images, C: noise, D: mixtures, E: fakes. F: random codes on fakes. G: fakes as
labelled images. H: both, by their scores. I: smoothed labels."""
DRAWN = "drawn labels"
"""What labels every fake as the class that it was drawn for, and asks no teacher."""
REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "shannon": {"entropy": "shannon"},
    "late": {"entropy_warm_up": 0.6},
    "few": {"fakes_per_real": 0.125},
    "light labels": {"label_weight": 0.1},
    "double labels": {"label_weight": 2.0},
    "many labels": {"fakes_per_real": 1.0},
    "many double labels": {"label_weight": 2.0, "fakes_per_real": 1.0},
    "sure labels": {"fake_filter": 0.8},
    "more labels": {"fake_filter": 0.2},
    "all labels": {"fake_filter": 0.0},
    DRAWN: {},
    "trivial": {"augment": "trivial"},
    "penalty 0.01": {"loss_options": {"penalty": 0.01}},
    "penalty 0.3": {"loss_options": {"penalty": 0.3}},
    "penalty 1": {"loss_options": {"penalty": 1.0}},
}
"""What else was tried where fakes did not help, in the order of the tables, and options of `greedyhash`."""


class Data:
    """The images of DATA at one side, decoded once and kept in a file, and the parts they belong to."""

    def __init__(self, folder: Path, side: int, work: Path) -> None:
        self.folder, self.work = folder, work
        self.collection = images.from_csv(_list(folder))
        self.labels = np.array([entry.labels[0] for entry in self.collection.entries])
        self.place = _places(self.collection, self.labels)
        file = work / f"pixels-{side}-{_digest(self.collection)}.npy"
        if not file.exists():
            loaded = finish(images.load(self.collection, side, strict=True)).array
            np.save(work / "part.npy", loaded)
            (work / "part.npy").rename(file)
        self.pixels = np.load(file, mmap_mode="r")

    def rows(self, first: int, end: int | None) -> NDArray[np.int64]:
        """Return the rows of the images that stand from `first` to before `end` in the order of their class."""
        found: NDArray[np.int64] = np.flatnonzero(
            (self.place >= first) & (self.place < (len(self.place) if end is None else end))
        )
        return found

    def part(self, rows: NDArray[np.int64]) -> Collection:
        """Return some of the images as a collection."""
        return replace(self.collection, entries=tuple(self.collection.entries[row] for row in rows))

    def table(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return their (N, classes) label table."""
        table: NDArray[np.bool_] = self.labels[rows, None] == np.arange(len(self.collection.class_names))
        return table


def _list(folder: Path) -> Path:
    """Write the list of all images beside the data, as a CSV, since class folders lie two deep."""
    lines = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.glob("t*/*/*"))]
    text = "\n".join(["path,label", *lines]) + "\n"
    file = folder / "experiment.csv"
    if not file.exists() or file.read_text() != text:  # another process may be reading it
        file.write_text(text)
    return file


def _digest(collection: Collection) -> str:
    """Name a collection by where it is and by its files' names, sizes and times."""
    files = [(entry.path, entry.size, entry.mtime_ns) for entry in collection.entries]
    return hashlib.sha256(repr((collection.root, files)).encode()).hexdigest()[:16]


def _places(collection: Collection, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    names = [shuffled(entry.path.decode()) for entry in collection.entries]
    places = np.empty(len(names), np.int64)
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label), key=lambda row: names[row])
        places[members] = np.arange(len(members))
    return places


def fakes_of(data: Data, count: int, steps: int) -> Fakes:
    """Return the fakes of the regime with `count` training images a class, one generator for all of its runs."""
    settings = GenerateSettings(
        generator=registry.identify("generator", "sngan", {}), steps=steps, count=5000, flips=True, size=32
    )
    folder = data.work / f"fakes-{count}"
    collection = data.part(data.rows(QUERIES, QUERIES + count))
    return finish(pool.make(collection, "experiment", settings, folder, device=CPU)).fakes


def fakes_digest(fakes: Fakes) -> str:
    """Return a digest of what runs are shown of fakes: their files, their classes, and what a teacher says of them."""
    shown = [
        (fake.sha256, fake.labels, fake.judgement and (fake.judgement.label, fake.judgement.score))
        for fake in fakes.images
    ]
    return hashlib.sha256(repr(shown).encode()).hexdigest()


def judgements(fakes: Fakes, remedy: str) -> Sequence[Judgement | None]:
    """Return the class of each fake, in the order of the collection: as a teacher judges it, or as it was drawn for."""
    if remedy != DRAWN:
        return fakes.judgements
    return [Judgement(entry.labels[0], 1.0) for entry in fakes.collection.entries]


def run(
    data: Data, settings: TrainSettings, fakes: Fakes | None, chosen: Variant, side: int
) -> tuple[HashNet, TrainingData]:
    """Train one network on the images of its variant, none held out, and return it with what it saw."""
    rows = data.rows(QUERIES, QUERIES + chosen.count)
    pixels, labels = np.ascontiguousarray(data.pixels[rows]), data.table(rows)
    shared = None
    if fakes is not None:
        loaded = finish(images.load(fakes.collection, side, strict=True))
        names, use, threshold = data.collection.class_names, settings.fakes_as, settings.fake_filter
        said = judgements(fakes, chosen.remedy)
        shared = sampling.share_out(loaded, said, fakes.class_names, names, use, threshold)
    torch.manual_seed(derive(settings.seed, "weights"))
    network = HashNet(backbones.build(settings.backbone), settings.bits)
    seen = TrainingData(pixels, labels, pixels[:0], labels[:0], shared)
    if chosen.loss == LSH:
        at_random(network, pixels, settings.seed)
        return network, seen
    if settings.loss == UNLABELLED:
        finish(unlabelled.fit(network, pixels, settings.seed, CPU))
        return network, seen
    folder = data.work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    taught = seen if settings.supervised else replace(seen, labels=labels[:, :0])
    finish(fitting.fit(network, taught, settings, CPU, folder))
    return network, seen


def at_random(network: HashNet, pixels: NDArray[np.uint8], seed: int) -> None:
    """Let each bit be the side of a random plane through the mean of the features (Charikar 2002)."""
    torch.manual_seed(derive(seed, "lsh"))
    torch.nn.init.normal_(network.head.weight)
    network.eval().norm.train()
    network.norm.momentum = None  # the plain mean over all batches
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            network(to_tensor(pixels[start : start + 64], CPU))


def as_encoded(network: HashNet, side: int, work: Path) -> Runtime:
    """Return the network as `ganhash encode --runtime openvino` runs it: in float32, but quicker than by default."""
    file = work / "run" / "hasher.onnx"
    exporter.write_onnx(network.eval(), side, file)
    compute = runtime.openvino(file.read_bytes())
    return Runtime("openvino", "float32", network.head.out_features, side, runtime.batch_for(side), compute)


def figures(
    data: Data, network: Runtime, seen: TrainingData, count: int, seed: int, validate: bool
) -> dict[str, dict[str, float]]:
    """Return for each protocol the retrieval figures and what the network is sure of.

    To `validate`, the images that could have been trained on search each other.
    """
    places = {"query": data.rows(0, QUERIES), "train": data.rows(QUERIES, QUERIES + count)}
    if validate:
        places["query"] = data.rows(QUERIES + count, QUERIES + TRAINING)
    else:
        places["database"] = data.rows(QUERIES + TRAINING, None)
    logits = {name: network.logits(data.pixels[rows]) for name, rows in places.items()}
    tables = {name: data.table(rows) for name, rows in places.items()}
    codes = {name: bits.pack(values) for name, values in logits.items()}

    def retrieve(queries: str, *database: str) -> float:
        found, known = (np.concatenate([each[name] for name in database]) for each in (codes, tables))
        parts = []
        for i in range(0, len(codes[queries]), 50):
            block = slice(i, i + 50)
            distances = bits.hamming(codes[queries][block], found)
            relevant = metrics.relevance(tables[queries][block], known)
            if database == (queries,):  # no image is to find itself
                others = np.arange(len(found)) != np.arange(i, i + len(distances))[:, None]
                distances, relevant = (each[others].reshape(len(others), -1) for each in (distances, relevant))
            parts.append(of_tables(distances, relevant))
        return metrics.mean(np.concatenate([metrics.average_precision(part) for part in parts]))

    sure = {f"entropy_{name}": _entropy(logits[name]) for name in places}
    if seen.fakes is not None and len(seen.fakes.ambiguous):
        every = max(1, len(seen.fakes.ambiguous) // 1000)  # they lie class by class
        sure["entropy_fakes"] = _entropy(network.logits(np.asarray(seen.fakes.ambiguous[::every])))
    rng = np.random.default_rng(derive(seed, "mixtures"))
    mixtures = ambiguous.mixup(seen.training, seen.labels, 500, rng)
    sure |= {
        "entropy_mixtures": _entropy(network.logits(mixtures)),
        "mean_logit": float(np.abs(logits["query"]).mean()),
    }
    train = retrieve("train", "train")
    if validate:
        return {VALIDATION: {"map": retrieve("query", "query"), "map_train": train, **sure}}
    return {
        "P1": {"map": retrieve("query", "database"), "map_train": train, **sure},
        "P1'": {"map": retrieve("query", "database", "train"), "map_train": train, **sure},
    }


def _entropy(logits: NDArray[np.float32]) -> float:
    """Return the mean entropy of the bits, from 0 to 1."""
    p = torch.sigmoid(torch.from_numpy(logits).double())
    return float(torch.special.entr(p).add(torch.special.entr(1 - p)).mean() / np.log(2))


KEYS = (
    *("experiment", "dataset", "backbone", "side", "bits", "images_per_class"),
    *("loss", "learning_rate", "arm", "remedy", "weight", "seed"),
)


def _known(results: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return a line of each run that is there, by its key and by what `_apart` makes of its settings."""
    lines = map(json.loads, results.read_text().splitlines() if results.exists() else [])
    return {
        (*(line[key] for key in KEYS), *_apart(line["settings"], line["protocol"] == VALIDATION)): line
        for line in lines
    }


def _apart(settings: dict[str, Any], validates: bool) -> tuple[Any, ...]:
    """Return what else sets a run apart: arithmetic, views, the backbone's options, in a choice how long it trains."""
    options = tuple(settings["backbone"]["options"].items())
    return settings["precision"], settings["augment"], options, validates, settings["epochs"] if validates else None


def _alike(line: dict[str, Any], key: tuple[Any, ...], settings: TrainSettings) -> bool:
    """Whether a line and a run are compared, for which their fakes must be of one generator."""
    same = all(line[name] == key[KEYS.index(name)] for name in ("experiment", "dataset", "images_per_class"))
    return same and line["settings"]["precision"] == settings.precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--experiment", default="main")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--backbone", default="smallconv")
    parser.add_argument("--backbone-options", metavar="NAME=VALUE", nargs="+", default=[])
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--losses", nargs="+", default=["csq"])
    parser.add_argument("--arms", default="".join(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--bits", type=int, nargs="+", default=[48])
    parser.add_argument("--images", type=int, nargs="+", default=[500, 100, 50])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--augment", default="crop")
    parser.add_argument("--weights", type=float, nargs="+", default=[WEIGHT])
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--gan-steps", type=int, default=8000)
    parser.add_argument("--work", type=Path, default=Path("experiment-work"))
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--remedies", nargs="+", choices=REMEDIES, default=["none"])
    given = parser.parse_args()
    if given.validate and max(given.images) >= TRAINING:
        parser.error(f"--validate needs images to spare: fewer than {TRAINING} a class to train on")
    if "I" in given.arms and set(given.losses) != {"csq"}:
        parser.error("arm I smooths the labels of --losses csq alone")
    devices.keep_freed_memory()
    given.work.mkdir(parents=True, exist_ok=True)
    data = Data(given.data, given.side, given.work)
    # Seeds change last but one: a run of hours that is broken off has compared all arms on fewer seeds.
    for seed, count, number, loss, rate, arm, remedy, weight in itertools.product(
        given.seeds,
        given.images,
        given.bits,
        given.losses,
        given.learning_rates,
        given.arms,
        given.remedies,
        given.weights,
    ):
        fixed = ARMS[arm].get("entropy_weight", weight)
        one(data, given, Variant(number, count, loss, rate, arm, remedy, fixed, seed))


class Variant(NamedTuple):
    """What sets one run apart from the others of its command, in the order of the last of `KEYS`."""

    bits: int
    count: int
    loss: str
    rate: float
    arm: str
    remedy: str
    weight: float
    seed: int


def one(data: Data, given: argparse.Namespace, chosen: Variant) -> None:
    """Do one run, unless its lines are there, and add them."""
    key = (given.experiment, given.dataset, given.backbone, given.side, *chosen)
    began = time.monotonic()
    epochs = max(1, round(given.steps * given.batch / (chosen.count * len(data.collection.class_names))))
    backbone = backbones.identify(given.backbone, dict(option.split("=", 1) for option in given.backbone_options))
    settings = TrainSettings(
        **{
            "backbone": backbone,
            "bits": chosen.bits,
            "loss": UNLABELLED if chosen.loss == LSH else chosen.loss,
            "epochs": epochs,
            "batch": given.batch,
            "seed": chosen.seed,
            "augment": given.augment,
            "learning_rate": chosen.rate,
            "precision": devices.settle(given.precision, CPU),
            "entropy_weight": chosen.weight,
            **ARMS[chosen.arm],
            **REMEDIES[chosen.remedy],
        }
    )
    known = _known(given.results)
    if (there := known.get((*key, *_apart(asdict(settings), given.validate)))) is not None:
        if there["settings"] != json.loads(json.dumps(asdict(settings))):
            sys.exit(f"{given.results} holds this run with other settings; name another --experiment: {key}")
        return
    fakes = fakes_of(data, chosen.count, given.gan_steps) if settings.wants_fakes else None
    others = {line["digests"]["fakes"] for line in known.values() if _alike(line, key, settings)} - {None}
    drawn = fakes_digest(fakes) if fakes else None
    if fakes and others and drawn not in others:
        sys.exit(f"{given.results} holds such runs with other fakes; give their --work, or another --experiment: {key}")
    network, seen = run(data, settings, fakes, chosen, given.side)
    weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
    digests = {
        "training": images.content_digest(data.part(data.rows(QUERIES, QUERIES + chosen.count))),
        "fakes": drawn,
        "weights": hashlib.sha256(weights).hexdigest(),
    }

    def measure() -> dict[str, dict[str, float]]:
        encoder = as_encoded(network, given.side, data.work)
        return figures(data, encoder, seen, chosen.count, chosen.seed, given.validate)

    measured = measure()
    if given.validate:
        network.mirrored = True
        measured[VALIDATION]["map_mirrored"] = measure()[VALIDATION]["map"]
    lines = []
    for protocol, found in measured.items():
        record = dict(zip(KEYS, key, strict=True)) | {"protocol": protocol, **found, "side": given.side}
        record |= {"seconds": round(time.monotonic() - began, 1), "settings": asdict(settings), "digests": digests}
        record |= {"fakes": fakes.record["quality"] | {"steps": given.gan_steps}} if fakes else {}
        lines.append(json.dumps(record) + "\n")
        print(*key, protocol, f"{found['map']:.4f}", f"{record['seconds']:.0f} s", file=sys.stderr, flush=True)
    with given.results.open("a") as stream:
        stream.write("".join(lines))  # all or none, so that a run is never known by half


if __name__ == "__main__":
    main()
