"""gradcheck and grad_check_sparse accept right gradients and find planted errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn.autograd import Function


def raw(values: np.ndarray, like: _C.Tensor) -> _C.Tensor:
    out = _C.empty(like.shape, like.dtype)
    out.numpy()[...] = values
    return out


class _Cube(Function):
    """x**3; `sign` = -1 plants the bug of lecture row B26, `roll` permutes the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any, sign: float, roll: int) -> Any:
        ctx.save_for_backward(x)
        ctx.plant = sign, roll
        return raw(x.numpy() ** 3, x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (x,) = ctx.saved_tensors
        sign, roll = ctx.plant
        return raw(np.roll(sign * 3 * x.numpy() ** 2 * grad.numpy(), roll), x), None, None


def cube(x: fc.Tensor, sign: float = 1.0, roll: int = 0) -> Any:
    return _Cube.apply(x, sign, roll)


def make(shape: tuple[int, ...] = (2, 3), dtype: Any = fc.float64) -> fc.Tensor:
    return fc.tensor(np.random.default_rng(0).uniform(0.5, 2, shape), dtype=dtype, requires_grad=True)


def test_gradcheck_accepts_right_gradients() -> None:
    x = make()
    before = x.detach().numpy().copy()
    assert fc.gradcheck(cube, x)
    assert fc.gradcheck(lambda x, y: [cube(x), cube(y), fc.tensor([1.0])], [make((3, 1, 2)), make(), "unused"][:2])
    assert x.grad is None
    assert np.array_equal(x.detach().numpy(), before)


def test_gradcheck_finds_a_sign_bug() -> None:
    with pytest.raises(RuntimeError, match=r"gradient of input 0 at \(0, 0\) is -.*central differences give"):
        fc.gradcheck(lambda x: cube(x, sign=-1.0), [make()])
    assert not fc.gradcheck(lambda x: cube(x, sign=-1.0), [make()], raise_exception=False)


def test_gradcheck_finds_a_permuted_gradient() -> None:
    """All elements equal: with a cotangent of ones the permutation would not show."""
    x = fc.tensor(np.ones((4,)), requires_grad=True)
    with pytest.raises(RuntimeError, match="gradcheck"):
        fc.gradcheck(lambda x: cube(x, roll=1), x)


def test_gradcheck_finds_a_missing_gradient() -> None:
    x, y = make(), make()
    with pytest.raises(RuntimeError, match="input 1"):
        fc.gradcheck(lambda x, y: [cube(x), cube(y.detach())][:1] if y.requires_grad else cube(y), [x, y])


def test_gradcheck_finds_nan() -> None:
    with pytest.raises(RuntimeError, match="nan"):
        fc.gradcheck(lambda x: cube(x, sign=float("nan")), make())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([fc.tensor([1.0])], "no input requires a gradient"),
        ([fc.tensor([1.0], requires_grad=True)], "input 0 is fastcnn.float32, but expected float64"),
    ],
)
def test_gradcheck_rejects_unsuitable_inputs(arguments: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fc.gradcheck(cube, arguments)


def test_gradcheck_rejects_outputs_without_a_gradient() -> None:
    with pytest.raises(ValueError, match="no output depends"):
        fc.gradcheck(lambda x: fc.tensor([1.0]), make())


@pytest.mark.parametrize("as_tensor", [False, True])
def test_grad_check_sparse_finds_a_planted_sign_bug(as_tensor: bool) -> None:
    values = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    x = fc.tensor(values) if as_tensor else values
    gradient = fc.tensor(3 * values**2) if as_tensor else 3 * values**2

    def f(x: Any) -> Any:
        return fc.tensor((x.numpy() ** 3).sum()) if as_tensor else (x**3).sum()

    before = values.copy()
    assert fc.grad_check_sparse(f, x, gradient).shape == (10,)
    assert fc.grad_check_sparse(f, x, gradient, num_checks=20, h=1e-6).max() < 1e-5
    wrong = -3 * values**2
    assert fc.grad_check_sparse(f, x, fc.tensor(wrong) if as_tensor else wrong).min() > 0.99
    assert np.array_equal(values, before)


def test_grad_check_sparse_takes_zero_gradients_and_rejects_bad_shapes() -> None:
    x = np.ones((3,))
    assert np.array_equal(fc.grad_check_sparse(lambda x: 1.0, x, np.zeros(3)), np.zeros(10))
    with pytest.raises(ValueError, match=r"analytic_grad has shape \(2,\), but expected that of x, \(3,\)"):
        fc.grad_check_sparse(lambda x: 1.0, x, np.zeros(2))
    with pytest.raises(ValueError, match="x is empty"):
        fc.grad_check_sparse(lambda x: 1.0, np.zeros((0,)), np.zeros((0,)))
