"""Images and fakes → a trained hashing network: the optimisation loop; resumes to the same weights.

Every step seeds itself from the run's seed and its number, so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganhash_cli.engine import bits, devices, epochs, losses, metrics, ranks, sampling, stability, training_state
from ganhash_cli.engine.ambiguous import CONTROLS
from ganhash_cli.engine.augment import augment
from ganhash_cli.engine.bundle import CHECKPOINTS
from ganhash_cli.engine.losses.entropy import ENTROPIES, share_at
from ganhash_cli.engine.model import HashNet, logits_of, to_tensor, untracked
from ganhash_cli.engine.progress import Progress, Rate, Work
from ganhash_cli.engine.rows import Images
from ganhash_cli.engine.sampling import TrainingData
from ganhash_cli.engine.seeds import derive
from ganhash_cli.engine.train_settings import TrainSettings
from ganhash_cli.engine.training_state import TrainingState
from ganhash_cli.errors import Interrupted, UsageError

CHECKPOINT_SECONDS = 30.0
VALIDATION_DATABASE = 500  # training images, or up to twice as many, that a validation query is compared with
REMEMBERED = 4096  # at most, of the images seen last, whose logits a loss on pairs is told beside those of its batch
CENTRES_MOVE = 0.1  # of the way to the mean of a batch, which holds about four images of a class

Pixels = NDArray[np.uint8]


def fit(
    network: HashNet, data: TrainingData, settings: TrainSettings, device: torch.device, folder: Path
) -> Work[float | None]:
    """Train `network`, saving to `folder` as it goes, and leave it with the weights of its best epoch.

    Checkpoints and metrics.jsonl lie in its checkpoints/; what is there is of this very run, and it goes on from
    there. Returns the validation mAP@all of the best epoch, None where nothing was held out.
    """
    images = len(sampling.draw(data.labels, settings.batch, settings.seed, 0))
    ranks.require_shares(images, "images")
    if data.fakes or settings.entropy_on in CONTROLS:
        ranks.require_shares(settings.fakes_in_a_step, "fakes")
    if data.fakes and len(data.fakes.realistic):
        ranks.require_shares(len(_drawn(data.fakes, settings, 0)), "labelled fakes")
    per_epoch = math.ceil(len(data.training) / settings.batch)
    steps = settings.epochs * per_epoch
    state = training_state.start(network, data.labels.shape[1], settings, steps, device)
    training_state.resume(state, folder)
    saved, rate = time.monotonic(), Rate()
    try:
        while state.step < steps:
            with _statistics_kept(network):
                figures = _step(state, data, settings, steps, device)
            state.step += 1
            state.losses.append(dict(figures))
            if state.step % per_epoch == 0:
                _judge(state, data, state.step // per_epoch, device)
                _note(state, folder)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                training_state.save(state, folder)
                saved = time.monotonic()
            if state.history and (score := state.history[-1]["validation_map"]) is not None:
                figures["mAP"] = score
            figures["images/s"] = rate.after(images)
            name = f"training {settings.backbone.name}"
            yield from ranks.together(Progress(name, state.step, steps, figures, "steps"))
    except (Interrupted, UsageError):
        training_state.save(state, folder)
        raise
    training_state.save(state, folder)
    _note(state, folder)
    network.load_state_dict(state.best)
    return None if math.isinf(state.best_score) else state.best_score


def _note(state: TrainingState, folder: Path) -> None:
    if ranks.first():
        epochs.write(state.history, folder / CHECKPOINTS)


@contextmanager
def _statistics_kept(network: HashNet) -> Iterator[None]:
    """Take back what the forward pass of a step did to the running statistics where that step is not taken."""
    kept = [each.clone() for each in network.buffers()]
    try:
        yield
    except UsageError:
        for before, each in zip(kept, network.buffers(), strict=True):
            each.copy_(before)
        raise


def _step(
    state: TrainingState, data: TrainingData, settings: TrainSettings, steps: int, device: torch.device
) -> dict[str, float]:
    """Take one optimiser step and return its losses by name."""
    torch.manual_seed(derive(settings.seed, "train", state.step))
    draw = sampling.draw_triplets if settings.loss in losses.OF_TRIPLETS else sampling.draw
    chosen = draw(data.labels, settings.batch, settings.seed, state.step)
    real, logits = _real(state, data.training[chosen], settings, device)
    labels = torch.from_numpy(data.labels[chosen]).to(device)
    known: dict[str, Any] = {
        "logits": logits,
        "labels": labels,
        "progress": state.step / steps,
        "classifier": state.classifier,
    }
    if "second" in losses.asks(settings.loss):
        _, known["second"] = _real(state, data.training[chosen], settings, device)
    if state.seen:
        most = min(REMEMBERED, len(data.training))
        known["seen"] = _remembered(state.seen, logits, labels, most)
    terms = [(settings.loss, 1.0, losses.call(settings.loss, known, settings.loss_options))]
    share = share_at(state.step, steps, settings.entropy_warm_up, settings.entropy_anneal)
    if (images := _ambiguous(data, settings, state.step)) is not None:
        value = _entropy(state, *images, real, settings, device)
        terms.append(("entropy", share * settings.entropy_weight, value))
    if data.fakes is not None and len(data.fakes.realistic):
        value = _labelled(state, known, data.fakes, real, settings, device)
        terms.append(("fakes", share * settings.label_weight, value))
    figures = {name: float(value.detach()) for name, _, value in terms}
    state.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(torch.stack([weight * value for _, weight, value in terms]).sum())
    ranks.average_gradients(state.optimiser)
    stability.require_finite(state.optimiser, figures, "training", state.step, "the state before that step is saved")
    _note_centres(state, logits, labels)
    state.seen = known.get("seen")
    ranks.average_statistics(state.network)
    state.optimiser.step()
    state.schedule.step()
    return figures


def _real(state: TrainingState, images: Pixels, settings: TrainSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the projections and the logits, float32, of real images, (N, S, S, 3) bytes, each varied in its own way.

    Each process computes its part.
    """
    own = images[ranks.part(len(images))]
    with ranks.apart(), devices.autocast(device, settings.precision):
        projections = state.network.project(augment(to_tensor(own, device), settings.augment))
        logits: Tensor = state.network.norm(projections)
    return ranks.gather(projections.float(), len(images)), ranks.gather(logits.float(), len(images))


def _beside(
    state: TrainingState, images: Pixels, real: Tensor, settings: TrainSettings, device: torch.device
) -> Tensor:
    """Return the float32 logits of fakes, (N, S, S, 3) bytes, as `_real` does, beside the projections of real ones."""
    own = images[ranks.part(len(images))]
    with ranks.apart(), devices.autocast(device, settings.precision), untracked(state.network):
        projections = state.network.project(augment(to_tensor(own, device), settings.augment))
    return state.network.beside(ranks.gather(projections.float(), len(images)), real)


def _remembered(seen: tuple[Tensor, Tensor], logits: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the logits and labels of `most` images that were seen last, those of this step behind them."""
    before, known = seen
    return torch.cat([before, logits.detach()])[-most:], torch.cat([known, labels])[-most:]


def _note_centres(state: TrainingState, logits: Tensor, labels: Tensor) -> None:
    """Move the centres of the classes that this step saw towards the mean logits of their few images in it."""
    seen = labels.any(0)
    sums = labels.float().T @ logits.detach()
    state.centres[seen] = torch.lerp(state.centres[seen], sums[seen] / labels.sum(0)[seen, None], CENTRES_MOVE)


def _ambiguous(
    data: TrainingData, settings: TrainSettings, step: int
) -> tuple[Pixels, NDArray[np.int64] | None] | None:
    """Draw the images of a step that the network shall be undecided about; None where there are none.

    With fakes come the classes, (N, 2), on whose boundary each lies, or -1.
    """
    if not settings.entropy_weight:
        return None
    rng = np.random.default_rng(derive(settings.seed, "fakes", step))
    if settings.entropy_on in CONTROLS:
        return CONTROLS[settings.entropy_on](data.training, data.labels, settings.fakes_in_a_step, rng), None
    if data.fakes is None or not len(data.fakes.ambiguous):
        return None
    chosen = rng.integers(0, len(data.fakes.ambiguous), settings.fakes_in_a_step)
    return data.fakes.ambiguous[chosen], data.fakes.between[chosen]


def _entropy(
    state: TrainingState,
    images: Pixels,
    between: NDArray[np.int64] | None,
    real: Tensor,
    settings: TrainSettings,
    device: torch.device,
) -> Tensor:
    """Return the maximum-entropy loss of a batch.

    On the boundary of two classes it is computed on the bits in which their centres differ: of the others the network
    may be sure.
    """
    logits = _beside(state, images, real, settings, device)
    if between is None or (between < 0).all():
        return ENTROPIES[settings.entropy](logits)
    pairs = torch.from_numpy(between).to(device)
    sides = state.centres[pairs.clamp(min=0)] >= 0
    open_bits = (sides[:, 0] != sides[:, 1]) | (pairs[:, :1] < 0)
    return ENTROPIES[settings.entropy](logits[open_bits]) if open_bits.any() else 0 * logits.sum()


def _labelled(
    state: TrainingState,
    known: dict[str, Any],
    fakes: sampling.Fakes,
    real: Tensor,
    settings: TrainSettings,
    device: torch.device,
) -> Tensor:
    """Return the loss of realistic fakes, equally many of several classes, among this step's real images.

    Codes of real images are constants here, for the network as for a classifier: they have a loss of their own. They
    are felt only through the statistics by which the head normalises the fakes.
    """
    chosen = _drawn(fakes, settings, state.step)
    logits = _beside(state, fakes.realistic[chosen], real, settings, device)
    labels = torch.from_numpy(fakes.labels[chosen]).to(device)
    both = {"logits": torch.cat([known["logits"].detach(), logits]), "labels": torch.cat([known["labels"], labels])}

    def classifier(codes: Tensor) -> Tensor:
        scores: Tensor = known["classifier"](codes)
        return torch.cat([scores[: len(real)].detach(), scores[len(real) :]])

    return losses.call(settings.loss, {**known, **both, "classifier": classifier}, settings.loss_options)


def _drawn(fakes: sampling.Fakes, settings: TrainSettings, step: int) -> NDArray[np.int64]:
    """Draw the rows of the labelled fakes of a step: as many as there can be equally many of each class."""
    return sampling.draw(fakes.labels, settings.fakes_in_a_step, derive(settings.seed, "labelled fakes"), step)


def _judge(state: TrainingState, data: TrainingData, epoch: int, device: torch.device) -> None:
    """Note mean losses and validation mAP of an epoch; keep the best weights, without validation the last."""
    score = validation_map(state.network, data, device)
    means = {name: math.fsum(step[name] for step in state.losses) / len(state.losses) for name in state.losses[0]}
    state.losses.clear()
    state.history.append({"epoch": epoch, **means, "validation_map": None if math.isnan(score) else score})
    if math.isnan(score) or score >= state.best_score:
        state.best_score = score if not math.isnan(score) else state.best_score
        state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}


def validation_map(network: HashNet, data: TrainingData, device: torch.device) -> float:
    """Return tie-aware mAP@all of the validation images against an even share of the training images."""
    if not len(data.validation):
        return math.nan
    every = max(1, len(data.training) // VALIDATION_DATABASE)
    queries = bits.pack(_shared_logits(network, data.validation, device))
    database = bits.pack(_shared_logits(network, data.training[::every], device))
    relevant = metrics.relevance(data.validation_labels, data.labels[::every])
    return metrics.mean_average_precision(queries, database, relevant)


def _shared_logits(network: HashNet, pixels: Images, device: torch.device) -> NDArray[np.float32]:
    """Return the (N, bits) logits of images in evaluation mode; each process computes its part."""
    own = logits_of(network, pixels[ranks.part(len(pixels))], device)
    return ranks.gather(torch.from_numpy(own), len(pixels)).numpy()
