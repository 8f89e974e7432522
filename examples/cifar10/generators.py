"""Compare the generators on one set of images and one budget: `python generators.py IMAGES OUT.json`; it resumes.

IMAGES is what `ganhash generate` takes, such as the list of training images that split.py writes. Each generator trains
for `--minutes` of a machine that does nothing else, and its fakes are judged as `ganhash generate` does.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ganhash_cli.engine import devices, fakes, generator, images, pool
from ganhash_cli.engine.fakes import Fakes
from ganhash_cli.engine.generator import GenerateSettings
from ganhash_cli.engine.progress import finish
from ganhash_cli.plugin import registry

NAMES = ("sngan", "dcgan", "wgan-gp", "sngan-resnet", "progan", "ddpm")
TIMED = 1000
CPU = torch.device("cpu")


def seconds_to_draw(found: Fakes, settings: GenerateSettings) -> float:
    """Return the seconds that drawing 1,000 fakes takes, best of three."""
    network = generator.build(settings.generator, tuple(found.record["image_size"]), len(found.class_names) or None)
    network.load_state_dict(load_file(found.folder / fakes.WEIGHTS))
    network.eval()
    classes = torch.arange(TIMED) % len(found.class_names) if found.class_names else None
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in generator.draw(network, classes, TIMED, 0):
            pass
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--names", nargs="+", default=list(NAMES))
    parser.add_argument("--work", type=Path, default=Path("generators-work"))
    given = parser.parse_args()
    devices.keep_freed_memory()
    collection = images.collect(given.images)
    rows: list[dict[str, Any]] = []
    for name in given.names:
        settings = GenerateSettings(
            generator=registry.identify("generator", name, {}),
            minutes=given.minutes,
            count=given.count,
            flips=True,
            precision="float32",
        )
        made = pool.make(collection, str(given.images.name), settings, given.work / name, device=CPU)
        found = finish(made).fakes
        rows.append(
            {
                "generator": name,
                "minutes": given.minutes,
                "steps": found.record["steps"],
                "arithmetic": settings.precision,
                "seconds_for_1000": round(seconds_to_draw(found, settings), 3),
                "quality": found.record["quality"],
                "settings": asdict(settings),
                "sha256": found.record["sha256"],
            }
        )
        given.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(json.dumps(rows[-1]["quality"]), flush=True)


if __name__ == "__main__":
    main()
