"""Time one training step: ours, and the same step as it comes in float32 with the channels first."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ganhash_cli.engine import devices, fitting, gan, generator, sampling, training_state
from ganhash_cli.engine.backbones import build
from ganhash_cli.engine.model import HashNet
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.plugin import registry

IMAGES, CLASSES, ROUNDS, STEPS = 400, 10, 5, 3
CPU = torch.device("cpu")

Turn = Callable[[], object]


def hashing(name: str, side: int, *, plain: bool) -> Turn:
    """Return a step on 32 images and 16 fakes."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.bool_)[np.arange(IMAGES) % CLASSES]
    fakes = sampling.Fakes(pixels, np.full((IMAGES, 2), -1), pixels[:0], labels[:0])
    data = sampling.TrainingData(pixels, labels, pixels[:0], labels[:0], fakes)
    identity = registry.identify("backbone", name, {})
    network = HashNet(build(identity), 48)
    precision = "float32" if plain else devices.settle("auto", CPU)
    settings = TrainSettings(backbone=identity, precision=precision)
    state = training_state.start(network, CLASSES, settings, 1000, CPU)
    if plain:
        _channels_first(network)
    return lambda: fitting._step(state, data, settings, 1000, CPU)


def adversarial(name: str, side: int, *, plain: bool) -> Turn:
    """Return a step of critic and generator on 64 images."""
    pixels = torch.randint(0, 256, (IMAGES, 3, side, side), dtype=torch.uint8)
    data = gan.Data(pixels, torch.arange(IMAGES) % CLASSES)
    precision = "float32" if plain else "bfloat16"
    identity = registry.identify("generator", name, {})
    settings = generator.GenerateSettings(
        generator=identity, steps=1000, size=side, augment="translation,cutout", precision=precision
    )
    state = gan._start(generator.build(identity, (3, side, side), CLASSES), settings, CPU)
    if plain:
        for module in state.modules().values():
            _channels_first(module)
    return lambda: gan._step(state, data, settings, CPU)


def _channels_first(network: torch.nn.Module) -> None:
    """Let a network keep its weights, and get its images, with the channels first."""
    network.to(memory_format=torch.contiguous_format)
    network.register_forward_pre_hook(lambda _, inputs: tuple(map(_contiguous, inputs)))


def _contiguous(value: Any) -> Any:
    return value.contiguous() if isinstance(value, torch.Tensor) else value


def main(kind: str, name: str, side: int) -> None:
    """Print the median seconds of a step of each, taken in turn, as JSON."""
    devices.keep_freed_memory()
    make = {"hashing": hashing, "gan": adversarial}[kind]
    turns = {"ours": make(name, side, plain=False), "peer": make(name, side, plain=True)}
    seconds: dict[str, list[float]] = {which: [] for which in turns}
    for number in range(ROUNDS):
        for which, turn in turns.items():
            for _ in range(STEPS):
                begun = time.perf_counter()
                turn()
                if number:  # the first round prepares what later ones reuse
                    seconds[which].append(time.perf_counter() - begun)
    print(json.dumps({which: statistics.median(values) for which, values in seconds.items()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
