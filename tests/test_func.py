"""Jacobians and their products, and what the lectures say about matrix calculus."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from fastcnn.func import jacrev, matrix_derivative, vjp


def values(*shape: int, seed: int = 0) -> fc.Tensor:
    return fc.tensor(np.random.default_rng(seed).normal(size=shape))


def test_jacobian_of_a_linear_map_is_its_matrix() -> None:
    """B4: y = A x with m = 2, n = 4 has the 2 x 4 Jacobian A; the derivative of a scalar is the row of n numbers."""
    a, x = values(2, 4), values(4, seed=1)
    jacobian = jacrev(lambda x: fc.mv(a, x))(x)
    assert jacobian.shape == (2, 4)
    np.testing.assert_array_equal(jacobian.numpy(), a.numpy())
    row = jacrev(lambda x: fc.mv(a[:1], x))(x)  # y of shape (1,): a row vector
    assert row.shape == (1, 4)
    assert jacrev(lambda x: (x * x).sum())(x).tolist() == (2 * x).tolist()


def test_derivative_by_a_matrix_is_transposed() -> None:
    """B4: X is n x m, dy/dX is m x n: d trace(A X) / dX = A, and dC/dW of W x is x (dC/dy), the transposed gradient."""
    a, x = values(3, 2), values(2, 3, seed=1)
    trace = matrix_derivative(lambda x: (fc.matmul(a, x) * fc.eye(3, dtype=fc.float64)).sum())(x)
    assert trace.shape == (3, 2)
    np.testing.assert_allclose(trace.numpy(), a.numpy())
    w, inputs, upstream = values(2, 3), values(3, seed=2), values(2, seed=3)

    def cost(w: fc.Tensor) -> fc.Tensor:
        return (fc.mv(w, inputs) * upstream).sum()

    gradient = jacrev(cost)(w)
    np.testing.assert_allclose(gradient.numpy(), np.outer(upstream.numpy(), inputs.numpy()))
    np.testing.assert_allclose(matrix_derivative(cost)(w).numpy(), np.outer(inputs.numpy(), upstream.numpy()))


def test_chain_rule_multiplies_jacobians() -> None:
    """B5: [m x n] = [m x p] [p x n], in the exercise m = 1, p = 2, n = 4."""
    inner, outer, x = values(2, 4), values(1, 2, seed=1), values(4, seed=2)

    def g(x: fc.Tensor) -> fc.Tensor:
        return fc.tanh(fc.mv(inner, x))

    def f(q: fc.Tensor) -> fc.Tensor:
        return fc.sigmoid(fc.mv(outer, q))

    first, second = jacrev(g)(x), jacrev(f)(g(x))
    assert (second.shape, first.shape) == ((1, 2), (2, 4))
    whole = jacrev(lambda x: f(g(x)))(x)
    assert whole.shape == (1, 4)
    np.testing.assert_allclose(whole.numpy(), second.numpy() @ first.numpy(), rtol=1e-12)


def test_reverse_mode_needs_only_matrix_vector_products() -> None:
    """B9: v^T J from the output to the input. J itself would have 10^12 numbers, 8 TB, in every one of three layers."""
    size = 1_000_000
    x, v = values(size), values(size, seed=1)
    value, product = vjp(lambda x: fc.sin(fc.tanh(x) * x), x)
    (row,) = product(v)
    a = x.numpy()
    slope = np.cos(np.tanh(a) * a) * (np.tanh(a) + a * (1 - np.tanh(a) ** 2))
    np.testing.assert_allclose(row.numpy(), v.numpy() * slope, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(value.numpy(), np.sin(np.tanh(a) * a), rtol=1e-9)


def test_vjp_equals_the_product_with_the_jacobian() -> None:
    """B9: for a network, from right to left."""
    model = nn.Sequential(nn.Linear(5, 7, dtype=fc.float64), nn.Tanh(), nn.Linear(7, 3, dtype=fc.float64))
    x, v = values(5), values(3, seed=1)
    jacobian = jacrev(model)(x)
    _, product = vjp(model, x)
    for _ in range(2):  # again and again
        np.testing.assert_allclose(product(v)[0].numpy(), v.numpy() @ jacobian.numpy(), rtol=1e-12)
    first, second = (model[i].weight.detach().numpy() for i in (0, 2))
    hidden = np.tanh(first @ x.numpy() + model[0].bias.detach().numpy())
    np.testing.assert_allclose(jacobian.numpy(), second @ np.diag(1 - hidden**2) @ first, rtol=1e-12)
    assert all(p.grad is None for p in model.parameters())


def test_several_arguments() -> None:
    x, y = values(3), values(3, seed=1)
    _, product = vjp(lambda x, y: x * 2, x, y)
    assert [p.tolist() for p in product(fc.ones(3, dtype=fc.float64))] == [[2.0] * 3, [0.0] * 3]
    np.testing.assert_array_equal(jacrev(lambda x, y: x * y, argnums=1)(x, y).numpy(), np.diag(x.numpy()))
    _, product = vjp(lambda x: fc.ones(2), x)
    assert product(fc.ones(2))[0].tolist() == [0.0] * 3


def test_mistakes_are_named() -> None:
    x = values(3)
    with pytest.raises(TypeError, match="argument 0 is list"):
        vjp(lambda x: x, [1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="returned tuple"):
        vjp(lambda x: (x, x), x)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\)"):
        vjp(lambda x: x * 2, x)[1](values(2))
    with pytest.raises(ValueError, match=r"matrix \(n, m\)"):
        matrix_derivative(lambda x: x.sum())(x)
    with pytest.raises(ValueError, match="returned 2 numbers"):
        matrix_derivative(lambda x: x[0])(values(2, 2))
