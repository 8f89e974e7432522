"""Gather lists, settings and figures of a finished run: `python record.py CIFAR-FOLDER OUT.json BITS [BITS ...]`."""

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROTOCOLS = ("cifar10-p1", "cifar10-p1prime")


def read(path: str | Path) -> Any:
    return json.loads(Path(path).read_text())


def trained(bits: str) -> dict[str, Any]:
    """Return what is to be known of the network of one length, and what its codes retrieve."""
    model = read(f"model-{bits}/bundle.json")
    backbone = {name: model["backbone"][name] for name in ("name", "options", "package", "version")}
    same = ("side", "bits", "settings", "metrics", "training_digest", "fingerprint", "digests")
    known = {"backbone": backbone, **{name: model[name] for name in same}}
    return {"model": known, "evaluation": {name: read(f"{name}-{bits}.json") for name in PROTOCOLS}}


def main(images: Path, out: Path, lengths: list[str]) -> None:
    fakes = read("fakes/fakes.json")
    record = {
        "lists": {name: read(images / f"{name}.json") for name in PROTOCOLS},
        "fakes": {name: fakes[name] for name in ("generator", "settings", "count", "quality", "training_digest")},
        "runs": {bits: trained(bits) for bits in lengths},
        "made_with": {name: version(name) for name in ("ganhash", "torch", "timm", "onnxruntime", "numpy")}
        | {"python": platform.python_version(), "machine": platform.machine()}
        | {"encode --runtime": os.environ.get("GANHASH_ENCODE_RUNTIME", "auto")},
    }
    out.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
