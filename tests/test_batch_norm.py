"""Batch normalisation beyond the case table: layers, running statistics, numerics, known bugs of other frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
import fastcnn.functional as F
from fastcnn import _C, nn

DTYPES = ("float32", "float64")


def normalized(values: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Zero mean and unit variance per channel, in float64."""
    wide = values.astype(np.float64)
    axes = (0, *range(2, values.ndim))
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize("shape", [(64, 20), (8, 20, 7), (4, 20, 9, 5), (3, 3, 40, 30)])
@pytest.mark.parametrize(("mean", "deviation"), [(1e4, 1e-2), (-3e5, 1.0), (0.0, 1e20), (1e30, 1e28)])
def test_neither_cancellation_nor_overflow(
    mean: float, deviation: float, shape: Any, isa: str, rng: np.random.Generator
) -> None:
    # pytorch 178123: E[x^2] - E[x]^2 loses everything at mean 1e4, deviation 1e-2; squares of 1e20 overflow float32.
    values = (rng.normal(size=shape) * deviation + mean).astype(np.float32)
    output = F.batch_norm(fc.tensor(values), None, None, training=True, eps=1e-12).numpy()
    np.testing.assert_allclose(output, normalized(values, 1e-12), rtol=2e-6, atol=2e-6)


def test_gradient_survives_a_large_mean(isa: str, rng: np.random.Generator) -> None:
    values = (rng.normal(size=(4, 18, 9, 5)) * 1e-2 + 1e4).astype(np.float32)
    cotangent = rng.normal(size=values.shape).astype(np.float32)

    def gradients(dtype: Any) -> list[np.ndarray]:
        x = fc.tensor(values.astype(dtype), requires_grad=True)
        weight = fc.tensor(np.ones(18, dtype), requires_grad=True)
        F.batch_norm(x, None, None, weight, training=True).backward(fc.tensor(cotangent.astype(dtype)))
        return [t.grad.numpy() for t in (x, weight) if t.grad is not None]

    for got, want in zip(gradients(np.float32), gradients(np.float64), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
def test_one_value_per_channel_is_refused_in_training_only(shape: Any, dtype: str) -> None:
    # pytorch 1381: the variance of one value says nothing.
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, dtype=getattr(fc, dtype))
    x = fc.tensor(np.full(shape, 2.0, dtype))
    before = {key: np.array(value.numpy()) for key, value in layer.state_dict().items()}
    with pytest.raises(ValueError, match="more than 1 value per channel when training"):
        layer(x)
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key], err_msg=key)
    np.testing.assert_allclose(layer.eval()(x).detach().numpy(), 2.0, rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_variance_is_unbiased_and_the_normalising_one_is_not(dtype: str, isa: str) -> None:
    # mlx 3817. Values 0 and 2: biased variance 1, unbiased 2.
    x = fc.tensor(np.array([[0.0], [2.0]], dtype))
    running = [fc.tensor(np.zeros(1, dtype)), fc.tensor(np.ones(1, dtype))]
    output = F.batch_norm(x, *running, training=True, momentum=1.0, eps=1e-12)
    np.testing.assert_allclose(output.numpy(), [[-1], [1]], rtol=1e-6)
    assert [b.numpy().tolist() for b in running] == [[1.0], [2.0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 5), (2, 3, 0, 5)])
def test_empty_batch_changes_no_statistics_and_gives_zero_gradients(shape: Any, dtype: str, isa: str) -> None:
    # pytorch 12013: NaN in the running statistics, junk in the gradient of the weight.
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, dtype=getattr(fc, dtype))
    x = fc.tensor(np.zeros(shape, dtype), requires_grad=True)
    output = layer(x)
    output.backward(fc.tensor(np.zeros(shape, dtype)))
    assert output.shape == shape
    assert x.grad is not None
    assert x.grad.shape == shape
    assert [layer.weight.grad.numpy().tolist(), layer.bias.grad.numpy().tolist()] == [[0, 0, 0]] * 2
    state = {key: value.numpy().tolist() for key, value in layer.state_dict().items()}
    assert state["running_mean"] == [0, 0, 0]
    assert state["running_var"] == [1, 1, 1]
    assert state["num_batches_tracked"] == 1


def test_momentum_none_averages_all_batches(isa: str, rng: np.random.Generator) -> None:
    layer = nn.BatchNorm1d(4, momentum=None)
    batches = rng.normal(size=(5, 6, 4)).astype(np.float32)
    for batch in batches:
        layer(fc.tensor(batch))
    np.testing.assert_allclose(layer.running_mean.numpy(), batches.mean((0, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), batches.var(1, ddof=1).mean(0), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 5


@pytest.mark.parametrize("momentum", [0.25, None])
def test_replayed_recordings_go_on_tracking(momentum: float | None, rng: np.random.Generator) -> None:
    batches = rng.normal(size=(4, 6, 3, 5, 2)).astype(np.float32)
    eager, recorded = nn.BatchNorm2d(3, momentum=momentum), nn.BatchNorm2d(3, momentum=momentum)
    for batch in batches:
        expected = eager(fc.tensor(batch))
    x = fc.tensor(batches[0])
    _C.begin_recording()
    output = recorded(x)
    recording = _C.end_recording()
    for batch in batches[1:]:
        x.numpy()[...] = batch
        recording.replay()
    np.testing.assert_array_equal(output.detach().numpy(), expected.detach().numpy())
    for key, value in eager.state_dict().items():
        np.testing.assert_array_equal(recorded.state_dict()[key].numpy(), value.numpy(), err_msg=key)


def test_state_dict_and_repr_are_torchs() -> None:
    layer = nn.BatchNorm2d(3)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert layer.num_batches_tracked.shape == ()
    assert layer.num_batches_tracked.dtype == fc.int64
    assert repr(layer) == ("BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)")
    assert list(nn.BatchNorm1d(3, affine=False).state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    assert list(nn.BatchNorm1d(3, bias=False, track_running_stats=False).state_dict()) == ["weight"]
    assert layer.weight.detach().numpy().tolist() == [1, 1, 1]
    assert layer.bias.detach().numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm2d(3), (2, 3)), (nn.BatchNorm2d(3), (2, 3, 4)),
                                              (nn.BatchNorm1d(3), (2, 3, 4, 4))])  # fmt: skip
def test_layers_check_the_number_of_dimensions(layer: nn.Module, shape: Any) -> None:
    with pytest.raises(ValueError, match=rf"{len(shape)} dimensions.*expected"):
        layer(fc.tensor(np.zeros(shape, np.float32)))


def test_without_tracking_evaluation_uses_the_batch(rng: np.random.Generator) -> None:
    values = rng.normal(3.0, 2.0, (4, 3, 5, 5)).astype(np.float32)
    layer = nn.BatchNorm2d(3, track_running_stats=False).eval()
    np.testing.assert_allclose(layer(fc.tensor(values)).detach().numpy(), normalized(values), rtol=1e-5, atol=1e-5)


def test_frozen_statistics_give_a_plain_scale_as_gradient(isa: str, rng: np.random.Generator) -> None:
    x = fc.tensor(rng.normal(size=(2, 18, 3, 4)).astype(np.float32), requires_grad=True)
    mean, var = rng.normal(size=18).astype(np.float32), rng.uniform(0.5, 2, 18).astype(np.float32)
    cotangent = rng.normal(size=x.shape).astype(np.float32)
    F.batch_norm(x, fc.tensor(mean), fc.tensor(var)).backward(fc.tensor(cotangent))
    assert x.grad is not None
    expected = cotangent / np.sqrt(var.astype(np.float64) + 1e-5)[:, None, None]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_relu_keeps_nan_and_fused_equals_unfused(isa: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(2, 18, 3, 4)).astype(np.float32)
    values[0, 1, 0, 0] = np.nan
    fused = F.batch_norm(fc.tensor(values), None, None, training=True, activation="relu").numpy()
    plain = F.batch_norm(fc.tensor(values), None, None, training=True).numpy()
    assert np.isnan(fused[:, 1]).all()
    np.testing.assert_array_equal(fused, np.maximum(plain, 0))


def test_gradients_go_into_the_slots_of_an_optimizer(rng: np.random.Generator) -> None:
    layer = nn.BatchNorm1d(5)
    slots = [_C.zeros((5,), fc.float32) for _ in range(2)]
    layer.weight._grad_slot, layer.bias._grad_slot = slots
    values = rng.normal(size=(6, 5)).astype(np.float32)
    y = layer(fc.tensor(values))
    y.backward(fc.tensor(np.ones(y.shape, np.float32)))
    assert layer.bias.grad._data.data_ptr() == slots[1].data_ptr()
    np.testing.assert_allclose(slots[1].numpy(), 6.0)
    np.testing.assert_allclose(slots[0].numpy(), y.detach().numpy().sum(0), atol=1e-5)


def test_running_out_of_memory_leaves_the_statistics_alone(rng: np.random.Generator) -> None:
    layer = nn.BatchNorm2d(3)
    x = fc.tensor(rng.normal(size=(2, 3, 4, 4)).astype(np.float32), requires_grad=True)
    failures = 0
    for nth in range(1, 12):
        before = {key: np.array(value.numpy()) for key, value in layer.state_dict().items()}
        _C.fail_nth_allocation(nth)
        try:
            layer(x)
        except MemoryError:
            failures += 1
            for key, value in layer.state_dict().items():
                np.testing.assert_array_equal(value.numpy(), before[key], err_msg=key)
        finally:
            _C.fail_nth_allocation(0)
    assert failures >= 5, "output, statistics, variance, coefficients and partial sums are allocations"


def test_load_from_torch_and_agree_over_steps(torch: Any, rng: np.random.Generator) -> None:
    theirs, ours = torch.nn.BatchNorm2d(6), nn.BatchNorm2d(6)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 1.5)
        theirs.running_var.uniform_(0.5, 1.5)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for _ in range(3):
        batch = rng.normal(1.0, 2.0, (4, 6, 5, 3)).astype(np.float32)
        expected = theirs(torch.from_numpy(batch)).detach().numpy()
        np.testing.assert_allclose(ours(fc.tensor(batch)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, err_msg=key)
    expected = theirs.eval()(torch.from_numpy(batch)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(fc.tensor(batch)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 8, 15, 16, 17, 33, 64, 70, 130])
@pytest.mark.parametrize("training", [True, False])
def test_relu_behind_a_residual_opens_the_same_gates_fused(
    training: bool, channels: int, isa: str, rng: np.random.Generator
) -> None:
    x, r, g = rng.normal(size=(3, 2, channels, 5, 7)).astype(np.float32)
    x[0, 0, 0, 0] = r[1, 0, 0, 0] = np.nan if not training else 1
    gradients = []
    for fused in (True, False):
        statistics = fc.zeros((channels,)), fc.ones((channels,))
        a, b = fc.tensor(x, requires_grad=True), fc.tensor(r, requires_grad=True)
        if fused:
            y = F.batch_norm(a, *statistics, training=training, activation="relu", residual=b)
        else:
            y = F.relu(F.batch_norm(a, *statistics, training=training) + b)
        y.backward(fc.tensor(g))
        assert a.grad is not None
        assert b.grad is not None
        gradients.append((y.detach().numpy(), a.grad.numpy(), b.grad.numpy()))
    np.testing.assert_array_equal(gradients[0][0], gradients[1][0])
    np.testing.assert_allclose(gradients[0][1], gradients[1][1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(gradients[0][2], gradients[1][2])
    only_residual = fc.tensor(r, requires_grad=True)
    statistics = fc.zeros((channels,)), fc.ones((channels,))
    y = F.batch_norm(fc.tensor(x), *statistics, training=training, activation="relu", residual=only_residual)
    y.backward(fc.tensor(g))
    assert only_residual.grad is not None
    np.testing.assert_array_equal(only_residual.grad.numpy(), gradients[0][2])


def test_relu_behind_a_residual_keeps_bits_instead_of_the_output(isa: str) -> None:
    x, r = (fc.zeros((8, 64, 32, 32), requires_grad=True) for _ in range(2))
    before = _C.memory_stats()["allocated"]
    y = F.batch_norm(x, None, None, training=True, activation="relu", residual=r).sum()
    kept = _C.memory_stats()["allocated"] - before
    assert kept < x.numel() * {"scalar": 1, "avx2": 1 / 8, "avx512": 1 / 8}[isa] + 16384
    y.backward()


def test_gates_of_another_instruction_set_are_refused() -> None:
    active = _C.active_isa()
    if active == "scalar":
        pytest.skip("this CPU runs the scalar kernels only")
    x = fc.zeros((4, 24), requires_grad=True)
    y = F.batch_norm(x, None, None, training=True, activation="relu", residual=x)
    _C.set_isa("scalar")
    try:
        with pytest.raises(ValueError, match=r"gate has \d+ bytes, but expected 96; was the instruction set changed"):
            y.backward(fc.zeros((4, 24)))
    finally:
        _C.set_isa(active)


@pytest.mark.parametrize("residual", [False, True])
def test_results_larger_than_the_caches_are_those_of_single_images(residual: bool, isa: str) -> None:
    """Large results are written past the caches, those of one image are not."""
    images = np.resize(np.random.default_rng(0).standard_normal(1_000_003, dtype=np.float32), (5, 32, 192, 192))

    def run(x: np.ndarray) -> list[np.ndarray]:
        a, r = (fc.tensor(v, requires_grad=True) for v in (x, -x[:, ::-1].copy()))
        statistics = fc.tensor(np.arange(32, dtype=np.float32) / 16), fc.ones((32,))
        y = F.batch_norm(a, *statistics, activation="relu", residual=r if residual else None)
        y.backward(fc.tensor(x[:, :, ::-1].copy()))
        assert a.grad is not None
        return [y.detach().numpy(), a.grad.numpy(), *([r.grad.numpy()] if r.grad is not None else [])]

    large = run(images)
    assert len(large) == 2 + residual
    for i in (0, 4):
        for got, expected in zip(large, run(images[i : i + 1]), strict=True):
            np.testing.assert_array_equal(got[i], expected[0])
