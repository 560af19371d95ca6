"""Composed losses as modules against torch's, and what the lectures say about losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

RNG = np.random.default_rng(0)
X, Y, Z = (RNG.standard_normal((6, 5)).astype(np.float32) for _ in range(3))
SIGNS = np.array([1, -1, 1, 1, -1, 1], np.float32)
LABELS = np.array([0, 3, 4, 1, 1, 2])
P = np.exp(Y) / np.exp(Y).sum(1, keepdims=True)
BITS = (Y > 0).astype(np.float32)
WEIGHT = np.linspace(0.5, 2.0, 5, dtype=np.float32)

CASES: list[tuple[str, dict[str, Any], tuple[np.ndarray, ...]]] = [
    ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": WEIGHT}, (X, LABELS)),
    ("MultiLabelMarginLoss", {"reduction": "none"}, (X, np.tile([3, 0, -1, 1, 4], (6, 1)))),
    ("MultiLabelMarginLoss", {}, (X[0], np.array([1, 4, 2, -1, -1]))),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (X, np.where(BITS > 0, 1.0, -1.0).astype(np.float32))),
    ("MarginRankingLoss", {"margin": 0.2}, (X[:, 0], Y[:, 0], SIGNS)),
    ("PairwiseDistance", {"p": 1.0, "keepdim": True}, (X, Y)),
    ("CosineSimilarity", {"dim": 0}, (X, Y)),
    ("TripletMarginLoss", {"margin": 0.3, "swap": True}, (X, Y, Z)),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (X, Y, SIGNS)),
    ("KLDivLoss", {"reduction": "batchmean"}, (np.log(P[::-1]).copy(), P)),
    ("GaussianNLLLoss", {"full": True}, (X, Y, np.exp(Z))),
    ("PoissonNLLLoss", {"full": True}, (X, np.abs(3 * Y).round())),
    ("SoftMarginLoss", {}, (X, np.where(BITS > 0, 1.0, -1.0).astype(np.float32))),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT}, (X, BITS)),
]


@pytest.mark.parametrize(("name", "options", "arrays"), CASES, ids=[case[0] for case in CASES])
def test_modules_equal_torchs(name: str, options: dict[str, Any], arrays: tuple[np.ndarray, ...], torch: Any) -> None:
    def convert(value: Any, make: Any) -> Any:
        return make(value) if isinstance(value, np.ndarray) else value

    ours = getattr(nn, name)(**{k: convert(v, fc.tensor) for k, v in options.items()})
    peer = getattr(torch.nn, name)(**{k: convert(v, torch.from_numpy) for k, v in options.items()})
    expected = peer(*(torch.from_numpy(a) for a in arrays)).numpy()
    np.testing.assert_allclose(ours(*map(fc.tensor, arrays)).numpy(), expected, rtol=2e-5, atol=1e-6)


def test_own_modules_call_their_functions() -> None:
    masks = fc.tensor(BITS.reshape(2, 3, 5))
    pairs = [
        (nn.MulticlassHingeLoss(0.5)(fc.tensor(X), fc.tensor(LABELS)),
         F.multiclass_hinge_loss(fc.tensor(X), fc.tensor(LABELS), 0.5)),
        (nn.FocalLoss(gamma=1.0)(fc.tensor(X), fc.tensor(BITS)),
         F.sigmoid_focal_loss(fc.tensor(X), fc.tensor(BITS), gamma=1.0, reduction="mean")),
        (nn.DiceLoss(0.5)(masks, masks), F.dice_loss(masks, masks, 0.5)),
        (nn.SumSquareLoss("sum")(fc.tensor(X), fc.tensor(Y)), F.sum_square_loss(fc.tensor(X), fc.tensor(Y), "sum")),
        (nn.HalfSquareLoss()(fc.tensor(X), fc.tensor(Y)), F.half_square_loss(fc.tensor(X), fc.tensor(Y))),
    ]  # fmt: skip
    for ours, expected in pairs:
        assert ours.item() == expected.item()


def test_kl_div_loss_takes_and_checks_its_reductions() -> None:
    with pytest.raises(ValueError, match="'avg'"):
        nn.KLDivLoss(reduction="avg")
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.KLDivLoss(size_average=False).reduction == "sum"


def test_scores_of_labels_that_do_not_count_may_be_infinite() -> None:
    """A score left out by a mask stays out: 0 times infinity would be NaN."""
    loss = nn.MultiLabelMarginLoss()(fc.tensor([2.0, math.inf, 0.5]), fc.tensor([0, 1, -1]))
    assert loss.item() == 0.0
    assert nn.MultiLabelMarginLoss()(fc.tensor([2.0, math.inf]), fc.tensor([1, 0])).item() == 0.0


def test_multilabel_margin_loss_can_be_captured() -> None:
    labels = fc.tensor([[2, 0, -1]])
    captured = fc.capture(lambda x: F.multilabel_margin_loss(x, labels), warmup=1)
    for shift in (0.0, 1.0, 2.0):
        x = fc.tensor([[shift, 1.0, -1.0]])
        assert captured(x).item() == F.multilabel_margin_loss(x, labels).item()


def test_triplet_loss_rejects_a_margin_of_0() -> None:
    with pytest.raises(ValueError, match="margin is 0"):
        nn.TripletMarginLoss(0)


def test_rbf_measures_squared_distances_to_its_centres() -> None:
    fc.manual_seed(0)
    layer = nn.RBF(5, 3)
    centres = layer.weight.detach().numpy()
    assert set(np.unique(centres)) == {-1.0, 1.0}
    x = fc.tensor(X, requires_grad=True)
    y = layer(x)
    expected = ((X[:, None, :] - centres) ** 2).sum(2)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 2 * (3 * X - centres.sum(0)), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\(N, 5\)"):
        layer(fc.ones(2, 4))


# The lectures' rows.


def test_sum_square_and_half_square_losses_have_the_lectures_gradients() -> None:
    """D1: gradient 2 (f - y); D2, B8: gradient x - y."""
    for loss, factor in ((F.sum_square_loss, 2.0), (F.half_square_loss, 1.0)):
        x = fc.tensor(X, requires_grad=True)
        loss(x, fc.tensor(Y), "sum").backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), np.float32(factor) * (X - Y))


def test_half_square_loss_of_the_step_by_step_example() -> None:
    """D3: E_total = 0.3037 of outputs (0.7569, 0.7677) and targets (0.01, 0.99)."""
    loss = F.half_square_loss(fc.tensor([[0.7569, 0.7677]]), fc.tensor([[0.01, 0.99]]))
    assert loss.item() == pytest.approx(0.3037, abs=1e-4)


def test_hard_targets_give_the_printed_cross_entropies() -> None:
    """D6: outputs are probabilities, so their logarithms are logits."""
    outputs = fc.tensor([[0.99, 1e-30, 0.01], [0.15, 0.85, 1e-30], [0.2, 0.1, 0.7]], dtype=fc.float64)
    losses = F.cross_entropy(outputs.log(), fc.tensor([0, 1, 2]), reduction="none").numpy()
    np.testing.assert_allclose(losses, [0.010050, 0.162519, 0.356675], atol=5e-7)


def test_cross_entropy_gradient_is_p_minus_target_for_hard_and_soft_targets() -> None:
    """D5."""
    p = np.exp(X) / np.exp(X).sum(1, keepdims=True)
    one_hot = np.eye(5, dtype=np.float32)[LABELS]
    for target, soft in ((fc.tensor(LABELS), one_hot), (fc.tensor(0.7 * one_hot + 0.06), 0.7 * one_hot + 0.06)):
        x = fc.tensor(X, requires_grad=True)
        F.cross_entropy(x, target, reduction="sum").backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), p - soft, atol=2e-7)


def test_hinge_loss_of_equal_scores_is_the_number_of_wrong_classes() -> None:
    """D7."""
    for classes in (2, 3, 10):
        assert F.multiclass_hinge_loss(fc.zeros(4, classes), fc.tensor([0, 1, 0, 1])).item() == classes - 1


def test_full_loss_is_the_mean_data_loss_plus_the_penalty() -> None:
    """D8: lambda 0 gives the data loss alone."""
    x, labels, w = fc.tensor(X), fc.tensor(LABELS), fc.tensor(Y)
    data = F.multiclass_hinge_loss(x, labels)
    per_sample = F.multiclass_hinge_loss(x, labels, reduction="none").numpy()
    assert data.item() == pytest.approx(per_sample.mean(), rel=1e-6)
    for strength in (0.0, 0.1):
        total = data + strength * F.l2_penalty(w)
        assert total.item() == pytest.approx(data.item() + strength * float((Y**2).sum()), rel=1e-6)


def test_minibatch_losses_average_to_the_full_loss() -> None:
    """D11: the gradient of a random minibatch is unbiased."""
    w = fc.tensor(Z[0], requires_grad=True)

    def gradient(rows: Any) -> np.ndarray:
        w.grad = None
        F.mse_loss((fc.tensor(X[rows]) * w).sum(dim=1), fc.tensor(Y[rows, 0])).backward()
        assert w.grad is not None
        return w.grad.numpy().copy()

    pairs = [gradient([i, j]) for i in range(6) for j in range(6) if i != j]
    np.testing.assert_allclose(np.mean(pairs, axis=0), gradient(range(6)), rtol=1e-4)


def test_elastic_net_gradient() -> None:
    """H4: 2 beta w + sign(w)."""
    w = fc.tensor(X, requires_grad=True)
    F.elastic_net_penalty(w, 0.3).backward()
    assert w.grad is not None
    np.testing.assert_allclose(w.grad.numpy(), 0.6 * X + np.sign(X), rtol=1e-6)


def test_l2_penalty_equals_weight_decay_of_twice_its_factor() -> None:
    """H1, H2: the functional penalty lambda sum w^2 has the gradient 2 lambda w, weight_decay = 2 lambda."""
    from fastcnn.optim import SGD

    penalised, decayed = nn.Parameter(fc.tensor(X)), nn.Parameter(fc.tensor(X))
    (0.05 * F.l2_penalty(penalised)).backward()
    assert penalised.grad is not None
    np.testing.assert_allclose(penalised.grad.numpy(), 2 * 0.05 * X, rtol=1e-6)
    penalised.sum().backward()
    SGD([penalised], lr=0.1).step()
    decayed.sum().backward()
    SGD([decayed], lr=0.1, weight_decay=0.1).step()
    np.testing.assert_allclose(penalised.detach().numpy(), decayed.detach().numpy(), atol=1e-7)
    np.testing.assert_allclose(decayed.detach().numpy(), (1 - 0.1 * 0.1) * X - 0.1, atol=1e-6)


def test_l1_penalty_drives_useless_weights_to_zero() -> None:
    """H3: subgradient lambda sign(w); of two features only the first matters."""
    signs = nn.Parameter(fc.tensor([2.0, -3.0, 0.0]))
    (0.1 * F.l1_penalty(signs)).backward()
    assert signs.grad is not None
    np.testing.assert_allclose(signs.grad.numpy(), [0.1, -0.1, 0.0], rtol=1e-6)
    w = nn.Parameter(fc.tensor([0.5, 0.5]))
    x = RNG.standard_normal((64, 2)).astype(np.float32)
    for _ in range(300):
        w.grad = None
        loss = F.mse_loss((fc.tensor(x) * w).sum(dim=1), fc.tensor(2 * x[:, 0])) + 0.1 * F.l1_penalty(w)
        loss.backward()
        assert w.grad is not None
        with fc.no_grad():
            w -= 0.05 * w.grad
    assert abs(w[1].item()) < 0.01
    assert w[0].item() > 1.8


def test_l2_penalty_spreads_the_weights_of_equal_features() -> None:
    """H5."""
    w = nn.Parameter(fc.tensor([1.5, 0.1]))
    x = np.repeat(RNG.standard_normal((64, 1)).astype(np.float32), 2, axis=1)
    for _ in range(800):
        w.grad = None
        (F.mse_loss((fc.tensor(x) * w).sum(dim=1), fc.tensor(2 * x[:, 0])) + 0.05 * F.l2_penalty(w)).backward()
        assert w.grad is not None
        with fc.no_grad():
            w -= 0.1 * w.grad
    assert abs(w[0].item() - w[1].item()) < 1e-3


def test_every_loss_is_differentiable() -> None:
    """D9, D10: the registry of losses; each has a case table with gradients."""
    from tests.cases import all_ops

    losses = {name for name in F.__all__ if name.endswith(("_loss", "cross_entropy", "_logits", "kl_div", "_penalty"))}
    tables = {op.name for op in all_ops() if op.differentiable}
    assert len(losses) >= 24
    assert losses <= tables


def test_gaussian_nll_full_adds_the_constant() -> None:
    a, b = (F.gaussian_nll_loss(fc.tensor(X), fc.tensor(Y), fc.ones(6, 5), full=full).item() for full in (False, True))
    assert b - a == pytest.approx(0.5 * math.log(2 * math.pi), rel=1e-5)


def test_cross_entropy_of_scores_is_stable_and_equals_the_other_form() -> None:
    """D4: -log(exp(s_y) / sum exp(s_j)) with scores of 1e4, equal to -sum t ln p of the soft-max."""
    huge = fc.tensor([[1e4, 0.0, -1e4], [0.0, 1e4, 1e4]], dtype=fc.float64)
    losses = F.cross_entropy(huge, fc.tensor([0, 0]), reduction="none").tolist()
    assert losses == pytest.approx([0.0, 1e4 + math.log(2)])
    p = np.exp(X.astype(np.float64)) / np.exp(X.astype(np.float64)).sum(1, keepdims=True)
    other = -(np.eye(5)[LABELS] * np.log(p)).sum(1)
    scores = F.cross_entropy(fc.tensor(X), fc.tensor(LABELS), reduction="none")
    np.testing.assert_allclose(scores.numpy(), other, rtol=1e-5)


def test_hinge_gradient_equals_differences() -> None:
    """D7: margin 1."""
    x = fc.tensor(X.astype(np.float64), requires_grad=True)
    F.multiclass_hinge_loss(x, fc.tensor(LABELS), reduction="sum").backward()

    def loss(scores: Any) -> Any:
        return F.multiclass_hinge_loss(scores, fc.tensor(LABELS), reduction="sum")

    assert fc.grad_check_sparse(loss, x.detach(), x.grad, 30, 1e-6).max() < 1e-6
    by_hand = sum(max(0.0, X[0, j] - X[0, 0] + 1) for j in range(1, 5))
    first = F.multiclass_hinge_loss(fc.tensor(X), fc.tensor(LABELS), reduction="none")[0].item()
    assert by_hand == pytest.approx(first, rel=1e-5)


def test_auto_encoder_learns_to_reconstruct_through_a_bottleneck() -> None:
    """D12: trained on the squared error to its own input; linear, it finds the principal subspace."""
    from fastcnn import optim

    fc.manual_seed(0)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 8)) + 0.05 * rng.normal(size=(200, 8))
    data -= data.mean(0)
    x = fc.tensor(data.astype(np.float32))
    model = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(400):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    singular = np.linalg.svd(data, compute_uv=False)
    best = float((singular[2:] ** 2).sum() / data.size)  # what two principal components leave
    assert best <= losses[-1] * 1.0001
    assert losses[-1] < 1.2 * best < 0.01 * losses[0]
