"""Products of matrices and vectors, with the names and rules of `torch`."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor
from .shape import reshape


class _Matmul(Function):
    @staticmethod
    def forward(ctx: Context, input: RawTensor, other: RawTensor) -> RawTensor:
        ctx.save_for_backward(input, other)
        return _C.matmul(input, other)

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Any) -> tuple[Any, ...]:
        input, other = ctx.saved_tensors
        # Vectors become matrices: a row on the left, a column on the right.
        a = input.view_as((1, *input.shape), "row_major") if input.ndim == 1 else input
        b = other.view_as((*other.shape, 1), "row_major") if other.ndim == 1 else other
        shape = list(grad_outputs[0].shape)
        if input.ndim == 1:
            shape.insert(len(shape) - (other.ndim > 1), 1)
        if other.ndim == 1:
            shape.append(1)
        grad = _C.to_layout(grad_outputs[0], "row_major").view_as(tuple(shape), "row_major")
        grad_input = grad_other = None
        if ctx.needs_input_grad[0]:
            grad_input = _like(_C.matmul(grad, b, False, True), a, input)
        if ctx.needs_input_grad[1]:
            if b.ndim == 2 and a.ndim > 2:
                product = _C.linear_backward_weight(a, grad)  # the batch is summed inside the product
            else:
                product = _C.matmul(a, grad, True, False)
            grad_other = _like(product, b, other)
        return grad_input, grad_other


def _like(grad: RawTensor, matrix: RawTensor, operand: RawTensor) -> RawTensor:
    """Sums over the batch dimensions along which `matrix` was broadcast; takes on `operand`'s shape and layout."""
    if grad.shape != matrix.shape:
        grad = _C.sum_to_shape(grad, matrix.shape)
    if operand.ndim == 1:
        return grad.view_as(operand.shape, "row_major")
    return _C.to_layout(grad, operand.layout)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Matrix product.

    Two vectors: their dot product. A vector and a matrix: the vector is a row on the left, a column on the right. More
    than two dimensions: a batch of matrices in the last two; leading dimensions broadcast.

    Args:
        input: shape (..., M, K) or (K,).
        other: shape (..., K, N) or (K,).

    Returns:
        Shape (..., M, N), without the M or N of a vector.

    Raises:
        ValueError: sizes that do not fit.
        TypeError: a dtype other than float32 and float64, or mixed dtypes.

    Example:
        >>> import fastcnn as fc
        >>> fc.matmul(fc.tensor([[1.0, 2.0], [3.0, 4.0]]), fc.tensor([1.0, -1.0])).numpy().tolist()
        [-1.0, -1.0]
    """
    result: Tensor = _Matmul.apply(input, other)
    return result


def _checked(op: str, input: Tensor, other: Tensor, ranks: tuple[int, int], expected: str) -> Tensor:
    if (input.ndim, other.ndim) != ranks:
        raise ValueError(
            f"{op}: arguments have shapes {input.shape} and {other.shape}, but {expected} are expected; "
            f"did you mean fastcnn.matmul, which takes any?"
        )
    return matmul(input, other)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices, (M, K) and (K, N).

    Raises:
        ValueError: not two matrices, or sizes that do not fit.
    """
    return _checked("mm", input, mat2, (2, 2), "two matrices")


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of two batches of matrices, (B, M, K) and (B, K, N).

    Raises:
        ValueError: not two batches of the same length, or sizes that do not fit.
    """
    if input.ndim == 3 and mat2.ndim == 3 and input.shape[0] != mat2.shape[0]:
        raise ValueError(f"bmm: input {input.shape} and mat2 {mat2.shape} are batches of different lengths")
    return _checked("bmm", input, mat2, (3, 3), "two batches of matrices")


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Product of a matrix (M, K) and a vector (K,).

    Raises:
        ValueError: other shapes, or sizes that do not fit.
    """
    return _checked("mv", input, vec, (2, 1), "a matrix and a vector")


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Dot product of two vectors (K,).

    Raises:
        ValueError: other shapes, or different lengths.
    """
    return _checked("dot", input, tensor, (1, 1), "two vectors")


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Outer product of two vectors, (M,) and (N,): the matrix of all products, (M, N).

    Raises:
        ValueError: not two vectors.
    """
    if input.ndim != 1 or vec2.ndim != 1:
        raise ValueError(f"outer: arguments have shapes {input.shape} and {vec2.shape}, but two vectors are expected")
    return matmul(reshape(input, (input.numel(), 1)), reshape(vec2, (1, vec2.numel())))
