"""Plugins that keep the contract, and for every check of the conformance kit one that is broken in just that way.

What breaks both kinds alike is a mixin: it overrides `forward`, or `finish`, with which every constructor ends.
"""

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int, int]


class Backbone(nn.Module):
    """One convolution over patches, then the mean."""

    input_size = (3, 96, 96)
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.feature_dim = width
        self.body = nn.Sequential(nn.Conv2d(3, width, 16, 16), nn.BatchNorm2d(width), nn.Softplus())
        self.finish()

    def finish(self) -> None: ...

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean((2, 3))


class Painter(nn.Module):
    """One linear layer to a small picture that is scaled up; it has no way yet to be trained."""

    latent_dim = 6
    mixes_classes = True

    def __init__(self, image_size: Size, num_classes: int | None, *, width: int = 4) -> None:
        super().__init__()
        self.image_size = image_size
        self.num_classes = num_classes
        self.width = width
        self.picture = nn.Linear(6 + (num_classes or 0), 3 * width**2)
        self.finish()

    def finish(self) -> None: ...

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        small = self.picture(beside(latents, labels, self.num_classes)).view(-1, 3, self.width, self.width)
        return F.interpolate(small, self.image_size[1:]).tanh()


class Critic(nn.Module):
    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.score = nn.Linear(3 * 4 * 4 + (num_classes or 0), 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.score(beside(F.adaptive_avg_pool2d(images, 4).flatten(1), labels, self.num_classes))[:, 0]


class Adversarial(Painter):
    objective = "hinge"
    critic_class = Critic

    def critic(self) -> nn.Module:
        return self.critic_class(self.num_classes)


class SelfTrained(Painter):
    """An autoencoder."""

    def finish(self) -> None:
        self.encoder = nn.Linear(3 * 4 * 4, self.latent_dim)

    def training_loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        latents = self.encoder(F.adaptive_avg_pool2d(images, 4).flatten(1))
        return F.mse_loss(self(latents, labels), images)


def beside(values: Tensor, labels: Tensor | None, classes: int | None) -> Tensor:
    if classes is None:
        return values
    shares = labels if labels.is_floating_point() else F.one_hot(labels, classes).float()
    return torch.cat([values, shares], 1)


class Growing(Adversarial):
    """Begins with what it ends as, and with nothing where it is told that training begins."""

    share = 1.0

    def grow(self, progress: float) -> None:
        self.share = progress

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.share * super().forward(*inputs)


HEALTHY: list[tuple[str, Callable[..., Any]]] = [
    ("backbone", Backbone),
    ("generator", Adversarial),
    ("generator", Growing),
    ("generator", SelfTrained),
]


@dataclass(frozen=True)
class Mutant:
    """A plugin of one kind, and the check that it fails."""

    kind: str
    check: str
    factory: Callable[..., Any]

    def __str__(self) -> str:
        return f"{self.kind}-{self.check}-{self.factory.__name__}"


MUTANTS: list[Mutant] = []


def fails(check: str) -> Callable[[type], type]:
    """Enter the class below as a mutant that fails `check`; of a mixin make one of each kind."""

    def enter(broken: type) -> type:
        if issubclass(broken, nn.Module):
            MUTANTS.append(Mutant("backbone" if issubclass(broken, Backbone) else "generator", check, broken))
            return broken
        for kind, healthy in (("backbone", Backbone), ("generator", Adversarial)):
            MUTANTS.append(Mutant(kind, check, type(broken.__name__, (broken, healthy), {})))
        return broken

    return enter


@fails("can_be_built")
class RaisesWhenBuilt:
    def finish(self) -> None:
        raise RuntimeError("broken")


@fails("options_are_explicit")
class TakesAnyOption(Backbone):
    def __init__(self, **options: int) -> None:
        super().__init__(**options)


@fails("options_are_explicit")
class TakesAnOptionByPosition(Adversarial):
    def __init__(self, image_size: Size, num_classes: int | None, width: int = 4) -> None:
        super().__init__(image_size, num_classes, width=width)


@fails("option_defaults_have_their_types")
class WidthIsText(Backbone):
    def __init__(self, *, width: int = "8") -> None:
        super().__init__(width=int(width))


@fails("option_defaults_have_their_types")
class FlagIsANumber(Adversarial):
    def __init__(self, image_size: Size, num_classes: int | None, *, wide: bool = 1) -> None:
        super().__init__(image_size, num_classes)


@fails("option_defaults_are_json")
class LimitIsInfinite(Backbone):
    def __init__(self, *, limit: float = math.inf) -> None:
        super().__init__()


@fails("option_defaults_are_json")
class LimitIsNoNumber(Adversarial):
    def __init__(self, image_size: Size, num_classes: int | None, *, limit: float = math.nan) -> None:
        super().__init__(image_size, num_classes)


@fails("same_seed_gives_the_same_weights")
class CountsItsCopies:
    copies = itertools.count()

    def finish(self) -> None:
        with torch.no_grad():
            next(self.parameters()).add_(0.01 * next(self.copies))


@fails("weights_round_trip")
class HidesAWeight:
    def finish(self) -> None:
        self.hidden = 0.2 + torch.rand(())

    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs) * self.hidden


@fails("gradients_reach_every_parameter")
class HasAnIdleParameter:
    def finish(self) -> None:
        self.idle = nn.Parameter(torch.ones(2))


@fails("gradients_reach_every_parameter")
class CutsItsLossOff(SelfTrained):
    def training_loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return super().training_loss(images, labels).detach()


@fails("evaluation_is_deterministic")
class NeverStopsDropout:
    def forward(self, *inputs: Tensor) -> Tensor:
        return F.dropout(super().forward(*inputs) / 2, training=True)


@fails("rows_do_not_depend_on_their_companions")
class LooksAtTheBatch:
    def forward(self, *inputs: Tensor) -> Tensor:
        output = super().forward(*inputs)
        return (output - output.mean(0)) / 2


@fails("leaves_torchs_settings_alone")
class TakesAnotherThread:
    def finish(self) -> None:
        torch.set_num_threads(torch.get_num_threads() + 1)


@fails("leaves_random_states_alone")
class SeedsTorch:
    def finish(self) -> None:
        torch.manual_seed(0)


@fails("leaves_random_states_alone")
class DrawsFromNumpy:
    def forward(self, *inputs: Tensor) -> Tensor:
        np.random.rand()
        return super().forward(*inputs)


@fails("prints_nothing")
class Prints:
    def forward(self, *inputs: Tensor) -> Tensor:
        print("hello")
        return super().forward(*inputs)


@fails("prints_nothing")
class PrintsInTraining:
    def forward(self, *inputs: Tensor) -> Tensor:
        if self.training:
            print("hello")
        return super().forward(*inputs)


@fails("prints_nothing")
class PrintsWhereItGrows(Growing):
    def grow(self, progress: float) -> None:
        print(progress)


@fails("has_the_contract_attributes")
class ForgetsAChannel(Backbone):
    std = (0.5, 0.5)


@fails("features_have_the_promised_shape")
class MiscountsItsFeatures(Backbone):
    def finish(self) -> None:
        self.feature_dim += 1


@fails("features_are_float32")
class GivesDoubles(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).double()


@fails("features_are_finite")
class GivesAnInfinity(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return torch.cat([features[:, :1] * math.inf, features[:, 1:]], 1)


@fails("features_depend_on_the_image")
class DoesNotLook(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 0)


@fails("one_image_is_a_batch")
class WantsCompany(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        if len(images) == 1:
            raise ValueError("one image only")
        return super().forward(images)


@fails("smaller_squares_are_taken")
class KnowsOneSize(Backbone):
    def finish(self) -> None:
        self.body.append(nn.Flatten())
        self.body.append(nn.Linear(self.feature_dim * 6 * 6, self.feature_dim))
        self.body.append(nn.Unflatten(1, (-1, 1, 1)))


@fails("exports_to_onnx")
class DecidesByValue(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return features if features.sum().item() > 0 else -features


@fails("exports_to_onnx")
class ExportsSomethingElse(Backbone):
    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        return features + 1 if torch.compiler.is_exporting() else features


@fails("has_the_contract_attributes")
class CannotBeTrained(Painter): ...


@fails("images_have_the_promised_shape")
class CutsImages(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents, labels)[..., :-1]


@fails("images_are_float32")
class PaintsInDoubles(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents, labels).double()


@fails("images_lie_in_range")
class PaintsTooBrightly(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return 2 * super().forward(latents, labels)


@fails("the_noise_decides_the_image")
class DoesNotListen(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents * 0, labels)


@fails("the_label_decides_the_image")
class IgnoresLabels(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents, None if labels is None else labels * 0)


@fails("mixtures_of_classes_are_taken")
class TakesTheFirstOfAMixture(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        mixed = labels is not None and labels.is_floating_point()
        return super().forward(latents, labels.argmax(1) if mixed else labels)


@fails("mixtures_of_classes_are_taken")
class TakesNoMixture(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents, None if labels is None else labels.long())


@fails("works_without_classes")
class NeedsLabels(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            raise ValueError("which class?")
        return super().forward(latents, labels)


@fails("makes_any_size")
class RoundsItsSize(Adversarial):
    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(latents, labels)[..., : self.image_size[-1] // 4 * 4]


@fails("grows_to_what_it_begins_as")
class BeginsSmall(Growing):
    share = 0.5


@fails("grows_to_what_it_begins_as")
class GrowsInSize(Growing):
    def forward(self, *inputs: Tensor) -> Tensor:
        images = super().forward(*inputs)
        return images if self.share == 1 else images[..., ::2, ::2]


@fails("can_be_copied")
class HoldsALock(Adversarial):
    def finish(self) -> None:
        self.lock = threading.Lock()


@fails("objective_is_known")
class PlaysAnotherGame(Adversarial):
    objective = "least squares"


@fails("critic_is_new_each_time")
class KeepsItsCritic(Adversarial):
    def finish(self) -> None:
        self.kept = [Critic(self.num_classes)]  # in a list, so that its weights are not the generator's

    def critic(self) -> nn.Module:
        return self.kept[0]


@fails("critic_gives_one_score_an_image")
class ScoresInAColumn(Adversarial):
    class critic_class(Critic):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().forward(images, labels)[:, None]


@fails("critic_gives_one_score_an_image")
class TellsOneClassTooFew(Adversarial):
    class critic_class(Critic):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
            scores = super().forward(images, labels)
            return scores, scores[:, None].expand(-1, self.num_classes - 1)


@fails("critic_leads_the_generator")
class KeepsItsGradient(Adversarial):
    class critic_class(Critic):
        def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().forward(images.detach(), labels)


@fails("critic_learns")
class HasAnIdleCritic(Adversarial):
    class critic_class(HasAnIdleParameter, Critic):
        def __init__(self, num_classes: int | None) -> None:
            super().__init__(num_classes)
            self.finish()


@fails("training_loss_is_a_finite_scalar")
class LosesByImage(SelfTrained):
    def training_loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return super().training_loss(images, labels).expand(len(images))
