"""Losses beyond the case tables: misuse, known bug classes, the lectures' numbers, layers, recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
import fastcnn.functional as F
from fastcnn import _C, nn


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
@pytest.mark.parametrize("label", [10, -1, -101, 2**40, -(2**63)])
def test_out_of_range_label_is_an_error_that_names_the_sample(loss: Any, dtype: Any, label: int, isa: str) -> None:
    logits = fc.zeros((5000, 10), dtype=dtype)
    labels = np.zeros(5000, np.int64)
    labels[[4321, 4900]] = label
    with pytest.raises(ValueError, match=rf"target\[4321\] is {label}, but labels from 0 to 9 .*\(5000, 10\)") as error:
        loss(logits, fc.tensor(labels))
    assert ("pass ignore_index=-1" in str(error.value)) == (label == -1)
    assert "subtract 1" not in str(error.value)
    labels[[4321, 4900]] = 9
    assert loss(logits, fc.tensor(labels)).item() == pytest.approx(np.log(10) if loss is F.cross_entropy else 0.0)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_one_based_labels_get_a_hint(loss: Any) -> None:
    with pytest.raises(ValueError, match="labels run from 1 to 4: subtract 1"):
        loss(fc.zeros((5, 4)), fc.tensor([1, 2, 3, 4, 1]))


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_out_of_range_label_of_a_pixel_is_named_by_its_index(loss: Any) -> None:
    labels = np.zeros((2, 3, 4), np.int64)
    labels[1, 2, 0] = 5
    with pytest.raises(ValueError, match=r"target\[1, 2, 0\] is 5"):
        loss(fc.zeros((2, 5, 3, 4)), fc.tensor(labels))


def test_replayed_loss_checks_the_labels_again() -> None:
    logits, labels = fc.randn(4, 3), fc.tensor([0, 1, 2, 0])
    _C.begin_recording()
    try:
        loss = F.cross_entropy(logits, labels)
    finally:
        recording = _C.end_recording()
    before = loss.item()
    logits.numpy()[...] *= 2
    recording.replay()
    assert loss.item() != before
    labels.numpy()[2] = 3
    with pytest.raises(ValueError, match=r"target\[2\] is 3"):
        recording.replay()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_ignored_samples_count_nothing(loss: Any, rng: np.random.Generator) -> None:
    logits = rng.standard_normal((6, 4)).astype(np.float32)
    labels = np.array([0, 3, -100, 1, -100, 2])
    kept = labels != -100
    x = fc.tensor(logits, requires_grad=True)
    result = loss(x, fc.tensor(labels))
    result.backward()
    assert result.item() == pytest.approx(loss(fc.tensor(logits[kept]), fc.tensor(labels[kept])).item(), rel=1e-6)
    assert x.grad is not None
    assert (x.grad.numpy()[~kept] == 0).all()
    logits[2] = np.nan  # an ignored sample does not even spoil the loss
    assert loss(fc.tensor(logits), fc.tensor(labels)).item() == result.item()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_mean_of_nothing_is_nan_as_in_torch(loss: Any) -> None:
    labels = fc.tensor([7, 7])
    assert np.isnan(loss(fc.zeros((2, 3)), labels, ignore_index=7).item())
    assert loss(fc.zeros((2, 3)), labels, ignore_index=7, reduction="sum").item() == 0.0


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_cross_entropy_is_stable_for_logits_of_ten_thousand(dtype: Any, isa: str) -> None:
    logits = fc.tensor([[1e4, 1e4 - 1.0, -1e4], [-1e4, -1e4, -1e4], [1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    losses = F.cross_entropy(logits, fc.tensor([0, 1, 1]), reduction="none")
    np.testing.assert_allclose(losses.detach().numpy(), [np.log1p(np.exp(-1)), np.log(3), 2e4], rtol=1e-6)
    losses.backward(fc.ones(3, dtype=dtype))
    p = 1 / (1 + np.exp(-1))
    expected = [[p - 1, 1 - p, 0], [1 / 3, 1 / 3 - 1, 1 / 3], [1, -1, 0]]
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_gradient_is_probability_minus_target(dtype: Any, rng: np.random.Generator) -> None:
    """The lectures' dE/dx_i = p_i - target_i, for hard and soft targets."""
    x = rng.standard_normal((7, 5))
    labels = rng.integers(0, 5, 7)
    soft = softmax(rng.standard_normal((7, 5)))
    for target, dense in ((fc.tensor(labels), np.eye(5)[labels]), (fc.tensor(soft, dtype=dtype), soft)):
        logits = fc.tensor(x, dtype=dtype, requires_grad=True)
        F.cross_entropy(logits, target, reduction="sum").backward()
        assert logits.grad is not None
        np.testing.assert_allclose(logits.grad.numpy(), softmax(x) - dense, atol=1e-6 if dtype == fc.float32 else 1e-15)


def test_gradient_at_the_label_is_exact() -> None:
    """p - target without rounding: p == 1 where one logit dominates, 1/4 for four equal ones."""
    logits = fc.tensor([[200.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    F.cross_entropy(logits, fc.tensor([0, 2]), reduction="sum").backward()
    assert logits.grad is not None
    np.testing.assert_array_equal(logits.grad.numpy(), [[0, 0, 0, 0], [0.25, 0.25, -0.75, 0.25]])


def test_multinomial_hard_targets_of_the_lecture() -> None:
    outputs = np.array([[0.99, 0.0, 0.01], [0.15, 0.85, 0.0], [0.2, 0.1, 0.7]])
    expected = [0.010050, 0.162519, 0.356675]
    with np.errstate(divide="ignore"):
        log_p = fc.tensor(np.log(outputs))
    labels = fc.tensor([0, 1, 2])
    np.testing.assert_allclose(F.nll_loss(log_p, labels, reduction="none").numpy(), expected, atol=5e-7)
    np.testing.assert_allclose(F.cross_entropy(log_p, labels, reduction="none").numpy(), expected, atol=5e-7)


def test_mixup_is_the_mix_of_the_losses(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.standard_normal((6, 4)))
    a, b = rng.integers(0, 4, 6), rng.integers(0, 4, 6)
    mixed = fc.tensor(0.3 * np.eye(4)[a] + 0.7 * np.eye(4)[b])
    parts = 0.3 * F.cross_entropy(x, fc.tensor(a)).item() + 0.7 * F.cross_entropy(x, fc.tensor(b)).item()
    assert F.cross_entropy(x, mixed).item() == pytest.approx(parts, rel=1e-12)


def test_uint8_labels_equal_int64_labels(rng: np.random.Generator) -> None:
    x, labels = fc.tensor(rng.standard_normal((6, 4, 3, 2))), rng.integers(0, 4, (6, 3, 2))
    expected = F.cross_entropy(x, fc.tensor(labels)).item()
    assert F.cross_entropy(x, fc.tensor(labels.astype(np.uint8))).item() == expected


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_row_major_input_gives_the_same_loss(reduction: str, rng: np.random.Generator) -> None:
    values, labels = rng.standard_normal((2, 5, 3, 4)).astype(np.float32), rng.integers(0, 5, (2, 3, 4))
    results = []
    for layout in ("channels_last", "row_major"):
        raw, target = _C.empty(values.shape, fc.float32, None, layout), _C.empty(labels.shape, fc.int64, None, layout)
        raw.numpy()[...], target.numpy()[...] = values, labels
        x = fc.Tensor(raw, requires_grad=True)
        loss = F.cross_entropy(x, fc.Tensor(target), reduction=reduction)
        loss.backward(fc.full(loss.shape, 0.5))
        assert x.grad is not None
        results.append((loss.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def row_major(values: np.ndarray) -> fc.Tensor:
    raw = _C.empty(values.shape, fc.float64, None, "row_major")
    raw.numpy()[...] = values
    return fc.Tensor(raw)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, other: F.mse_loss(x, other, reduction="none"),
        lambda x, other: F.binary_cross_entropy_with_logits(x, other, weight=other, pos_weight=other),
        lambda x, other: F.cross_entropy(x, other, reduction="none"),
        lambda x, other: F.softmax(x, 2),
        lambda x, other: F.log_softmax(x, 1),
    ],
)
def test_operands_of_mixed_layouts_give_the_same_results(function: Any, rng: np.random.Generator) -> None:
    values, other = rng.standard_normal((2, 3, 4, 5)), rng.uniform(0.1, 0.9, (2, 3, 4, 5))
    results = []
    for layout in (fc.tensor, row_major):
        x = fc.tensor(values, requires_grad=True)
        result = function(x, layout(other))
        cotangent = layout(np.asarray(np.random.default_rng(5).standard_normal(result.shape)))
        result.backward(cotangent)
        assert x.grad is not None
        results.append((result.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (np.zeros((4, 3), np.int64), "one-hot"),
        (np.zeros((4, 1), np.int64), r"squeeze\(1\)"),
        (np.zeros(5, np.int64), r"\(5,\), but labels of shape \(4,\) are expected"),
        (np.zeros(4, np.float32), r"probabilities of the input's shape \(4, 3\).*\.long\(\)"),
    ],
)
def test_target_shapes_get_hints(target: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=f"cross_entropy: .*{words}"):
        F.cross_entropy(fc.zeros((4, 3)), fc.tensor(target))


def test_bool_labels_are_refused() -> None:
    with pytest.raises(TypeError, match="target is bool, but class labels of dtype int64"):
        F.cross_entropy(fc.zeros((2, 2)), fc.tensor([True, False]))


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_silent_broadcasting_is_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match=rf"{loss.__name__}: .*\(8, 1\).*\(8,\).*reshape"):
        loss(fc.zeros((8, 1)), fc.zeros((8,)))


def test_weights_are_constants() -> None:
    weight = fc.ones(3).requires_grad_()
    with pytest.raises(ValueError, match=r"weight requires a gradient.*weight\.detach\(\)"):
        F.cross_entropy(fc.zeros((2, 3)), fc.tensor([0, 1]), weight)
    with pytest.raises(ValueError, match=r"pos_weight requires a gradient"):
        F.binary_cross_entropy_with_logits(fc.zeros((2, 3)), fc.zeros((2, 3)), pos_weight=weight)


def test_probability_outside_the_unit_interval_is_an_error() -> None:
    x = fc.full((3, 7), 0.5)
    x.numpy()[1, 2] = 1.5
    with pytest.raises(ValueError, match=r"binary_cross_entropy: input contains 1\.5.*with_logits"):
        F.binary_cross_entropy(x, fc.zeros((3, 7)))


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_bce_with_logits_is_stable(dtype: Any, isa: str) -> None:
    x = fc.tensor([1e4, -1e4, 1e4, -1e4, 30.0, 0.0], dtype=dtype, requires_grad=True)
    target = fc.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.5], dtype=dtype)
    losses = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    np.testing.assert_allclose(losses.detach().numpy(), [1e4, 1e4, 0, 0, np.exp(-30.0), np.log(2)], rtol=1e-6)
    losses.backward(fc.ones(6, dtype=dtype))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [1, -1, 0, 0, 0, 0], atol=1e-6)


MODULES: list[tuple[nn.Module, Any, dict[str, Any]]] = [
    (nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1, reduction="sum"), F.cross_entropy, {}),
    (nn.NLLLoss(reduction="none"), F.nll_loss, {}),
    (nn.MSELoss(reduction="sum"), F.mse_loss, {}),
    (nn.L1Loss(), F.l1_loss, {}),
    (nn.SmoothL1Loss(beta=0.3), F.smooth_l1_loss, {"beta": 0.3}),
    (nn.HuberLoss(delta=0.3, reduction="none"), F.huber_loss, {"delta": 0.3}),
    (nn.BCEWithLogitsLoss(pos_weight=fc.tensor([1.0, 2.0, 3.0])), F.binary_cross_entropy_with_logits, {}),
    (nn.BCELoss(weight=fc.tensor([1.0, 2.0, 3.0])), F.binary_cross_entropy, {}),
]


@pytest.mark.parametrize(("module", "function", "extra"), MODULES, ids=lambda value: type(value).__name__)
def test_module_equals_function(module: Any, function: Any, extra: dict[str, Any], rng: np.random.Generator) -> None:
    x = fc.tensor(rng.uniform(0.1, 0.9, (4, 3)).astype(np.float32))
    labels = function in (F.cross_entropy, F.nll_loss)
    target = fc.tensor(rng.integers(0, 3, 4)) if labels else fc.tensor(rng.uniform(0.1, 0.9, (4, 3)).astype(np.float32))
    extra = dict(extra, reduction=module.reduction)
    for name in ("weight", "pos_weight", "ignore_index", "label_smoothing"):
        if hasattr(module, name):
            extra[name] = getattr(module, name)
    np.testing.assert_array_equal(module(x, target).numpy(), function(x, target, **extra).numpy())


def test_class_weights_are_buffers() -> None:
    loss = nn.CrossEntropyLoss(fc.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == ["weight"]
    assert not list(loss.parameters())
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    assert loss.double()(fc.zeros((1, 2), dtype=fc.float64), fc.tensor([1])).dtype == fc.float64


def test_deprecated_flags_of_torch_still_work() -> None:
    x, target = fc.tensor([1.0, 3.0]), fc.tensor([0.0, 0.0])
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert F.mse_loss(x, target, False).item() == 10.0
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert nn.L1Loss(reduce=False)(x, target).numpy().tolist() == [1.0, 3.0]


def test_softmax_without_dim_warns() -> None:
    with pytest.warns(UserWarning, match="softmax: dim is not given"):
        assert F.softmax(fc.zeros((2, 4))).numpy().tolist() == [[0.25] * 4] * 2
    with pytest.warns(UserWarning, match="log_softmax: dim is not given"):
        nn.LogSoftmax()(fc.zeros((2, 4)))


@pytest.mark.parametrize("shape", [(4, 10), (3, 50), (3, 1000), (2, 5, 3, 4)])
def test_probabilities_sum_to_one(shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    p = F.softmax(fc.tensor((rng.standard_normal(shape) * 1e3).astype(np.float32)), 1).numpy()
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)


def test_out_of_memory_leaves_everything_usable(rng: np.random.Generator) -> None:
    x, labels = fc.tensor(rng.standard_normal((64, 1000)), requires_grad=True), fc.tensor(rng.integers(0, 1000, 64))
    expected = F.cross_entropy(x, labels).item()
    failures = 0
    for nth in range(1, 12):
        x.grad = None
        _C.fail_nth_allocation(nth)
        try:
            F.cross_entropy(x, labels).backward()
        except MemoryError:
            failures += 1
        finally:
            _C.fail_nth_allocation(0)
    assert failures >= 4
    assert F.cross_entropy(x, labels).item() == expected
