"""Train with our losses and with the published code of a peer: `python peer_training.py DATA DEEPHASH`; it resumes.

DATA holds train/CLASS/* and test/CLASS/*, as an unpacked CIFAR-10 does; DEEPHASH is a checkout of
github.com/swuxyj/DeepHash-pytorch, of which only the loss classes are run. Backbone, first weights, order of the images
and number of steps are the same for both; the peer's losses keep their memory of all training images. Each network is
trained on 400 images a class and judged on 100 others, which search each other. Writes peer_training.json beside this
file.
"""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ganhash_cli.engine import backbones, devices, losses, sampling
from ganhash_cli.engine.train_settings import TrainSettings

HERE = Path(__file__).parent
EXPERIMENT = runpy.run_path(str(HERE.parents[1] / "examples" / "cifar10" / "experiment.py"))
PEERS = runpy.run_path(str(HERE / "peer_losses.py"))
BACKBONE, SIDE, BATCH = "efficientnet_lite0", 64, 32
SHOWN, BITS = 400, 64
OPTIONS: dict[str, dict[str, float]] = {"dpsh": {"alpha": 0.1}, "hashnet": {"alpha": 0.1}, "csq": {"lambda": 1e-4}}
SCALED = {"csq": 0.5}  # the peer's codes are tanh(u), ours tanh(z / 2): with u = z / 2 both start alike
NAMES = {"dpsh": "DPSH", "hashnet": "HashNet", "csq": "CSQ"}


class Peer:
    """A loss of the peer's in the place of ours; it is told which training images a step saw by drawing them again."""

    def __init__(self, folder: Path, name: str, labels: Any, settings: TrainSettings) -> None:
        config = {"num_train": len(labels), "n_class": labels.shape[1], "device": "cpu", "dataset": "cifar10"}
        self.config, self.labels, self.settings, self.step = config | OPTIONS[name], labels, settings, 0
        self.factor = SCALED.get(name, 1.0)
        self.loss = PEERS["classes_of"](folder / f"{NAMES[name]}.py")[f"{NAMES[name]}Loss"](self.config, BITS)
        if hasattr(self.loss, "hash_targets"):
            self.loss.hash_targets = PEERS["hash_targets"](labels.shape[1])

    def __call__(self, logits: Tensor, labels: Tensor, progress: float) -> Tensor:
        rows = sampling.draw(self.labels, self.settings.batch, self.settings.seed, self.step)
        if not np.array_equal(self.labels[rows], labels.numpy()):
            raise RuntimeError(f"step {self.step} did not see the images that were drawn for it")
        if hasattr(self.loss, "scale"):
            self.loss.scale = 1 + 9 * progress  # our schedule; the peer's loop sets it from outside its loss, too
        self.step += 1
        value: Tensor = self.loss(self.factor * logits, labels.float(), rows, self.config)
        return value


def one(data: Any, name: str, folder: Path | None, seed: int, epochs: int, rate: float) -> dict[str, float]:
    """Train and judge one network, by the peer's loss where its `folder` is given."""
    settings = TrainSettings(
        backbone=backbones.identify(BACKBONE, {}),
        bits=BITS,
        loss=name,
        epochs=epochs,
        batch=BATCH,
        seed=seed,
        learning_rate=rate,
        entropy_weight=0.0,
        precision="float32",
    )
    ours = losses.LOSSES[name]
    rows = data.rows(EXPERIMENT["QUERIES"], EXPERIMENT["QUERIES"] + SHOWN)
    if folder:
        losses.LOSSES[name] = Peer(folder, name, data.table(rows), settings)
    try:
        network, seen = EXPERIMENT["run"](data, name, settings, None, SHOWN, SIDE)
    finally:
        losses.LOSSES[name] = ours
    encoder = EXPERIMENT["as_encoded"](network, SIDE, data.work)
    found = EXPERIMENT["figures"](data, encoder, seen, SHOWN, seed, True)["validation"]
    return {"map": found["map"], "map_train": found["map_train"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("deephash", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("experiment-work"))
    parser.add_argument("--out", type=Path, default=HERE / "peer_training.json")
    given = parser.parse_args()
    devices.keep_freed_memory()
    given.work.mkdir(parents=True, exist_ok=True)
    data = EXPERIMENT["Data"](given.data, SIDE, given.work)
    rows: list[dict[str, Any]] = json.loads(given.out.read_text()) if given.out.exists() else []
    for seed in range(given.seeds):
        for name in NAMES:
            for whose, folder in (("ganhash", None), ("peer", given.deephash)):
                key = {
                    "loss": name,
                    "code": whose,
                    "seed": seed,
                    "backbone": BACKBONE,
                    "side": SIDE,
                    "epochs": given.epochs,
                    "learning_rate": given.learning_rate,
                }
                if any(key.items() <= row.items() for row in rows):
                    continue
                rows.append(key | one(data, name, folder, seed, given.epochs, given.learning_rate))
                given.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
                print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
