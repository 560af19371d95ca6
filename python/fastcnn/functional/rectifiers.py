"""Activations made of pieces: clamped lines, exponential units, shrinkage. NaN propagates."""

from __future__ import annotations

from .. import _C
from ..autograd import RawTensor
from ..ops.creation import rand
from ..ops.elementwise import mul, where
from ..tensor import Tensor
from .activation import _replace, leaky_relu
from .pointwise import check_floating, composed, floating_unary

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(input, min_val), max_val); the gradient on the bounds is 0.

    Args:
        input: any shape, floating.
        min_val: lower bound.
        max_val: upper bound, > min_val.
        inplace: the input becomes the result.

    Raises:
        ValueError: bounds in the wrong order.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.hardtanh(fc.tensor([-3.0, 0.5, 3.0])).numpy().tolist()
        [-1.0, 0.5, 1.0]
    """
    if not min_val < max_val:
        raise ValueError(f"hardtanh: max_val is {max_val}, but must be larger than min_val, {min_val}")
    result = floating_unary("hardtanh", input, min_val, max_val)
    return _replace("hardtanh", input, result) if inplace else result


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, input), 6) (Howard et al. 2017); the gradient at 0 and 6 is 0.

    Args:
        input: any shape, floating.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.relu6(fc.tensor([-1.0, 3.0, 9.0])).numpy().tolist()
        [0.0, 3.0, 6.0]
    """
    result = floating_unary("hardtanh", input, 0.0, 6.0, op="relu6")
    return _replace("relu6", input, result) if inplace else result


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(input + 3) / 6: a sigmoid of three lines (Howard et al., "Searching for MobileNetV3", ICCV 2019).

    Args:
        input: any shape, floating.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.hardsigmoid(fc.tensor([-4.0, 0.0, 4.0])).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    result = floating_unary("hardsigmoid", input)
    return _replace("hardsigmoid", input, result) if inplace else result


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Input * relu6(input + 3) / 6 (Howard et al., "Searching for MobileNetV3", ICCV 2019).

    Args:
        input: any shape, floating.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.hardswish(fc.tensor([0.0, 3.0, 4.0])).numpy().tolist()
        [0.0, 3.0, 4.0]
    """
    result = floating_unary("hardswish", input)
    return _replace("hardswish", input, result) if inplace else result


_threshold = composed(
    lambda x, bound, value: _C.where(_C.le(x, bound), value, x),
    lambda g, x, bound, value: _C.where(_C.le(x, bound), 0.0, g),
    "threshold",
)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Input where it is larger than `threshold`, `value` elsewhere; no gradient elsewhere.

    Args:
        input: any shape, floating.
        threshold: what an element must exceed.
        value: what replaces the others.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.threshold(fc.tensor([0.5, 2.0]), 1.0, -7.0).numpy().tolist()
        [-7.0, 2.0]
    """
    result = _threshold(input, float(threshold), float(value))
    return _replace("threshold", input, result) if inplace else result


def _celu_forward(x: RawTensor, alpha: float) -> RawTensor:
    return _C.where(_C.gt(x, 0.0), x, _C.mul(_C.expm1(_C.mul(_C.minimum(x, 0.0), 1.0 / alpha)), alpha))


def _celu_backward(g: RawTensor, x: RawTensor, alpha: float) -> RawTensor:
    return _C.mul(g, _C.where(_C.gt(x, 0.0), 1.0, _C.exp(_C.mul(_C.minimum(x, 0.0), 1.0 / alpha))))


_celu = composed(_celu_forward, _celu_backward, "celu")


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Input where positive, alpha (exp(input) - 1) elsewhere (Clevert et al., ICLR 2016).

    Args:
        input: any shape, floating.
        alpha: minus the limit on the left.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.elu(fc.tensor([-100.0, 2.0])).numpy().tolist()
        [-1.0, 2.0]
    """
    result = floating_unary("elu", input, alpha, 1.0)
    return _replace("elu", input, result) if inplace else result


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 elu(input, 1.6733): keeps mean 0 and variance 1 from layer to layer (Klambauer et al., NeurIPS 2017).

    Args:
        input: any shape, floating.
        inplace: the input becomes the result.
    """
    result = floating_unary("elu", input, SELU_SCALE * SELU_ALPHA, SELU_SCALE, op="selu")
    return _replace("selu", input, result) if inplace else result


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Input where positive, alpha (exp(input / alpha) - 1) elsewhere: slope 1 on both sides of 0 (Barron 2017).

    Args:
        input: any shape, floating.
        alpha: minus the limit on the left; not 0.
        inplace: the input becomes the result.

    Raises:
        ValueError: alpha is 0.
    """
    if alpha == 0:
        raise ValueError("celu: alpha is 0, but must not be")
    result = _celu(input, float(alpha))
    return _replace("celu", input, result) if inplace else result


_softshrink = composed(
    lambda x, l: _C.sub(x, _C.clamp(x, -l, l)),
    lambda g, x, l: _C.where(_C.logical_and(_C.ge(x, -l), _C.le(x, l)), 0.0, g),
    "softshrink",
)
_hardshrink = composed(
    lambda x, l: _C.where(_C.logical_and(_C.ge(x, -l), _C.le(x, l)), 0.0, x),
    lambda g, x, l: _C.where(_C.logical_and(_C.ge(x, -l), _C.le(x, l)), 0.0, g),
    "hardshrink",
)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Input drawn towards 0 by `lambd`; 0 where |input| <= lambd.

    Raises:
        ValueError: lambd is negative.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.softshrink(fc.tensor([-2.0, 0.2, 1.0])).numpy().tolist()
        [-1.5, 0.0, 0.5]
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd is {lambd}, but must not be negative")
    return _softshrink(input, float(lambd))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Input where |input| > lambd, 0 elsewhere.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.hardshrink(fc.tensor([-2.0, 0.2, 1.0])).numpy().tolist()
        [-2.0, 0.0, 1.0]
    """
    return _hardshrink(input, float(lambd))


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Leaky ReLU whose slopes are drawn from U(lower, upper) in training, their mean otherwise (Xu et al. 2015).

    Args:
        input: any shape, floating.
        lower: smallest slope.
        upper: largest slope, >= lower.
        training: draw a slope for every element.
        inplace: the input becomes the result.

    Raises:
        ValueError: bounds in the wrong order.
    """
    check_floating("rrelu", input)
    if lower > upper:
        raise ValueError(f"rrelu: lower is {lower}, but must not exceed upper, {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = rand(*input.shape, dtype=input.dtype, device=input.device) * (upper - lower) + lower
    result = mul(input, where(input.detach() > 0, 1.0, slopes))
    return _replace("rrelu", input, result) if inplace else result
