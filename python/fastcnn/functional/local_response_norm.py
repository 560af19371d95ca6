"""Local response normalisation: competition between neighbouring channels of a pixel."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor, tensor
from .pointwise import check_floating


@functools.lru_cache(maxsize=64)
def _band(channels: int, size: int, dtype: _C.dtype, device: str) -> RawTensor:
    """(C, C) ones where input channel j lies in the window of output channel i: i - size // 2 <= j < that + size."""
    i, j = np.mgrid[:channels, :channels]
    first = i - size // 2
    return tensor(((j >= first) & (j < first + size)).astype(np.float64), dtype, device)._data


def _rows(raw: RawTensor) -> RawTensor:
    """(N, C, ...) as the matrix (pixels, C) that it is in memory; bfloat16 in float32."""
    stored = _C.to_layout(raw, "channels_last")
    channels = raw.shape[1]
    matrix = stored.view_as((raw.numel() // channels if channels else 0, channels), "row_major")
    return _C.cast(matrix, _C.float32) if raw.dtype == _C.bfloat16 else matrix


def _unrows(matrix: RawTensor, like: RawTensor) -> RawTensor:
    """The reverse of `_rows`."""
    return _C.to_layout(_C.cast(matrix, like.dtype).view_as(like.shape, "channels_last"), like.layout)


class _LocalResponseNorm(Function):
    """y = x d^-beta with d = k + a S x^2, a = alpha / size and S the band matrix.

    grad_x = g d^-beta - 2 a beta x S^T (g x d^(-beta - 1)).
    """

    @staticmethod
    def forward(ctx: Context, input: RawTensor, size: int, alpha: float, beta: float, k: float) -> RawTensor:
        x = _rows(input)
        band = _band(x.shape[1], size, x.dtype, str(x.device))
        d = _C.add(_C.mul(_C.linear_forward(_C.square(x), band, None, None), alpha / size), k, 1.0)
        ctx.save_for_backward(input, d)
        ctx.conf = (size, alpha, beta)
        return _unrows(_C.mul(x, _C.pow_scalar(d, -beta)), input)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        input, d = ctx.saved_tensors
        size, alpha, beta = ctx.conf
        x, g = _rows(input), _rows(grad_output)
        direct = _C.mul(g, _C.pow_scalar(d, -beta))
        shared = _C.linear_backward_input(_C.div(_C.mul(direct, x), d), _band(x.shape[1], size, x.dtype, str(x.device)))
        grad = _C.sub(direct, _C.mul(_C.mul(x, shared), 2.0 * alpha / size * beta))
        return _unrows(grad, input), None, None, None, None


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divides every value by (k + alpha * mean of the squares in `size` channels around it) ** beta.

    The mean counts channels beyond the first and last as zeros, so it is a sum divided by `size`. AlexNet's paper has
    no division by `size`: its alpha=1e-4, size=5, k=2 are `alpha=5e-4, size=5, k=2` here and in torch.

    Args:
        input: (N, C, ...), floating.
        size: channels in a window, >= 1; of an even number, the extra one comes before the centre.
        alpha: factor of the mean.
        beta: exponent.
        k: what the sum starts from.

    Returns:
        The input's shape.

    Raises:
        ValueError: an input of fewer than 3 dimensions, or a size below 1.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.local_response_norm(fc.ones(1, 3, 1, 1), 3, alpha=3.0, beta=1.0).numpy().ravel().round(4)
        array([0.3333, 0.25  , 0.3333], dtype=float32)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012, 3.3.
    """
    check_floating("local_response_norm", input)
    if input.ndim < 3:
        raise ValueError(f"local_response_norm: input has shape {input.shape}, but (N, C, ...) with pixels is expected")
    if size < 1:
        raise ValueError(f"local_response_norm: size is {size}, but must be at least 1")
    result: Tensor = _LocalResponseNorm.apply(input, int(size), float(alpha), float(beta), float(k))
    return result
