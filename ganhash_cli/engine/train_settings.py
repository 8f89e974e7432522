"""`TrainSettings`: everything that decides a training run besides the images, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from ganhash_cli.engine import bits, devices
from ganhash_cli.engine.limits import require_within
from ganhash_cli.engine.losses import ENTROPIES, LOSSES
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin.options import Value
from ganhash_cli.plugin.registry import Identity

UNLABELLED = "itq"  # stands where a loss does, but is fitted at once, without labels or steps


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The settings of one run; `size` is chosen from the images where it is None."""

    backbone: Identity
    bits: int = 48
    epochs: int = 15
    batch: int = 32
    size: int | None = None
    loss: str = "triplet"
    loss_options: dict[str, Value] = field(default_factory=dict)
    entropy: str = "uniform"
    entropy_weight: float = 0.01
    entropy_warm_up: float = 0.15
    entropy_anneal: float = 0.1
    fakes_per_real: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    validation: float = 0.1
    seed: int = 0
    precision: devices.Precision = "auto"

    def __post_init__(self) -> None:
        require_within("bits", self.bits, 1, bits.MAX_BITS)
        require_within("epochs", self.epochs, 1, 100_000)
        require_within("batch", self.batch, 4, 65_536)
        require_within("learning-rate", self.learning_rate, 1e-9, 10)
        require_within("entropy-weight", self.entropy_weight, 0, 1000)
        require_within("validation", self.validation, 0, 0.9)
        if self.size is not None:
            require_within("size", self.size, 16, 1024)
        for name, table in ((self.loss, (*LOSSES, UNLABELLED)), (self.entropy, tuple(ENTROPIES))):
            if name not in table:
                raise UsageError(f"no loss named {name!r}", hint=f"there are: {', '.join(table)}")
