"""How good fakes are: their Fréchet distance to real images, and what a classifier can learn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ganhash_cli.engine.seeds import derive

Features = NDArray[np.float32]
Labels = NDArray[np.int64]

MOST_COMPARED = 2000
"""Images of each kind in a Fréchet distance; its cost grows with their cube."""
NEIGHBOURS = 3
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Quality:
    """Figures of one pool; None where they mean nothing, as an accuracy without classes."""

    frechet_distance: float | None
    frechet_images: tuple[int, int]
    accuracy: float | None = None
    accuracy_ceiling: float | None = None
    accuracy_images: int = 0
    precision: float | None = None
    recall: float | None = None
    diversity: float | None = None


def frechet_distance(real: Features, fake: Features) -> float:
    """Return |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁C₂)^½) of (N, D) and (M, D) features (arXiv:1706.08500, eq. 6).

    The trace of the root is the nuclear norm of X₁X₂ᵀ / √((N-1)(M-1)) for the centred samples X: it needs
    no D x D matrix and no root of a matrix that has none.
    """
    first, second = real.astype(np.float64), fake.astype(np.float64)
    means = first.mean(axis=0), second.mean(axis=0)
    first, second = first - means[0], second - means[1]
    variances = np.sum(first**2) / (len(first) - 1) + np.sum(second**2) / (len(second) - 1)
    overlap = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    scale = np.sqrt((len(first) - 1) * (len(second) - 1))
    return float(np.sum((means[0] - means[1]) ** 2) + variances - 2 * overlap / scale)


def precision_and_recall(real: Features, fake: Features) -> tuple[float, float]:
    """Return the share of (M, D) fakes among real images, and that of (N, D) real images among fakes.

    An image is among others where it is no farther from one of them than that one's third nearest neighbour of its own
    kind (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2).
    """
    first, second = torch.from_numpy(real).double(), torch.from_numpy(fake).double()
    between = torch.cdist(first, second)
    reach = [torch.cdist(each, each).kthvalue(NEIGHBOURS + 1, dim=1).values for each in (first, second)]
    rounding = 1e-6 * between.max()  # of distances by products of matrices: that of two equal images is not quite 0
    among_real = (between <= reach[0][:, None] + rounding).any(0)
    among_fakes = (between <= reach[1][None] + rounding).any(1)
    return float(among_real.double().mean()), float(among_fakes.double().mean())


def diversity(real: Features, fake: Features) -> float | None:
    """Return the variance of (M, D) fakes as a share of that of (N, D) real images; None where these are all alike."""
    all_real = float(real.var(axis=0, dtype=np.float64).sum())
    return float(fake.var(axis=0, dtype=np.float64).sum()) / all_real if all_real else None


def measure(
    real: Features, real_labels: Labels | None, fake: Features, fake_labels: Labels | None, seed: int
) -> Quality:
    """Compare (N, D) features of real images and (M, D) of fakes; accuracies only where both have classes.

    `accuracy` is that of a classifier trained on the fakes, on the real images; its ceiling is that of one
    trained on half of the real images, on the other half.
    """
    some = real[_some(len(real), MOST_COMPARED, seed)], fake[_some(len(fake), MOST_COMPARED, seed)]
    sizes = len(some[0]), len(some[1])
    distance = frechet_distance(*some) if min(sizes) > 1 else None
    precision, recall = precision_and_recall(*some) if min(sizes) > NEIGHBOURS else (None, None)
    spread = diversity(*some) if min(sizes) > 1 else None
    if real_labels is None or fake_labels is None or len(np.unique(real_labels)) < 2 or len(real) < 4:
        return Quality(distance, sizes, precision=precision, recall=recall, diversity=spread)
    classes = int(max(real_labels.max(), fake_labels.max())) + 1
    (real, fake), order = _standardised(real, fake), _some(len(real), len(real), seed)
    half, rest = order[::2], order[1::2]
    return Quality(
        distance,
        sizes,
        accuracy=_accuracy(Classifier.fit(fake, fake_labels, classes), real, real_labels),
        accuracy_ceiling=_accuracy(
            Classifier.fit(real[half], real_labels[half], classes), real[rest], real_labels[rest]
        ),
        accuracy_images=len(real),
        precision=precision,
        recall=recall,
        diversity=spread,
    )


def taught(real: Features, real_labels: Labels, fake: Features) -> tuple[Labels, NDArray[np.float32]]:
    """Return for each fake the class that a classifier trained on real images takes it for, and its probability."""
    real, fake = _standardised(real, fake)
    chances = Classifier.fit(real, real_labels, int(real_labels.max()) + 1).probabilities(fake)
    return chances.argmax(axis=1), chances.max(axis=1)


@dataclass(frozen=True)
class Classifier:
    """Multinomial logistic regression: (D, C) weights and (C,) biases."""

    weights: torch.Tensor
    biases: torch.Tensor

    @classmethod
    def fit(cls, features: Features, labels: Labels, classes: int) -> Classifier:
        """Fit standardised (N, D) features and (N,) labels by L-BFGS with an L2 penalty."""
        inputs, targets = torch.from_numpy(features), torch.from_numpy(labels)
        weights = torch.zeros(features.shape[1], classes, requires_grad=True)
        biases = torch.zeros(classes, requires_grad=True)
        optimiser = torch.optim.LBFGS([weights, biases], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = F.cross_entropy(inputs @ weights + biases, targets) + _WEIGHT_DECAY * weights.square().sum()
            torch.autograd.backward(value)
            return value

        optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch leaves LBFGS untyped
        return cls(weights.detach(), biases.detach())

    def probabilities(self, features: Features) -> NDArray[np.float32]:
        """Return the (N, C) probabilities of each class."""
        chances: NDArray[np.float32] = torch.softmax(
            torch.from_numpy(features) @ self.weights + self.biases, dim=1
        ).numpy()
        return chances


def _accuracy(classifier: Classifier, features: Features, labels: Labels) -> float:
    return float((classifier.probabilities(features).argmax(axis=1) == labels).mean())


def _standardised(real: Features, fake: Features) -> tuple[Features, Features]:
    """Bring each feature of the real images to mean 0 and deviation 1, and the fakes' by the same rule."""
    mean, deviation = real.mean(axis=0), np.maximum(real.std(axis=0), 1e-6)
    return (real - mean) / deviation, (fake - mean) / deviation


def _some(count: int, most: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(derive(seed, "compared")).permutation(count)[:most]
