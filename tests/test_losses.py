"""The losses against slow, obvious numpy, and the identity behind the maximum-entropy loss."""

import itertools
import math
import time

import numpy as np
import pytest
import torch

from ganhash_cli.engine import losses
from ganhash_cli.engine.losses.contrastive import contrastive
from ganhash_cli.engine.losses.csq import csq
from ganhash_cli.engine.losses.dpn import dpn
from ganhash_cli.engine.losses.dpsh import dpsh
from ganhash_cli.engine.losses.dsh import dsh
from ganhash_cli.engine.losses.dtsh import dtsh
from ganhash_cli.engine.losses.entropy import ENTROPIES, random, shannon, share_at, uniform
from ganhash_cli.engine.losses.greedyhash import greedyhash
from ganhash_cli.engine.losses.hashnet import hashnet
from ganhash_cli.engine.losses.orthohash import orthohash
from ganhash_cli.engine.losses.relaxation import straight_through
from ganhash_cli.engine.losses.targets import centres, hadamard, target_bits
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


def test_semi_hard_triplets_have_a_negative_beyond_the_positive_and_within_the_margin():
    z, labels, margin = logits(9, 5), np.array([0, 0, 1, 1, 2, 2, 0, 1, 2]), 2.0
    codes = np.tanh(z.numpy() / 2)
    distance = ((codes[:, None] - codes[None]) ** 2).sum(2) / 4
    terms = [
        margin + distance[a, p] - distance[a, n]
        for a, p, n in itertools.product(range(9), repeat=3)
        if a != p and labels[a] == labels[p] != labels[n] and 0 < distance[a, n] - distance[a, p] < margin
    ]
    found = float(triplet(z, one_hot(*labels), margin=margin, semi_hard=True))
    assert found == pytest.approx(sum(terms) / len(terms) / 5)


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


def test_an_image_of_two_classes_lies_between_their_centres_and_not_on_one():
    pairs = torch.tensor([[a in pair for a in range(6)] for pair in itertools.combinations(range(6), 2)])
    targets, rows = target_bits(pairs, 48).numpy(), centres(6, 48)
    assert len({tuple(target) for target in targets}) == 15
    for pair, target in zip(itertools.combinations(range(6), 2), targets, strict=True):
        first, second = rows[list(pair)]
        assert np.array_equal(target[first == second], first[first == second])
        assert min((target != first).sum(), (target != second).sum()) >= 4
    assert np.array_equal(target_bits(pairs, 48).numpy(), targets)


def test_hadamard_rows_differ_in_half_of_the_bits():
    rows = hadamard(64)
    differing = (rows[:, None] != rows[None]).sum(2)
    assert set(differing[~np.eye(64, dtype=bool)]) == {32}


@pytest.mark.parametrize("bits", [16, 32, 64, 128])
def test_no_bit_of_ten_centres_is_the_same_in_all_or_repeats_another(bits: int):
    columns = centres(10, bits).T
    assert len({tuple(column) for column in columns}) == bits
    assert not (columns.all(1) | ~columns.any(1)).any()


def test_centres_are_all_rows_of_the_matrix_and_of_its_negative_where_there_are_so_many_classes():
    rows = hadamard(16)
    assert {tuple(row) for row in centres(32, 16)} == {tuple(row) for row in [*rows, *~rows]}


@pytest.mark.parametrize(("classes", "bits", "apart"), [(10, 48, 22), (10, 12, 6), (100, 48, 18), (10, 32, 16)])
def test_centres_are_far_apart(classes: int, bits: int, apart: int):
    rows = centres(classes, bits)
    differing = (rows[:, None] != rows[None]).sum(2)
    assert differing[~np.eye(classes, dtype=bool)].min() == apart


def test_centres_of_a_length_without_a_hadamard_matrix_are_balanced():
    assert set(centres(10, 48).sum(1)) == {24}


PAIRED = np.array([0, 1, 0, 2, 1, 0])  # the classes of six images


def alike() -> np.ndarray:
    return PAIRED[:, None] == PAIRED[None]


def test_dpsh_is_the_unlikelihood_of_the_pairs_with_what_was_seen_and_a_quantisation_term():
    z, labels = logits(6, 5), one_hot(*PAIRED)
    u = z.numpy()
    theta = u[:2] @ u.T / 2
    unlikely = [np.log1p(np.exp(theta[i, j])) - alike()[i, j] * theta[i, j] for i in range(2) for j in range(6)]
    wanted = np.mean(unlikely) + 0.3 * np.mean((u[:2] - np.sign(u[:2])) ** 2)
    assert float(dpsh(z[:2], labels[:2], (z, labels), quantisation=0.3)) == pytest.approx(wanted)


def test_dtsh_is_the_unlikelihood_of_the_triplets_and_a_quantisation_term():
    z = logits(6, 4)
    u = z.numpy()
    theta = u @ u.T / 2
    unlikely = [
        np.log1p(np.exp(theta[a, n] - theta[a, p] + 1.5))
        for a, p, n in itertools.product(range(6), repeat=3)
        if a != p and alike()[a, p] and not alike()[a, n]
    ]
    wanted = np.mean(unlikely) + 0.3 * np.mean((u - np.sign(u)) ** 2)
    assert float(dtsh(z, one_hot(*PAIRED), margin=1.5, quantisation=0.3)) == pytest.approx(wanted)
    assert float(dtsh(z, one_hot(*PAIRED))) == float(dtsh(z, one_hot(*PAIRED), margin=2.0))


def test_dtsh_of_a_batch_without_triplets_is_its_quantisation_term():
    z = logits(3, 4)
    assert float(dtsh(z, one_hot(0, 1, 2), quantisation=0.0)) == 0.0


@pytest.mark.parametrize(("progress", "sharpness"), [(0.0, 1.0), (0.5, 5.5), (1.0, 10.0)])
def test_hashnet_weighs_similar_and_dissimilar_pairs_by_what_the_other_group_outnumbers_them(
    progress: float, sharpness: float
):
    z = logits(6, 5)
    g = np.tanh(sharpness * z.numpy())
    theta, s = 0.2 * g @ g.T, alike()
    weight = np.where(s, 36 / s.sum(), 36 / (~s).sum())
    wanted = np.mean(weight * (np.log1p(np.exp(theta)) - s * theta))
    assert float(hashnet(z, one_hot(*PAIRED), progress, alpha=0.2)) == pytest.approx(wanted)


def test_hashnet_weighs_a_similar_pair_by_the_share_of_their_labels_that_both_have():
    z, labels = logits(4, 5), torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]]).bool()
    g, y = np.tanh(z.numpy()), labels.int().numpy()
    terms = []
    for i, j in itertools.product(range(4), repeat=2):
        theta, both, either = 0.1 * g[i] @ g[j], (y[i] & y[j]).sum(), (y[i] | y[j]).sum()
        share = both / either if both else 1.0
        terms.append((both > 0, share * (np.log1p(np.exp(theta)) - (both > 0) * theta)))
    similar = [term for alike, term in terms if alike]
    others = [term for alike, term in terms if not alike]
    assert (len(similar), len(others)) == (10, 6)
    wanted = sum(similar) / 10 + sum(others) / 6
    assert float(hashnet(z, labels, 0.0)) == pytest.approx(wanted)


def test_hashnet_takes_a_batch_of_one_class():
    assert np.isfinite(float(hashnet(logits(3, 4), one_hot(0, 0, 0), 0.0)))


def test_dsh_draws_similar_pairs_together_and_dissimilar_ones_apart_to_a_margin():
    z = logits(6, 5)
    u = z.numpy()
    terms = []
    for i, j in itertools.product(range(6), repeat=2):
        distance = ((u[i] - u[j]) ** 2).sum()
        binary = np.abs(np.abs(u[i]) - 1).sum() + np.abs(np.abs(u[j]) - 1).sum()
        terms.append((distance / 2 if alike()[i, j] else max(0, 7 - distance) / 2) + 0.3 * binary)
    assert float(dsh(z, one_hot(*PAIRED), margin=7.0, regulariser=0.3)) == pytest.approx(np.mean(terms))
    assert float(dsh(z, one_hot(*PAIRED))) == float(dsh(z, one_hot(*PAIRED), margin=10.0))


def softmax_cross_entropy(scores: np.ndarray, shares: np.ndarray) -> float:
    exponentials = np.exp(scores)
    return float(-(shares * np.log(exponentials / exponentials.sum(1, keepdims=True))).sum(1).mean())


def test_greedyhash_classifies_the_bits_and_pulls_logits_to_them():
    z, weights = logits(6, 5), np.random.default_rng(1).normal(size=(5, 3))
    bits = np.where(z.numpy() >= 0, 1.0, -1.0)
    wanted = softmax_cross_entropy(bits @ weights, np.eye(3)[PAIRED]) + 0.3 * (np.abs(z.numpy() - bits) ** 3).mean()
    found = greedyhash(z, one_hot(*PAIRED), lambda codes: codes @ torch.from_numpy(weights), penalty=0.3)
    assert float(found) == pytest.approx(wanted)


def test_bits_pass_their_gradient_straight_through():
    z = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    bits = straight_through(z)
    (bits * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert bits.tolist() == [-1.0, 1.0, 1.0]
    assert z.grad.tolist() == [1.0, 2.0, 3.0]


def test_orthohash_is_the_cross_entropy_of_cosines_with_a_margin():
    z = logits(6, 8)
    rows = 2.0 * centres(3, 8) - 1
    cosines = (z.numpy() @ rows.T) / np.linalg.norm(z.numpy(), axis=1, keepdims=True) / np.sqrt(8)
    wanted = softmax_cross_entropy(5 * (cosines - 0.3 * np.eye(3)[PAIRED]), np.eye(3)[PAIRED])
    assert float(orthohash(z, one_hot(*PAIRED), margin=0.3, scale=5.0)) == pytest.approx(wanted)


def test_dpn_asks_every_logit_to_stand_beyond_a_margin_on_its_side():
    z = logits(6, 8)
    target = 2.0 * centres(3, 8)[PAIRED] - 1
    assert float(dpn(z, one_hot(*PAIRED), margin=0.7)) == pytest.approx(np.maximum(0, 0.7 - z.numpy() * target).mean())


@pytest.mark.parametrize("name", ["greedyhash", "orthohash"])
def test_an_image_of_two_classes_belongs_half_to_each(name: str):
    z = logits(1, 8)
    classifier = torch.nn.Linear(8, 3).double().requires_grad_(False)
    facts = [classifier] if name == "greedyhash" else []
    options = {"penalty": 0.0} if name == "greedyhash" else {"margin": 0.0}
    loss = losses.LOSSES[name]
    both = torch.tensor([[True, True, False]])
    alone = [float(loss(z, both & torch.eye(3, dtype=torch.bool)[row], *facts, **options)) for row in (0, 1)]
    assert float(loss(z, both, *facts, **options)) == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("name", [name for name in losses.LOSSES if "labels" in losses.asks(name)])
def test_every_loss_brings_similar_codes_together(name: str):
    torch.manual_seed(0)
    z = (0.5 * torch.randn(12, 16)).requires_grad_()
    labels = one_hot(*[0, 1, 2] * 4)
    classifier = torch.nn.Linear(16, 3, bias=False)
    known = {"logits": z, "labels": labels, "progress": 0.5, "classifier": classifier, "seen": (z.detach(), labels)}
    optimiser = torch.optim.Adam([z, *classifier.parameters()], 0.1)
    for _ in range(100):
        optimiser.zero_grad()
        losses.call(name, known, {}).backward()
        optimiser.step()
    bits = (z.detach() >= 0).int()
    distance = (bits[:, None] != bits[None]).sum(2)
    same = labels.float() @ labels.float().T > 0
    assert float(distance[same].float().mean()) + 4 < float(distance[~same].float().mean())


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_takes_several_labels_and_sure_networks(name: str):
    z = torch.tensor([[40.0] * 8, [-40.0] * 8, [0.0] * 8, [40.0] * 8], requires_grad=True)
    labels = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], dtype=torch.bool)
    classifier = torch.nn.Linear(8, 3, bias=False)
    known = {"logits": z, "second": z.flip(0), "labels": labels, "progress": 1.0, "classifier": classifier}
    known["seen"] = (z, labels)
    loss = losses.call(name, known, {})
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_contrastive_tells_the_other_view_of_an_image_from_the_views_of_others():
    first, second = logits(4, 6), logits(4, 6, seed=1)
    z = np.concatenate([first.numpy(), second.numpy()])
    codes = np.where(z >= 0, 1.0, -1.0) / np.sqrt(6)
    scores = np.exp(codes @ codes.T / 0.5)
    told = [-np.log(scores[i, (i + 4) % 8] / (scores[i].sum() - scores[i, i])) for i in range(8)]
    p, q = (1 / (1 + np.exp(-each.numpy())) for each in (first, second))
    apart = [
        sum(
            a[i, j] * np.log(a[i, j] / b[i, j]) + (1 - a[i, j]) * np.log((1 - a[i, j]) / (1 - b[i, j]))
            for j in range(6)
        )
        for a, b in ((p, q), (q, p))
        for i in range(4)
    ]
    wanted = np.mean(told) + 0.3 * np.mean(apart)
    assert float(contrastive(first, second, temperature=0.5, bottleneck=0.3)) == pytest.approx(wanted)


def test_csq_smooths_its_targets():
    z, labels = logits(6, 8), one_hot(*PAIRED)
    p, y = 1 / (1 + np.exp(-z.numpy())), 0.8 * centres(3, 8)[PAIRED] + 0.1
    wanted = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert float(csq(z, labels, quantisation=0.0, smoothing=0.2)) == pytest.approx(wanted)


def test_bernoulli_centres_are_drawn_where_a_hadamard_matrix_has_room():
    assert not np.array_equal(centres(4, 16, bernoulli=True), centres(4, 16))
    assert set(centres(4, 16, bernoulli=True).sum(1)) == {8}


def test_more_classes_than_centres_are_refused():
    with pytest.raises(UsageError, match="3 bits have room for 3 hash centres, not for 4"):
        losses.require_usable("csq", {}, classes=4, bits=3)


def test_a_value_that_a_loss_cannot_take_is_refused():
    with pytest.raises(UsageError, match="smoothing=2 is not a share"):
        losses.require_usable("csq", {"smoothing": 2.0}, classes=4, bits=8)


def test_the_room_that_a_refusal_tells_of_is_there():
    with pytest.raises(UsageError, match="4 bits have room for 8 hash centres, not for 9"):
        losses.require_usable("csq", {}, classes=9, bits=4)
    losses.require_usable("csq", {}, classes=8, bits=4)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("orthohash", "scale", -8.0),
        ("contrastive", "temperature", -1.0),
        ("csq", "quantisation", -1000.0),
        ("greedyhash", "penalty", -10.0),
        ("dpn", "margin", float("nan")),
        ("hashnet", "sharpest", float("inf")),
    ],
)
def test_a_number_that_would_reverse_a_loss_is_refused_with_its_name(name: str, option: str, value: float):
    with pytest.raises(UsageError, match=f"--loss {name}: {option}=.* must be a number from 0"):
        losses.require_usable(name, {option: value}, classes=3, bits=8)


def test_a_number_that_leaves_no_loss_is_refused_with_its_name():
    with pytest.raises(UsageError, match=r"--loss contrastive with temperature=0\.0 gives nan"):
        losses.require_usable("contrastive", {"temperature": 0.0}, classes=3, bits=8)


@pytest.mark.parametrize(("name", "option"), [("hashnet", "alpha"), ("hashnet", "sharpest"), ("orthohash", "scale")])
def test_an_option_that_leaves_no_gradient_is_refused_with_its_name(name: str, option: str):
    with pytest.raises(UsageError, match=rf"--loss {name} with .*{option}=0\.0.* teaches nothing: its gradient is 0"):
        losses.require_usable(name, losses.parse(name, {option: "0"}), classes=3, bits=8)


@pytest.mark.parametrize("bits", [2, 12, 48])
@pytest.mark.parametrize("classes", [0, 1, 2, 3])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_is_usable_with_its_defaults(name: str, classes: int, bits: int):
    if name in ("csq", "dpn", "orthohash") and classes > math.comb(bits, bits // 2):
        pytest.skip("more classes than centres")
    losses.require_usable(name, losses.parse(name, {}), classes, bits)


def test_centres_of_many_classes_take_seconds_and_are_still_far_apart():
    began = time.perf_counter()
    rows = centres(1000, 48)
    assert time.perf_counter() - began < 20
    some = rows[::10]
    differing = (some[:, None] != some[None]).sum(2)
    assert differing[~np.eye(len(some), dtype=bool)].min() >= 12


def test_as_many_classes_as_centres_find_one_each():
    assert len({tuple(row) for row in centres(20, 6)}) == 20


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
    weights = [0.5 * share_at(step, 100, 0.2, 0.1) for step in range(100)]
    assert weights[0] == pytest.approx(0.025)
    assert weights[19:91] == pytest.approx([0.5] * 72)
    assert weights[99] == pytest.approx(0.05)
