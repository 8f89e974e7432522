"""`TrainSettings`: everything that decides a training run besides the images, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from ganhash_cli.engine import devices
from ganhash_cli.engine.ambiguous import CONTROLS
from ganhash_cli.engine.augment import MORE
from ganhash_cli.engine.limits import TRAIN, require_within
from ganhash_cli.engine.losses import ENTROPIES, LOSSES, asks
from ganhash_cli.errors import UsageError
from ganhash_cli.plugin.options import Value
from ganhash_cli.plugin.registry import Identity

FAKES = "fakes"  # what the maximum-entropy loss is computed on, where it is none of the controls
FakesAs = Literal["entropy", "labels", "both"]
UNLABELLED = "itq"  # stands where a loss does, but is fitted at once, without labels or steps


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The settings of one run; `size` is chosen from the images where it is None."""

    backbone: Identity
    bits: int = 48
    epochs: int = 15
    batch: int = 32
    size: int | None = None
    augment: str = "crop"
    mirrored: bool = False
    loss: str = "triplet"
    loss_options: dict[str, Value] = field(default_factory=dict)
    entropy: str = "uniform"
    entropy_on: str = FAKES
    entropy_weight: float = 0.01
    entropy_warm_up: float = 0.15
    entropy_anneal: float = 0.1
    fakes_per_real: float = 0.5
    fakes_as: FakesAs = "entropy"
    fake_filter: float = 0.5
    label_weight: float = 1.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    validation: float = 0.1
    seed: int = 0
    precision: devices.Precision = "auto"

    def __post_init__(self) -> None:
        require_within(vars(self), TRAIN)
        _require_one_of("--augment", self.augment, tuple(MORE))
        _require_one_of("--entropy-on", self.entropy_on, (FAKES, *CONTROLS))
        _require_one_of("--fakes-as", self.fakes_as, get_args(FakesAs))
        _require_one_of("--loss", self.loss, (*LOSSES, UNLABELLED))
        _require_one_of("--entropy", self.entropy, tuple(ENTROPIES))
        if self.fakes_as != "entropy" and not self.supervised:
            raise UsageError(f"--loss {self.loss} has no use for labels of fakes", hint="leave --fakes-as out")

    @property
    def supervised(self) -> bool:
        """Whether the loss needs labels."""
        return self.loss != UNLABELLED and "labels" in asks(self.loss)

    @property
    def wants_fakes(self) -> bool:
        """Whether a pool of fakes would be used if there is one."""
        for_entropy = self.entropy_weight > 0 and self.entropy_on == FAKES and self.fakes_as != "labels"
        return self.loss != UNLABELLED and (for_entropy or self.fakes_as != "entropy")

    @property
    def fakes_in_a_step(self) -> int:
        """How many fakes a step sees, for each use; batch norm needs two."""
        return max(2, round(self.batch * self.fakes_per_real))


def _require_one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option} {value!r} is not known", hint=f"there are: {', '.join(known)}")
