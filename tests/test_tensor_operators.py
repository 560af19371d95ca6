"""Operators of tensors, in place as well, and methods that compute: element by element, products, reductions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from tests.small_data import image

BINARY: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.floordiv,
    operator.mod,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_binary_operators_agree_with_numpy(op: Callable[[Any, Any], Any]) -> None:
    a, b = image("float64"), np.array([[[1.5]], [[0.75]], [[2.0]]])
    x, y = fc.tensor(a), fc.tensor(b)
    for got, want in [(op(x, y), op(a, b)), (op(y, x), op(b, a)), (op(x, 1.5), op(a, 1.5)), (op(1.5, x), op(1.5, a))]:
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-14)
        assert (got.dtype == fc.bool_) == (want.dtype == bool)


@pytest.mark.parametrize("op", BINARY[:5], ids=lambda op: op.__name__)
def test_operators_are_recorded(op: Callable[[Any, Any], Any]) -> None:
    assert fc.gradcheck(
        op, (fc.tensor(image("float64")[:1], requires_grad=True), fc.tensor([1.5, 0.5, 2, 1, 3.0]).double())
    )
    assert fc.gradcheck(lambda x: op(2.0, x), (fc.tensor(image("float64")[:1], requires_grad=True),))


@pytest.mark.parametrize(
    "op", [operator.iadd, operator.isub, operator.imul, operator.itruediv], ids=lambda op: op.__name__
)
def test_in_place_operators(op: Callable[[Any, Any], Any]) -> None:
    array, other = image(), np.float32(1.5)
    x = fc.tensor(array)
    address, version = x.data_ptr(), x._data.version
    y = op(x, 1.5)
    assert y is x
    assert x.data_ptr() == address
    assert x._data.version > version
    np.testing.assert_allclose(x.numpy(), op(array.copy(), other), rtol=1e-6)

    leaf = fc.tensor(image(), requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        op(leaf, 2.0)
    with fc.no_grad():
        op(leaf, 2.0)
    np.testing.assert_allclose(leaf.detach().numpy(), op(image(), np.float32(2.0)), rtol=1e-6)

    leaf = fc.tensor([1.0, 2.0], requires_grad=True)
    total = leaf * 3.0
    total = op(total, leaf)
    reference = fc.tensor([1.0, 2.0], requires_grad=True)
    plain = {"iadd": operator.add, "isub": operator.sub, "imul": operator.mul, "itruediv": operator.truediv}[
        op.__name__
    ]
    plain(reference * 3.0, reference).sum().backward()
    total.sum().backward()
    assert leaf.grad.tolist() == reference.grad.tolist()


def test_losses_can_be_summed_in_place() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    total = fc.tensor(0.0)
    for _ in range(3):
        total += (x * x).sum()
    total.backward()
    assert x.grad.tolist() == [6.0, 12.0]
    y = x * 1.0
    with pytest.raises(ValueError, match="in place"):
        y += fc.tensor([[1.0], [2.0]], requires_grad=True)


def test_named_in_place_methods() -> None:
    x = fc.tensor([1.0, -2.0, 3.0])
    assert x.add_(1.0, alpha=2).tolist() == [3.0, 0.0, 5.0]
    assert x.sub_(1.0).tolist() == [2.0, -1.0, 4.0]
    assert x.mul_(2.0).tolist() == [4.0, -2.0, 8.0]
    assert x.div_(2.0).tolist() == [2.0, -1.0, 4.0]
    assert x.clamp_(0.0, 3.0).tolist() == [2.0, 0.0, 3.0]
    assert x.copy_(fc.tensor([7])).tolist() == [7.0, 7.0, 7.0]
    assert x.fill_(2.5).tolist() == [2.5, 2.5, 2.5]
    assert x.zero_().tolist() == [0.0, 0.0, 0.0]


def test_matmul_operator() -> None:
    a, b = image("float64")[0, 0], image("float64")[1, 1].T
    np.testing.assert_allclose((fc.tensor(a) @ fc.tensor(b)).numpy(), a @ b)
    np.testing.assert_allclose(fc.tensor(a).mm(fc.tensor(b)).numpy(), a @ b)
    np.testing.assert_allclose(
        fc.tensor(image("float64")[0]).bmm(fc.tensor(image("float64")[1].transpose(0, 2, 1))).numpy(),
        image("float64")[0] @ image("float64")[1].transpose(0, 2, 1),
    )
    assert fc.tensor([1.0, 2.0]).dot(fc.tensor([3.0, 4.0])).item() == 11.0
    assert fc.tensor([1.0, 2.0]).matmul(fc.tensor([3.0, 4.0])).item() == 11.0


def test_unary_and_logical_operators() -> None:
    x = fc.tensor([1.0, -2.0])
    assert (-x).tolist() == [-1.0, 2.0]
    assert (+x) is x
    assert abs(x).tolist() == [1.0, 2.0]
    a, b = fc.tensor([True, True, False]), fc.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (a ^ b).tolist() == [False, True, False]
    assert (~a).tolist() == [False, False, True]


ELEMENTWISE = (
    "neg abs exp log sqrt rsqrt reciprocal square sign floor ceil round sin cos log1p expm1 tanh isnan isinf isfinite"
)


@pytest.mark.parametrize("name", ELEMENTWISE.split())
def test_elementwise_methods(name: str) -> None:
    numpy = {
        "neg": np.negative,
        "rsqrt": lambda a: 1 / np.sqrt(a),
        "reciprocal": lambda a: 1 / a,
    }.get(name) or getattr(np, name)
    a = image("float64")
    if name not in ("log", "sqrt", "rsqrt", "log1p"):
        a[:, 1] *= -1
    if name.startswith("is"):
        a[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    np.testing.assert_allclose(getattr(fc.tensor(a), name)().numpy(), numpy(a), rtol=1e-13)


ELEMENTWISE_OF_TWO = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "maximum": np.maximum, "minimum": np.minimum,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


def test_other_elementwise_methods() -> None:
    x = fc.tensor([-1.0, 0.5, 2.0])
    assert x.relu().tolist() == [0.0, 0.5, 2.0]
    assert x.clamp(0.0, 1.0).tolist() == x.clip(0.0, 1.0).tolist() == [0.0, 0.5, 1.0]
    assert x.sigmoid()[1].item() == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert x.erf()[0].item() == pytest.approx(-0.8427007929)
    assert (x - 0.5).logical_not().tolist() == [False, True, False]
    assert x.where(x > 0, 9.0).tolist() == [9.0, 0.5, 2.0]
    assert x.masked_fill(x > 0, 9.0).tolist() == [-1.0, 9.0, 9.0]
    other = fc.tensor([0.0, 1.0, 2.0])
    for name, function in ELEMENTWISE_OF_TWO.items():
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(getattr(x, name)(other).numpy(), function(x.numpy(), other.numpy()), rtol=1e-6)


REDUCTIONS = ["sum", "mean", "amax", "amin", "prod", "argmax", "argmin"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_methods(name: str) -> None:
    a = image("float64")
    x = fc.tensor(a)
    np.testing.assert_allclose(
        getattr(x, name)().numpy(), getattr(a, name.replace("amax", "max").replace("amin", "min"))()
    )
    got = getattr(x, name)(1, keepdim=True)
    np.testing.assert_allclose(got.numpy(), getattr(np, name)(a, 1, keepdims=True))


def test_other_reduction_methods() -> None:
    a = image("float64")
    x = fc.tensor(a)
    np.testing.assert_allclose(x.var(1).numpy(), a.var(1, ddof=1))
    np.testing.assert_allclose(x.std(1, correction=0).numpy(), a.std(1))
    np.testing.assert_allclose(x.norm().numpy(), np.sqrt((a * a).sum()))
    np.testing.assert_allclose(x.logsumexp(2).numpy(), np.log(np.exp(a).sum(2)))
    values, indices = x.max(3)
    np.testing.assert_array_equal(values.numpy(), a.max(3))
    np.testing.assert_array_equal(indices.numpy(), a.argmax(3))
    assert x.min().item() == a.min()
    assert (x > 0).all().item()
    assert not (x < 0).any().item()
    assert 7 in fc.tensor([1, 7])
    assert 8 not in fc.tensor([1, 7])
