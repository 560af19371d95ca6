"""Smooth activations, and those that combine channels: gated linear units, maxout, softmin. NaN propagates."""

from __future__ import annotations

from .. import _C
from ..autograd import RawTensor
from ..ops import elementwise as _elementwise
from ..ops import reduction as _reduction
from ..ops.elementwise import mul, neg
from ..ops.joining import narrow
from ..ops.shape import normalize_dim, reshape
from ..tensor import Tensor
from .pointwise import check_floating, composed, floating_unary
from .softmax import _implicit_dim, softmax


def _log1p_exp(x: RawTensor) -> RawTensor:
    """log(1 + e^x) without overflow: max(x, 0) + log(1 + e^-|x|)."""
    return _C.add(_C.maximum(x, 0.0), _C.log1p(_C.exp(_C.neg(_C.abs(x)))), 1.0)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta: a smooth ReLU.

    Args:
        input: any shape, floating.
        beta: steepness; not 0.
        threshold: the result is the input itself where beta * input exceeds it.

    Raises:
        ValueError: beta is 0.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.functional.softplus(fc.tensor([0.0])).item(), 4)
        0.6931
    """
    if beta == 0:
        raise ValueError("softplus: beta is 0, but must not be")
    return floating_unary("softplus", input, beta, threshold)


def _mish_backward(g: RawTensor, x: RawTensor) -> RawTensor:
    """T + x (1 - t^2) sigmoid(x) with t = tanh(softplus(x))."""
    t = _C.tanh(_log1p_exp(x))
    slope = _C.mul(_C.mul(x, _C.sigmoid(x)), _C.sub(1.0, _C.square(t)))
    return _C.mul(g, _C.add(t, slope, 1.0))


_mish = composed(lambda x: _C.mul(x, _C.tanh(_log1p_exp(x))), _mish_backward, "mish")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Input * tanh(softplus(input)) (Misra 2019).

    Args:
        input: any shape, floating.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.functional.mish(fc.tensor([1.0])).item(), 4)
        0.8651
    """
    return _mish(input)


_logsigmoid = composed(
    lambda x: _C.sub(_C.minimum(x, 0.0), _C.log1p(_C.exp(_C.neg(_C.abs(x))))),
    lambda g, x: _C.mul(g, _C.sigmoid(_C.neg(x))),
    "logsigmoid",
)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(input)), accurate where the sigmoid underflows.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.logsigmoid(fc.tensor([-1000.0])).item()
        -1000.0
    """
    return _logsigmoid(input)


_softsign = composed(
    lambda x: _C.div(x, _C.add(_C.abs(x), 1.0, 1.0)),
    lambda g, x: _C.div(g, _C.square(_C.add(_C.abs(x), 1.0, 1.0))),
    "softsign",
)


def softsign(input: Tensor) -> Tensor:
    """Input / (1 + |input|).

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.softsign(fc.tensor([-1.0, 3.0])).numpy().tolist()
        [-0.5, 0.75]
    """
    return _softsign(input)


_tanhshrink = composed(lambda x: _C.sub(x, _C.tanh(x)), lambda g, x: _C.mul(g, _C.square(_C.tanh(x))), "tanhshrink")


def tanhshrink(input: Tensor) -> Tensor:
    """Input - tanh(input).

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.tanhshrink(fc.tensor([0.0])).item()
        0.0
    """
    return _tanhshrink(input)


def softmin(input: Tensor, dim: int | None = None) -> Tensor:
    """`softmax` of -input along `dim`: the smallest element gets the largest share.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.softmin(fc.tensor([[2.0, 2.0]]), dim=1).numpy().tolist()
        [[0.5, 0.5]]
    """
    check_floating("softmin", input)
    return softmax(neg(input), _implicit_dim("softmin", input.ndim) if dim is None else dim)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit: the first half along `dim` times the sigmoid of the second (Dauphin et al., ICML 2017).

    Args:
        input: floating; its size along `dim` is even.
        dim: the dimension that is halved.

    Raises:
        ValueError: an odd size, or no such dimension.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.glu(fc.tensor([[3.0, 0.0]])).numpy().tolist()
        [[1.5]]
    """
    check_floating("glu", input)
    axis = normalize_dim("glu", dim, input.ndim)
    size = input.shape[axis] if input.ndim else 1
    if size % 2:
        raise ValueError(f"glu: input has shape {input.shape}, but an even size of dim {dim} is expected, got {size}")
    half = size // 2
    return mul(narrow(input, axis, 0, half), _elementwise.sigmoid(narrow(input, axis, half, half)))


def maxout(input: Tensor, pieces: int, dim: int = 1) -> Tensor:
    """The largest of every `pieces` neighbouring channels: pooling across features. Not in torch.

    Output channel i is the maximum of input channels i * pieces to (i + 1) * pieces - 1; the gradient goes to the
    channel that won (the first of equal ones).

    Args:
        input: (N, C, ...), floating.
        pieces: channels in a group; divides C.
        dim: the dimension of the channels.

    Returns:
        (N, C / pieces, ...).

    Raises:
        ValueError: `pieces` does not divide the channels.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.maxout(fc.tensor([[1.0, 5.0, 7.0, 2.0]]), 2).numpy().tolist()
        [[5.0, 7.0]]

    Source: Goodfellow et al., "Maxout networks", ICML 2013.
    """
    check_floating("maxout", input)
    axis = normalize_dim("maxout", dim, input.ndim)
    channels = input.shape[axis]
    if pieces < 1 or channels % pieces:
        raise ValueError(
            f"maxout: pieces is {pieces}, but must divide the {channels} channels of input {input.shape} (dim {dim})"
        )
    shape = input.shape
    groups = reshape(input, (*shape[:axis], channels // pieces, pieces, *shape[axis + 1 :]))
    largest: Tensor = _reduction.max(groups, axis + 1).values
    return largest
