"""The losses against slow, obvious numpy, and the identity behind the maximum-entropy loss."""

import itertools

import numpy as np
import pytest
import torch

from ganhash_cli.engine import losses
from ganhash_cli.engine.losses.csq import centres, csq, hadamard, target_bits
from ganhash_cli.engine.losses.entropy import ENTROPIES, random, shannon, uniform, weight_at
from ganhash_cli.engine.losses.triplet import triplet
from ganhash_cli.errors import UsageError


def logits(rows: int, bits: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, bits))).double()


def one_hot(*labels: int) -> torch.Tensor:
    return torch.from_numpy(np.array(labels)[:, None] == np.arange(max(labels) + 1))


def test_triplet_is_the_mean_over_the_violated_triplets():
    z, labels, margin = logits(7, 5), np.array([0, 0, 1, 1, 2, 2, 0]), 2.0
    codes = np.tanh(z.numpy() / 2)
    distance = ((codes[:, None] - codes[None]) ** 2).sum(2) / 4
    terms = [
        margin + distance[a, p] - distance[a, n]
        for a, p, n in itertools.product(range(7), repeat=3)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    violated = [term for term in terms if term > 0]
    assert float(triplet(z, one_hot(*labels), margin=margin)) == pytest.approx(sum(violated) / len(violated) / 5)


def test_triplet_is_zero_where_every_triplet_keeps_the_margin():
    z = torch.tensor([[20.0] * 8, [20.0] * 8, [-20.0] * 8, [-20.0] * 8])
    assert float(triplet(z, one_hot(0, 0, 1, 1), margin=1.0)) == 0.0


def test_triplet_takes_a_sixteenth_of_the_code_as_margin():
    z, labels = logits(6, 32), one_hot(0, 0, 1, 1, 2, 2)
    assert float(triplet(z, labels)) == float(triplet(z, labels, margin=2.0))


def test_images_that_share_one_of_several_labels_are_similar_to_the_triplet_loss():
    shared = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert float(triplet(logits(3, 8), shared, margin=1.0)) == float(
        triplet(logits(3, 8), one_hot(0, 0, 1), margin=1.0)
    )


def test_triplet_of_a_batch_without_positives_has_a_gradient_of_zero():
    z = logits(3, 4).requires_grad_()
    triplet(z, one_hot(0, 1, 2), margin=1.0).backward()
    assert z.grad is not None
    assert float(z.grad.abs().sum()) == 0.0


def test_csq_is_the_mean_cross_entropy_to_the_centres_and_a_quantisation_term():
    z = logits(5, 8)
    p, v = 1 / (1 + np.exp(-z.numpy())), np.tanh(z.numpy() / 2)
    target = centres(3, 8)[[0, 1, 2, 1, 0]]
    entropy = -np.mean([np.log(p[i, j] if target[i, j] else 1 - p[i, j]) for i in range(5) for j in range(8)])
    binary = np.mean(np.log(np.cosh(np.abs(v) - 1)))
    assert float(csq(z, one_hot(0, 1, 2, 1, 0), quantisation=0.5)) == pytest.approx(entropy + 0.5 * binary)


def test_csq_is_least_where_every_image_has_its_centre():
    labels = one_hot(0, 1, 2)
    right = 20.0 * (2 * target_bits(labels, 16).double() - 1)
    assert float(csq(right, labels)) < 1e-6 < float(csq(right.flip(0), labels))


def test_an_image_of_three_classes_has_the_majority_of_their_bits():
    votes = centres(3, 48).sum(0)
    assert np.array_equal(target_bits(torch.ones(1, 3, dtype=torch.bool), 48)[0].numpy(), votes >= 2)


def test_an_image_of_two_classes_has_the_bits_of_the_first_where_they_differ():
    assert np.array_equal(target_bits(torch.ones(1, 2, dtype=torch.bool), 48)[0].numpy(), centres(2, 48)[0])


def test_hadamard_rows_differ_in_half_of_the_bits():
    rows = hadamard(64)
    differing = (rows[:, None] != rows[None]).sum(2)
    assert set(differing[~np.eye(64, dtype=bool)]) == {32}


@pytest.mark.parametrize(("classes", "bits", "apart"), [(10, 48, 22), (10, 12, 6), (100, 48, 18), (10, 32, 16)])
def test_centres_are_far_apart(classes: int, bits: int, apart: int):
    rows = centres(classes, bits)
    differing = (rows[:, None] != rows[None]).sum(2)
    assert differing[~np.eye(classes, dtype=bool)].min() == apart


def test_centres_of_a_length_without_a_hadamard_matrix_are_balanced():
    assert set(centres(10, 48).sum(1)) == {24}


def test_a_loss_names_its_own_options_where_one_is_misspelt():
    with pytest.raises(UsageError, match="did you mean 'margin'"):
        losses.parse("triplet", {"margn": "3"})


def test_uniform_has_the_gradient_p_minus_one_half():
    z = logits(4, 6).requires_grad_()
    (uniform(z) * z.numel()).backward()
    torch.testing.assert_close(z.grad, torch.sigmoid(z.detach()) - 0.5)


def test_uniform_is_the_mean_cross_entropy_over_all_codings_of_the_fakes():
    z = logits(2, 3)
    p = torch.sigmoid(z).numpy()
    codings = [np.array(coding).reshape(2, 3) for coding in itertools.product([0, 1], repeat=6)]
    losses = [-(coding * np.log(p) + (1 - coding) * np.log(1 - p)).mean() for coding in codings]
    assert float(uniform(z)) == pytest.approx(np.mean(losses))


def test_shannon_is_the_negative_mean_entropy():
    p = torch.sigmoid(logits(4, 6)).numpy()
    assert float(shannon(logits(4, 6))) == pytest.approx((p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def test_random_bits_average_to_uniform():
    torch.manual_seed(0)
    z = logits(3, 4)
    assert np.mean([float(random(z)) for _ in range(4000)]) == pytest.approx(float(uniform(z)), rel=0.01)


@pytest.mark.parametrize("name", ENTROPIES)
def test_every_form_is_finite_for_sure_networks(name: str):
    z = torch.tensor([[-500.0, 500.0]], requires_grad=True)
    loss = ENTROPIES[name](z)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_the_weight_rises_holds_and_falls():
    weights = [weight_at(step, 100, 0.5, 0.2, 0.1) for step in range(100)]
    assert weights[0] == pytest.approx(0.025)
    assert weights[19:91] == pytest.approx([0.5] * 72)
    assert weights[99] == pytest.approx(0.05)
