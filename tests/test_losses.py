"""The losses against slow, obvious numpy, and the identity behind the maximum-entropy loss."""

import itertools

import numpy as np
import pytest
import torch

from ganhash_cli.engine.losses.entropy import ENTROPIES, random, shannon, uniform, weight_at
from ganhash_cli.engine.losses.triplet import triplet


def logits(rows: int, bits: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, bits))).double()


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
    similar = torch.from_numpy(labels[:, None] == labels[None])
    assert float(triplet(z, similar, margin=margin)) == pytest.approx(sum(violated) / len(violated) / 5)


def test_triplet_is_zero_where_every_triplet_keeps_the_margin():
    z = torch.tensor([[20.0] * 8, [20.0] * 8, [-20.0] * 8, [-20.0] * 8])
    same = torch.tensor([0, 0, 1, 1])
    assert float(triplet(z, same[:, None] == same[None], margin=1.0)) == 0.0


def test_triplet_of_a_batch_without_positives_has_a_gradient_of_zero():
    z = logits(3, 4).requires_grad_()
    triplet(z, torch.eye(3, dtype=torch.bool), margin=1.0).backward()
    assert z.grad is not None
    assert float(z.grad.abs().sum()) == 0.0


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
