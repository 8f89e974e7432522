"""Compare our losses with the published code of peers, on the same logits: `python peer_losses.py DEEPHASH ORTHOHASH`.

DEEPHASH is a checkout of github.com/swuxyj/DeepHash-pytorch, ORTHOHASH one of github.com/kamwoh/orthohash. Only their
loss classes are run, read from their files. Writes peer_losses.json beside this file.
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
from ganhash_cli.engine.losses.targets import centres, hadamard

IMAGES, CLASSES, BITS, BATCHES = 32, 10, 64, 20
OUT = Path(__file__).with_suffix(".json")


def classes_of(path: Path) -> dict[str, Any]:
    """Return the classes that a file defines, without running the rest of it."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    names: dict[str, Any] = {"torch": torch, "np": np, "random": random}
    names["hadamard"] = lambda order: 2.0 * hadamard(order) - 1
    names["F"] = torch.nn.functional
    names["BaseClassificationLoss"] = type("Base", (torch.nn.Module,), {"losses": {}})
    exec(compile(tree, str(path), "exec"), names)
    return names


def deephash(folder: Path, name: str, **config: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss of DeepHash-pytorch whose memory of earlier images is no larger than the batch."""
    known = {"num_train": IMAGES, "n_class": CLASSES, "device": "cpu", "dataset": "cifar10", "info": "", **config}
    loss = classes_of(folder / f"{name}.py")[f"{name}Loss"](known, BITS)
    everything = np.arange(IMAGES)
    targets = torch.from_numpy(2.0 * centres(CLASSES, BITS) - 1).float()
    for memory in ("hash_targets", "target_vectors"):
        if hasattr(loss, memory):
            setattr(loss, memory, targets)
    return lambda logits, labels: loss(logits, labels.float(), everything, known)


def orthohash(folder: Path) -> Callable[[Tensor, Tensor], Tensor]:
    """Return OrthoHash's loss, on the cosines that its model computes."""
    loss = classes_of(folder / "functions" / "loss" / "orthohash.py")["OrthoHashLoss"](s=8, m=0.2)
    rows = torch.nn.functional.normalize(torch.from_numpy(2.0 * centres(CLASSES, BITS) - 1).float())
    normal = torch.nn.functional.normalize
    return lambda logits, labels: loss(normal(logits) @ rows.T, logits, labels.float())


def cases(peers: Path, ortho: Path) -> dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str, Any]]:
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
        "dsh": (deephash(peers, "DSH", alpha=0.01), memory, ours("dsh", regulariser=0.01)),
        "csq": (
            deephash(peers, "CSQ", **{"lambda": 0.0}),
            "its codes are tanh(u), ours tanh(z / 2), and its quantisation another: compared without it, at z = 2 u",
            lambda u, y: LOSSES["csq"](2 * u, y, quantisation=0.0),
        ),
        "dpn": (deephash(peers, "DPN", m=1, p=0.5), "", ours("dpn", margin=1.0)),
        "greedyhash": (lambda u, y: greedy(u, y.float(), None, config), "", ours("greedyhash", greedy.fc, penalty=0.1)),
        "orthohash": (orthohash(ortho), "", ours("orthohash", margin=0.2, scale=8.0)),
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


def main(peers: Path, ortho: Path) -> None:
    found = {}
    for name, (theirs, differs, ours) in cases(peers, ortho).items():
        found[name] = {**compare(theirs, ours), "differs": differs}
        print(name, found[name])
    # DTSH is left out: the peer's takes an anchor for a positive of itself, and Theta without the factor 1/2.
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
