"""Functions of functions, as in `torch.func`: products with Jacobians, and Jacobians.

With y = f(x), x of n and y of m numbers, the Jacobian is the m x n matrix of dy_i / dx_j: the derivative of a scalar is
a row. Backpropagation multiplies it from the left by a row of m numbers without ever writing it down, layer by layer
from the output to the input; the whole matrix takes m such products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .autograd import enable_grad, grad
from .tensor import Tensor, tensor

__all__ = ["jacrev", "matrix_derivative", "vjp"]


def _leaf(op: str, value: Any, position: int) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: argument {position} is {type(value).__name__}, but a Tensor is expected")
    return value.detach().requires_grad_(True)


def vjp(func: Callable[..., Tensor], *primals: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """The value of a function and the map v -> v^T J, which costs as much as one evaluation whatever J's size is.

    Args:
        func: takes the primals, returns one tensor.
        *primals: where to evaluate; floating tensors.

    Returns:
        (func(*primals), product), where product(v), v of the output's shape, returns one tensor per primal, of the
        primal's shape: zeros where the output does not depend on it. It may be called again and again.

    Raises:
        TypeError: an argument that is no tensor, or a result that is none.
        ValueError: product's argument has another shape than the output.

    Example:
        >>> import fastcnn as fc
        >>> value, product = fc.func.vjp(lambda x: x * x, fc.tensor([1.0, 2.0, 3.0]))
        >>> product(fc.tensor([1.0, 0.0, 10.0]))[0].tolist()
        [2.0, 0.0, 60.0]
    """
    leaves = [_leaf("vjp", primal, i) for i, primal in enumerate(primals)]
    with enable_grad():
        output = func(*leaves)
    if not isinstance(output, Tensor):
        raise TypeError(f"vjp: the function returned {type(output).__name__}, but one Tensor is expected")

    def product(cotangent: Tensor) -> tuple[Tensor, ...]:
        if not output.requires_grad:
            found: tuple[Tensor | None, ...] = (None,) * len(leaves)
        else:
            found = grad(output, leaves, cotangent, retain_graph=True, allow_unused=True)
        return tuple(_zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True))

    return output.detach(), product


def _zeros_like(leaf: Tensor) -> Tensor:
    return tensor(np.zeros(leaf.shape), leaf.dtype, leaf.device)


def jacrev(func: Callable[..., Tensor], argnums: int = 0) -> Callable[..., Tensor]:
    """The function that computes the Jacobian of `func`, row by row in reverse mode.

    Args:
        func: takes tensors, returns one tensor.
        argnums: which argument to differentiate by.

    Returns:
        A function of the same arguments. Its result has shape (*output, *argument): (m, n) for vectors, (n,) for a
        scalar function of a vector, and a scalar function of a matrix has a derivative of the matrix's own shape.

    Raises:
        TypeError: as `vjp`.

    Example:
        >>> import fastcnn as fc
        >>> f = lambda x: fc.stack([x[0] * x[1], x[1] + x[2]])
        >>> fc.func.jacrev(f)(fc.tensor([2.0, 3.0, 5.0])).tolist()
        [[3.0, 2.0, 0.0], [0.0, 1.0, 1.0]]
    """

    def jacobian(*arguments: Tensor) -> Tensor:
        def of_one(x: Tensor) -> Tensor:
            return func(*arguments[:argnums], x, *arguments[argnums + 1 :])

        x = arguments[argnums]
        output, product = vjp(of_one, x)
        rows = np.zeros((output.numel(), *x.shape))
        for i in range(output.numel()):
            unit = np.zeros(output.numel())
            unit[i] = 1.0
            (row,) = product(tensor(unit.reshape(output.shape), output.dtype, output.device))
            rows[i] = row.cpu().double().numpy()
        return tensor(rows.reshape(*output.shape, *x.shape), x.dtype, x.device)

    return jacobian


def matrix_derivative(func: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The derivative of a scalar function of a matrix in numerator layout: X is (n, m), the result (m, n).

    That is the transpose of the gradient, which everything else in fastcnn keeps in X's own shape; in this layout
    d trace(A X) / dX = A, and a row vector stays a row.

    Args:
        func: takes a matrix, returns a single number.

    Raises:
        ValueError: the argument is no matrix, or the result no single number.

    Example:
        >>> import fastcnn as fc
        >>> a = fc.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> trace = lambda x: (fc.matmul(a, x) * fc.eye(3)).sum()
        >>> fc.func.matrix_derivative(trace)(fc.zeros(2, 3)).tolist()
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    """

    def derivative(x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ValueError(f"matrix_derivative: the argument has shape {x.shape}, but a matrix (n, m) is expected")
        gradient = jacrev(func)(x)
        if gradient.numel() != x.numel():
            raise ValueError(
                f"matrix_derivative: the function returned {gradient.numel() // max(x.numel(), 1)} numbers, but one is "
                f"expected; jacrev() differentiates functions with several"
            )
        return gradient.reshape(*x.shape).t()

    return derivative
