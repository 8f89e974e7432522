"""Compare our losses with others' code, on the same logits: `python peer_losses.py DEEPHASH ORTHOHASH CIBHASH`.

These are checkouts of github.com/swuxyj/DeepHash-pytorch, github.com/kamwoh/orthohash and github.com/zexuanqiu/CIBHash;
only their loss classes are run, read from their files. `pip install pytorch-metric-learning` brings the triplets.
Writes peer_losses.json beside this file.
"""

import ast
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganhash_cli.engine.losses import LOSSES
from ganhash_cli.engine.losses.relaxation import relaxed
from ganhash_cli.engine.losses.targets import centres, hadamard

IMAGES, CLASSES, BITS, BATCHES = 32, 10, 64, 20
OUT = Path(__file__).with_suffix(".json")


def classes_of(path: Path) -> dict[str, Any]:
    """Return the classes that a file defines, without running the rest of it."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    names: dict[str, Any] = {"torch": torch, "nn": torch.nn, "np": np, "random": random}
    names["hadamard"] = lambda order: 2.0 * hadamard(order) - 1
    names |= {"F": torch.nn.functional, "Function": torch.autograd.Function, "Base_Model": object}
    names["BaseClassificationLoss"] = type("Base", (torch.nn.Module,), {"losses": {}})
    exec(compile(tree, str(path), "exec"), names)
    return names


def hash_targets(classes: int) -> Tensor:
    """Return our hash centres, -1 and 1, for peers to take, too."""
    return torch.from_numpy(2.0 * centres(classes, BITS) - 1).float()


def deephash(folder: Path, name: str, **config: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss of DeepHash-pytorch whose memory of earlier images is no larger than the batch."""
    known = {"num_train": IMAGES, "n_class": CLASSES, "device": "cpu", "dataset": "cifar10", "info": "", **config}
    loss = classes_of(folder / f"{name}.py")[f"{name}Loss"](known, BITS)
    everything = np.arange(IMAGES)
    targets = hash_targets(CLASSES)
    for memory in ("hash_targets", "target_vectors"):
        if hasattr(loss, memory):
            setattr(loss, memory, targets)
    return lambda logits, labels: loss(logits, labels.float(), everything, known)


def orthohash(folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """Return OrthoHash's loss, on the cosines that its model computes."""
    loss = classes_of(folder / "functions" / "loss" / "orthohash.py")["OrthoHashLoss"](s=8, m=0.2)
    normal = torch.nn.functional.normalize
    rows = normal(hash_targets(CLASSES))
    return lambda logits, labels: loss(normal(logits) @ rows.T, logits, labels.float())


def cibhash(folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """Return CIBHash's loss, as its model adds it up; the halves of the batch are the two views."""
    names = classes_of(folder / "model" / "CIBHash.py")
    told, divergence = names["NtXentLoss"](IMAGES // 2, 0.3), names["CIBHash"].compute_kl

    def loss(logits: Tensor, _: Tensor) -> Tensor:
        p, q = torch.sigmoid(logits).chunk(2)
        apart: Tensor = (divergence(None, p, q) + divergence(None, q, p)) / 2
        views: Tensor = told(names["hash_layer"](p - 0.5), names["hash_layer"](q - 0.5), "cpu")
        return views + 0.001 * apart

    return loss


def metric_learning(*, semi_hard: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """Return pytorch-metric-learning's triplet loss, of our relaxed codes, at our distance and in our units."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner

    distance = LpDistance(normalize_embeddings=False, p=2, power=2)
    loss = TripletMarginLoss(margin=BITS / 16, distance=distance)
    miner = TripletMarginMiner(margin=BITS / 16, type_of_triplets="semihard", distance=distance)

    def value(logits: Tensor, labels: Tensor) -> Tensor:
        codes, numbers = relaxed(logits) / 2, labels.int().argmax(1)
        found: Tensor = loss(codes, numbers, miner(codes, numbers) if semi_hard else None) / BITS
        return found

    return value


def cases(peers: Path, ortho: Path, cib: Path) -> dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str, Any]]:
    """Return for each of our losses the peer's, ours with the peer's settings, and what differs by design."""

    def ours(name: str, *facts: Any, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda logits, labels: LOSSES[name](logits, labels, *facts, **options)

    config = {"n_class": CLASSES, "device": "cpu", "alpha": 0.1}
    greedy = classes_of(peers / "GreedyHash.py")["GreedyHashLoss"](config, BITS)
    memory = "its codes of other images are a memory without gradient, so that pairs teach half as much"
    return {
        "dpsh": (
            deephash(peers, "DPSH", alpha=0.1),
            "",
            lambda u, y: LOSSES["dpsh"](u, y, (u.detach(), y), quantisation=0.1),
        ),
        "hashnet": (deephash(peers, "HashNet", alpha=0.1), "", ours("hashnet", 0.0, alpha=0.1)),
        "dsh": (
            deephash(peers, "DSH", alpha=0.1),
            memory + "; its regulariser is a mean over bits, ours a sum, and weighed alike here",
            ours("dsh", regulariser=0.1 / (2 * BITS)),
        ),
        "csq": (
            deephash(peers, "CSQ", **{"lambda": 0.0}),
            "its codes are tanh(u), ours tanh(z / 2), and its quantisation another: compared without it, at z = 2 u",
            lambda u, y: LOSSES["csq"](2 * u, y, quantisation=0.0),
        ),
        "dpn": (deephash(peers, "DPN", m=1, p=0.5), "", ours("dpn", margin=1.0)),
        "greedyhash": (lambda u, y: greedy(u, y.float(), None, config), "", ours("greedyhash", greedy.fc, penalty=0.1)),
        "orthohash": (orthohash(ortho), "", ours("orthohash", margin=0.2, scale=8.0)),
        "triplet": (metric_learning(semi_hard=False), "", ours("triplet")),
        "triplet, semi-hard": (metric_learning(semi_hard=True), "", ours("triplet", semi_hard=True)),
        "contrastive": (
            cibhash(cib),
            "its bits pass their gradient through a sigmoid, ours straight on; its divergence moves one view at a time",
            lambda u, y: LOSSES["contrastive"](*u.chunk(2), temperature=0.3, bottleneck=0.001),
        ),
    }


def compare(theirs: Callable[..., Tensor], ours: Callable[..., Tensor]) -> dict[str, float]:
    """Return the largest relative difference of value and of gradient over the batches."""
    values, gradients = [], []
    for seed in range(BATCHES):
        torch.manual_seed(seed)
        logits, numbers = 1.5 * torch.randn(IMAGES, BITS), torch.randint(0, CLASSES, (IMAGES,))
        labels = torch.nn.functional.one_hot(numbers, CLASSES).bool()
        results = []
        for loss in (theirs, ours):
            z = logits.clone().requires_grad_()
            value = loss(z, labels)
            value.backward()
            results.append((float(value.detach()), z.grad))
        (a, ga), (b, gb) = results
        values.append(abs(a - b) / abs(a))
        gradients.append(float((ga - gb).norm() / ga.norm()))
    return {"value": max(values), "gradient": max(gradients)}


def main(*folders: Path) -> None:
    found = {}
    for name, (theirs, differs, ours) in cases(*folders).items():
        found[name] = {**compare(theirs, ours), "differs": differs}
        print(name, found[name])
    # DTSH is left out: the peer's takes an anchor for a positive of itself, and Theta without the factor 1/2.
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
