"""Activation layers against torch, gradients at the knots, in-place forms, random slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

LAYERS: list[tuple[str, tuple[Any, ...]]] = [
    ("CELU", (1.5,)),
    ("ELU", (0.7,)),
    ("Hardshrink", (0.4,)),
    ("Hardsigmoid", ()),
    ("Hardswish", ()),
    ("Hardtanh", (-2.0, 0.5)),
    ("ReLU6", ()),
    ("SELU", ()),
    ("Softshrink", (0.3,)),
    ("GLU", (0,)),
    ("LogSigmoid", ()),
    ("Mish", ()),
    ("Softmin", (1,)),
    ("Softplus", (2.0, 5.0)),
    ("Softsign", ()),
    ("Tanhshrink", ()),
    ("Threshold", (0.1, 20.0)),
]
INPLACE = [F.celu, F.elu, F.hardsigmoid, F.hardswish, F.hardtanh, F.relu6, F.selu]


@pytest.mark.parametrize(("name", "args"), LAYERS)
def test_layers_equal_torch(name: str, args: tuple[Any, ...], torch: Any) -> None:
    x = np.linspace(-8, 8, 202, dtype=np.float32).reshape(2, 101)
    layer = getattr(nn, name)(*args)
    peer = getattr(torch.nn, name)(*args)
    np.testing.assert_allclose(layer(fc.tensor(x)).numpy(), peer(torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-6)
    assert repr(layer) == repr(peer)


@pytest.mark.parametrize(
    ("name", "knots"),
    [
        ("relu6", (0.0, 6.0)),
        ("hardtanh", (-1.0, 1.0)),
        ("hardsigmoid", (-3.0, 3.0)),
        ("hardswish", (-3.0, 0.0, 3.0)),
        ("elu", (0.0,)),
        ("selu", (0.0,)),
        ("celu", (0.0,)),
        ("softshrink", (-0.5, 0.5)),
        ("hardshrink", (-0.5, 0.5)),
    ],
)
def test_gradients_at_the_knots_equal_torchs(name: str, knots: tuple[float, ...], torch: Any) -> None:
    ours = fc.tensor(list(knots), dtype=fc.float64, requires_grad=True)
    getattr(F, name)(ours).sum().backward()
    theirs = torch.tensor(list(knots), dtype=torch.float64, requires_grad=True)
    getattr(torch.nn.functional, name)(theirs).sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("function", INPLACE, ids=lambda f: f.__name__)
def test_inplace_replaces_the_input(function: Callable[..., fc.Tensor]) -> None:
    x = fc.tensor([-2.0, 0.3, 5.0])
    expected = function(x).numpy().copy()
    assert function(x, inplace=True) is x
    np.testing.assert_array_equal(x.numpy(), expected)


def test_rrelu_draws_slopes_in_training_and_takes_their_mean_otherwise() -> None:
    layer = nn.RReLU(0.1, 0.3)
    x = fc.full((10_000,), -1.0, requires_grad=True)
    y = layer(x)
    slopes = -y.detach().numpy()
    assert slopes.min() >= 0.1
    assert slopes.max() <= 0.3
    assert abs(slopes.mean() - 0.2) < 0.005
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    np.testing.assert_allclose(layer.eval()(x).detach().numpy(), -0.2, rtol=1e-6)


def test_bfloat16_is_computed_in_float32() -> None:
    x = fc.tensor(np.linspace(-4, 4, 33, dtype=np.float32)).to(fc.bfloat16).requires_grad_(True)
    y = F.hardswish(x)
    y.backward(fc.ones_like(y))
    assert x.grad is not None
    assert y.dtype == x.grad.dtype == fc.bfloat16
    wide = x.detach().float().requires_grad_(True)
    expected = F.hardswish(wide)
    expected.sum().backward()
    assert wide.grad is not None
    np.testing.assert_array_equal(y.detach().float().numpy(), expected.detach().to(fc.bfloat16).float().numpy())
    np.testing.assert_array_equal(x.grad.float().numpy(), wide.grad.to(fc.bfloat16).float().numpy())


def test_softmax2d_is_a_softmax_over_channels(torch: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 4)).astype(np.float32)
    expected = torch.nn.Softmax2d()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(nn.Softmax2d()(fc.tensor(x)).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(nn.Softmax2d()(fc.tensor(x[0])).numpy(), expected[0], rtol=1e-6)
    with pytest.raises(ValueError, match="Softmax2d"):
        nn.Softmax2d()(fc.ones(2, 3))


def test_maxout_routes_the_gradient_to_the_winner() -> None:
    x = fc.tensor([[1.0, 5.0, 5.0, 7.0, 2.0, 0.0]], requires_grad=True)
    nn.Maxout(3)(x).backward(fc.tensor([[10.0, 20.0]]))
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 10.0, 0.0, 20.0, 0.0, 0.0]]


def test_maxout_of_linear_pieces_is_convex() -> None:
    """C9, K9: max over k affine functions, here |x| from two pieces."""
    layer = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Maxout(2))
    layer[0].weight.detach().copy_(fc.tensor([[1.0], [-1.0]]))
    x = np.linspace(-2, 2, 9, dtype=np.float32).reshape(9, 1)
    np.testing.assert_array_equal(layer(fc.tensor(x)).detach().numpy(), np.abs(x))
