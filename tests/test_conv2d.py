"""conv2d beyond its case table: invariants, geometry at random, blocking, the layer, and the fused ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn
from fastcnn import functional as F
from tests.cases import tolerance
from tests.cases.conv2d import reference


def _tensor(array: np.ndarray, requires_grad: bool = False) -> fc.Tensor:
    return fc.tensor(array.astype(np.float32), requires_grad=requires_grad)


def _raw(array: np.ndarray, dtype: str = "float32") -> Any:
    return fc.tensor(array.astype(dtype))._data


def _three(dtype: str, x: np.ndarray, w: np.ndarray, g: np.ndarray, *geometry: Any) -> list[np.ndarray]:
    """Output, input gradient, weight gradient and bias gradient."""
    image, bank, gradient = _raw(x, dtype), _raw(w, dtype), _raw(g, dtype)
    weight, bias = _C.conv2d_backward_weight(gradient, image, w.shape, *geometry, bias=True)
    results = [
        _C.conv2d_forward(image, bank, None, *geometry),
        _C.conv2d_backward_input(gradient, bank, x.shape, *geometry),
        weight,
        bias,
    ]
    return [np.array(r.numpy(), np.float64) for r in results]


def _random_geometry(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]:
    """Input shape, weight shape and (stride, padding, dilation, groups) of a small convolution."""
    while True:
        groups = int(rng.choice([1, 1, 2, 3, 8, 17]))
        channels, filters = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
        kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, 5, 2)) for _ in range(3))
        padding = tuple(int(v) for v in rng.integers(0, 4, 4))
        size = tuple(int(v) for v in rng.integers(1, 16, 2))
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if size[0] + padding[0] + padding[1] >= extents[0] and size[1] + padding[2] + padding[3] >= extents[1]:
            shape = (int(rng.integers(1, 4)), channels, *size)
            return shape, (filters, channels // groups, *kernel), (stride, padding, dilation, groups)


def test_random_geometries_agree_with_float64(isa: str, rng: np.random.Generator) -> None:
    for _ in range(60):
        shape, weight_shape, geometry = _random_geometry(rng)
        x, w = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, weight_shape)
        output = _C.conv2d_forward(_raw(x), _raw(w), None, *geometry)
        g = rng.uniform(-1, 1, output.shape)
        x, w, g = (a.astype(np.float32).astype(np.float64) for a in (x, w, g))
        expected = _three("float64", x, w, g, *geometry)
        terms = max(g[:, 0].size, w[0].size, w[:, 0].size)
        for got, want in zip(_three("float32", x, w, g, *geometry), expected, strict=True):
            assert got.shape == want.shape
            limit = tolerance("float32", terms, max(float(np.abs(want).max(initial=0)), 1.0))
            assert np.abs(got - want).max(initial=0) <= limit, (shape, weight_shape, geometry)


@pytest.mark.parametrize(
    ("shape", "weight_shape", "geometry"),
    [
        # Large enough for several bands per image, several images per band, several slices and several partial sums.
        ((2, 24, 40, 37), (40, 24, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
        ((9, 200, 9, 7), (70, 200, 3, 3), ((1, 1), (1, 1), (1, 1), 1)),
        ((3, 260, 12, 11), (48, 260, 1, 1), ((1, 1), (0, 0), (1, 1), 1)),
        ((3, 512, 12, 11), (136, 512, 1, 1), ((2, 1), (0, 0), (1, 1), 1)),
        ((5, 3, 45, 38), (33, 3, 7, 5), ((2, 2), (3, 2), (1, 1), 1)),
        ((3, 1, 30, 29), (20, 1, 5, 5), ((1, 1), (2, 2), (1, 1), 1)),
        ((2, 2, 31, 27), (24, 2, 5, 4), ((2, 3), (2, 1), (1, 1), 1)),
        ((2, 48, 25, 31), (48, 1, 5, 3), ((1, 2), (2, 1), (1, 1), 48)),
        ((2, 32, 21, 22), (48, 8, 3, 3), ((1, 1), (1, 1), (1, 1), 4)),
    ],
)
def test_every_way_of_blocking_agrees_with_float64(
    isa: str, shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: tuple[Any, ...], rng: np.random.Generator
) -> None:
    x, w = (rng.uniform(-1, 1, s).astype(np.float32).astype(np.float64) for s in (shape, weight_shape))
    g = rng.uniform(-1, 1, _C.conv2d_forward(_raw(x), _raw(w), None, *geometry).shape).astype(np.float32)
    expected = _three("float64", x, w, g, *geometry)
    terms = max(g[:, 0].size, w[0].size, w[:, 0].size)
    _C.set_num_threads(1)
    one_thread = _three("float32", x, w, g, *geometry)
    _C.set_num_threads(3)
    three_threads = _three("float32", x, w, g, *geometry)
    for one, three, want in zip(one_thread, three_threads, expected, strict=True):
        assert np.array_equal(one, three)
        assert np.abs(one - want).max() <= tolerance("float32", terms, max(float(np.abs(want).max()), 1.0))


def test_adjoint(isa: str, rng: np.random.Generator) -> None:
    """<conv(x), y> = <x, backward_input(y)> = <w, backward_weight(y)>."""
    for _ in range(20):
        shape, weight_shape, geometry = _random_geometry(rng)
        x, w = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, weight_shape)
        g = rng.uniform(-1, 1, _C.conv2d_forward(_raw(x), _raw(w), None, *geometry).shape)
        y, gx, gw, _ = _three("float32", x, w, g, *geometry)
        inner = float((y * g).sum())
        limit = tolerance("float32", g.size * w[0].size, 4.0)
        assert abs(inner - float((gx * x).sum())) <= limit
        assert abs(inner - float((gw * w).sum())) <= limit


def test_groups_equal_concatenation(rng: np.random.Generator) -> None:
    x, w = rng.uniform(-1, 1, (2, 6, 7, 5)), rng.uniform(-1, 1, (9, 2, 3, 2))
    whole = F.conv2d(_tensor(x), _tensor(w), stride=2, padding=1, groups=3).numpy()
    for g in range(3):
        part = F.conv2d(_tensor(x[:, 2 * g : 2 * g + 2]), _tensor(w[3 * g : 3 * g + 3]), stride=2, padding=1)
        np.testing.assert_allclose(whole[:, 3 * g : 3 * g + 3], part.numpy(), rtol=1e-5, atol=1e-6)


def test_rows_no_output_sees_get_zero_gradient() -> None:
    # 8 rows, kernel 3, stride 3: outputs at rows 0 and 3 see rows 0..5; rows 6 and 7 are the remainder.
    x = fc.zeros(1, 1, 8, 8).requires_grad_()
    F.conv2d(x, fc.ones(1, 1, 3, 3), stride=3).sum().backward()
    assert x.grad is not None
    expected = np.zeros((8, 8))
    expected[:6, :6] = 1.0
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)


def test_empty_batch_gives_zero_weight_gradient() -> None:
    _C.poison_allocations(True)
    try:
        for groups in (1, 4):
            w = fc.zeros(8, 4 // groups, 3, 3).requires_grad_()
            b = fc.zeros(8).requires_grad_()
            out = F.conv2d(fc.zeros(0, 4, 6, 5), w, b, padding=1, groups=groups)
            assert out.shape == (0, 8, 6, 5)
            out.sum().backward()
            assert w.grad is not None
            assert b.grad is not None
            assert not w.grad.numpy().any()
            assert not b.grad.numpy().any()
    finally:
        _C.poison_allocations(False)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_reaches_exactly_the_outputs_that_see_it(bad: float, isa: str, rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (1, 3, 9, 8))
    x[0, 1, 4, 5] = bad
    for activation in (None, "relu"):
        out = F.conv2d(_tensor(x), _tensor(np.ones((5, 3, 3, 3))), padding=1, activation=activation).numpy()
        seen = np.zeros((9, 8), bool)
        seen[3:6, 4:7] = True
        assert np.array_equal(~np.isfinite(out[0]), np.broadcast_to(seen, (5, 9, 8)))


@pytest.mark.parametrize("groups", [1, 6])
def test_fused_relu_equals_relu_of_the_output(groups: int, isa: str, rng: np.random.Generator) -> None:
    x, w, b = rng.uniform(-1, 1, (2, 6, 7, 5)), rng.uniform(-1, 1, (6, 6 // groups, 3, 3)), rng.uniform(-1, 1, 6)
    fused = [_tensor(a, requires_grad=True) for a in (x, w, b)]
    plain = [_tensor(a, requires_grad=True) for a in (x, w, b)]
    out = F.conv2d(*fused, padding=1, groups=groups, activation="relu")
    before = F.conv2d(*plain, padding=1, groups=groups)
    mask = before.detach().numpy() > 0
    assert 0.2 < mask.mean() < 0.8
    np.testing.assert_array_equal(out.detach().numpy(), np.where(mask, before.detach().numpy(), 0))
    g = rng.uniform(-1, 1, out.shape).astype(np.float32)
    out.backward(fc.tensor(g))
    before.backward(fc.tensor(np.where(mask, g, np.float32(0))))
    for a, e in zip(fused, plain, strict=True):
        assert a.grad is not None
        assert e.grad is not None
        np.testing.assert_array_equal(a.grad.numpy(), e.grad.numpy())


def test_one_image_without_batch(rng: np.random.Generator) -> None:
    x, w = _tensor(rng.uniform(-1, 1, (3, 6, 5)), requires_grad=True), _tensor(rng.uniform(-1, 1, (4, 3, 3, 2)))
    out = F.conv2d(x, w, stride=(2, 1), padding=1)
    assert out.shape == (4, 3, 6)
    batch = F.conv2d(fc.tensor(x.detach().numpy()[None]), w, stride=(2, 1), padding=1)
    np.testing.assert_array_equal(out.detach().numpy(), batch.detach().numpy()[0])
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


def test_row_major_input_gives_the_same_result(rng: np.random.Generator) -> None:
    x, w = _raw(rng.uniform(-1, 1, (2, 3, 6, 5))), _raw(rng.uniform(-1, 1, (4, 3, 3, 2)))
    geometry = ((1, 1), (1, 0), (1, 1), 1)
    expected = _C.conv2d_forward(x, w, None, *geometry).numpy()
    row_major = _C.conv2d_forward(_C.to_layout(x, "row_major"), _C.to_layout(w, "row_major"), None, *geometry)
    np.testing.assert_array_equal(row_major.numpy(), expected)


def test_absurd_but_legal_parameters(rng: np.random.Generator) -> None:
    x, w = rng.uniform(-1, 1, (1, 2, 4, 5)), rng.uniform(-1, 1, (3, 2, 2, 2))
    image, bank = _tensor(x, requires_grad=True), _tensor(w, requires_grad=True)
    out = F.conv2d(image, bank, stride=2**30)  # one output: the stride is never taken
    np.testing.assert_allclose(out.detach().numpy(), reference(x, w)[:, :, :1, :1], rtol=1e-4, atol=1e-5)
    out.sum().backward()
    assert image.grad is not None
    assert not image.grad.numpy()[:, :, 2:].any()
    with pytest.raises(MemoryError):
        F.conv2d(image, bank, padding=2**28)


def test_recorded_step_replays(rng: np.random.Generator) -> None:
    x, w = _raw(rng.uniform(-1, 1, (2, 3, 6, 5))), _raw(rng.uniform(-1, 1, (4, 3, 3, 3)))
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    _C.begin_recording()
    out = _C.conv2d_forward(x, w, None, *geometry)
    recording = _C.end_recording()
    before = np.array(out.numpy())
    _C.copy_(w, _raw(2 * np.array(w.numpy())))
    recording.replay()
    np.testing.assert_allclose(out.numpy(), 2 * before, rtol=1e-6)


def test_out_of_memory_leaves_the_next_call_working(rng: np.random.Generator) -> None:
    x, w = _raw(rng.uniform(-1, 1, (2, 3, 6, 5))), _raw(rng.uniform(-1, 1, (4, 3, 3, 3)))
    g = _raw(rng.uniform(-1, 1, (2, 4, 6, 5)))
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    calls = (
        lambda: _C.conv2d_forward(x, w, None, *geometry),
        lambda: _C.conv2d_backward_input(g, w, (2, 3, 6, 5), *geometry),
        lambda: _C.conv2d_backward_weight(g, x, (4, 3, 3, 3), *geometry, bias=True)[0],
    )
    for call in calls:
        expected = np.array(call().numpy())
        failures = 0
        for n in range(1, 20):
            _C.fail_nth_allocation(n)
            try:
                call()
            except MemoryError:
                failures += 1
            else:
                break
            finally:
                _C.fail_nth_allocation(0)
        assert failures >= 3
        np.testing.assert_array_equal(call().numpy(), expected)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [(1, 2), "same", "valid"])
def test_layer_padding_modes_agree_with_torch(mode: str, padding: Any, torch: Any, rng: np.random.Generator) -> None:
    layer = nn.Conv2d(4, 6, (4, 3), padding=padding, dilation=(1, 2), groups=2, padding_mode=mode, dtype=fc.float64)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        peer = torch.nn.Conv2d(
            4, 6, (4, 3), padding=padding, dilation=(1, 2), groups=2, padding_mode=mode, dtype=torch.float64
        )
        assert repr(layer) == repr(peer)
        assert list(layer.state_dict()) == list(peer.state_dict())
        peer.load_state_dict({k: torch.from_numpy(np.array(v.numpy())) for k, v in layer.state_dict().items()})
        x = rng.uniform(-1, 1, (2, 4, 7, 9))
        image, other = fc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, want = layer(image), peer(other)
        np.testing.assert_allclose(out.detach().numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-12)
        g = rng.uniform(-1, 1, out.shape)
        out.backward(fc.tensor(g))
        want.backward(torch.from_numpy(g))
    assert image.grad is not None
    np.testing.assert_allclose(image.grad.numpy(), other.grad.numpy(), rtol=1e-11, atol=1e-12)
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), getattr(peer, name).grad.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": (3, 1), "stride": 2, "bias": False},
        {"kernel_size": 3, "dilation": 2, "groups": 4, "padding": "same"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    ],
)
def test_layer_repr_and_shapes_equal_torch(arguments: dict[str, Any], torch: Any) -> None:
    layer, peer = nn.Conv2d(8, 12, **arguments), torch.nn.Conv2d(8, 12, **arguments)
    assert repr(layer) == repr(peer)
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items()} == {
        k: tuple(v.shape) for k, v in peer.state_dict().items()
    }


def test_layer_starts_like_torch() -> None:
    layer = nn.Conv2d(20, 50, 5)
    bound = 1 / np.sqrt(20 * 25)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound
    assert abs(layer.weight.detach().numpy().std() - bound / np.sqrt(3)) < 0.01 * bound


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"in_channels": 5, "out_channels": 4, "kernel_size": 3, "groups": 2}, ("in_channels is 5", "groups=2")),
        ({"in_channels": 4, "out_channels": 3, "kernel_size": 3, "groups": 2}, ("out_channels is 3", "groups=2")),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 3, "groups": 0}, ("groups is 0",)),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": (3, 0)}, ("kernel_size is (3, 0)",)),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": "full"}, ("'full'", "'same'")),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": "same", "stride": 2}, ("stride is 2",)),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding_mode": "mirror"}, ("'mirror'", "reflect")),
    ],
)
def test_layer_rejects(arguments: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="Conv2d") as error:
        nn.Conv2d(**arguments)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d"])
def test_padding_layers_equal_torch(name: str, torch: Any, rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (2, 3, 5, 4))
    for padding in (1, (1, 2, 3, 0)):
        layer, peer = getattr(nn, name)(padding), getattr(torch.nn, name)(padding)
        assert repr(layer) == repr(peer)
        np.testing.assert_array_equal(layer(fc.tensor(x)).numpy(), peer(torch.from_numpy(x)).numpy())
    with pytest.raises(ValueError, match=f"{name}: padding"):
        getattr(nn, name)((1, 2))


def test_constant_padding_layer() -> None:
    layer = nn.ConstantPad2d((1, 0, 0, 0), 3.5)
    assert layer(fc.zeros(1, 1, 1, 1)).numpy().tolist() == [[[[3.5, 0.0]]]]
    assert repr(layer) == "ConstantPad2d(padding=(1, 0, 0, 0), value=3.5)"


@pytest.mark.parametrize("layout", ["channels_last", "row_major"])
@pytest.mark.parametrize("batch", [0, 2])
def test_bias_gradient_alone_when_the_weight_is_frozen(layout, batch):
    rng = np.random.default_rng(3)
    image, weight = rng.standard_normal((batch, 3, 5, 6)), rng.standard_normal((4, 3, 3, 2))
    bias = fc.zeros(4, dtype=fc.float64).requires_grad_()
    output = F.conv2d(fc.tensor(image), fc.tensor(weight), bias)
    cotangent = rng.standard_normal(output.shape)
    output.backward(fc.Tensor(_C.to_layout(fc.tensor(cotangent)._data, layout)))
    np.testing.assert_allclose(bias.grad.numpy(), cotangent.sum((0, 2, 3)), rtol=1e-12, atol=1e-12)
