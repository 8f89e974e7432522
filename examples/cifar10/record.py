"""Gather lists, settings and figures of a finished run into a file: `python record.py CIFAR-FOLDER OUT.json`."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROTOCOLS = ("cifar10-p1", "cifar10-p1prime")


def read(path: str | Path) -> Any:
    return json.loads(Path(path).read_text())


def main(images: Path, out: Path) -> None:
    fakes, model = read("fakes/fakes.json"), read("model/bundle.json")
    backbone = {name: model["backbone"][name] for name in ("name", "options", "package", "version")}
    record = {
        "lists": {name: read(images / f"{name}.json") for name in PROTOCOLS},
        "fakes": {name: fakes[name] for name in ("generator", "settings", "count", "quality", "training_digest")},
        "model": {"backbone": backbone, "side": model["side"], "bits": model["bits"], "settings": model["settings"]}
        | {name: model[name] for name in ("metrics", "training_digest", "fingerprint", "digests")},
        "evaluation": {name: read(f"{name}.json") for name in PROTOCOLS},
        "made_with": {name: version(name) for name in ("ganhash", "torch", "timm", "onnxruntime", "numpy")}
        | {"python": platform.python_version(), "machine": platform.machine()},
    }
    out.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
