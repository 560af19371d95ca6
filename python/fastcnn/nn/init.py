"""Initialisers: fill a tensor in place, from the default generator unless another one is given.

Names, arguments and formulas of `torch.nn.init`; the numbers are fastcnn's own, the same for any number of threads.
Gradients are not recorded. A convolution weight (C_out, C_in, kH, kW) has fan_in = C_in kH kW, fan_out = C_out kH kW.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _C
from ..ops.creation import eye
from ..random import Generator, state_of
from ..tensor import Tensor
from ..tensor import tensor as new_tensor


class _Mode(threading.local):
    skipping = False


_mode = _Mode()


@contextlib.contextmanager
def skip() -> Iterator[None]:
    """Random initialisers inside the block leave memory as it is: for models that are only described, or loaded next.

    The memory of a large model is then not even touched.

    Example:
        >>> import fastcnn as fc
        >>> with fc.nn.init.skip():
        ...     model = fc.models.create_model("resnet152")
    """
    before = _mode.skipping
    _mode.skipping = True
    try:
        yield
    finally:
        _mode.skipping = before


def _draw(tensor: Tensor, draw: Callable[[_C.Tensor], None]) -> Tensor:
    """`draw` fills memory; bfloat16 rounds float32 numbers, on the CPU here, on a GPU in the kernel."""
    if _mode.skipping:
        return tensor
    raw = tensor._data
    if raw.dtype == _C.bfloat16 and raw.device.type == "cpu":
        wide = _C.empty(raw.shape, _C.float32, raw.device, raw.layout)
        draw(wide)
        _C.copy_(raw, _C.cast(wide, raw.dtype))
    else:
        draw(raw)
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    return _draw(tensor, lambda raw: _C.uniform_(raw, a, b, state_of(generator, raw.device)))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    return _draw(tensor, lambda raw: _C.normal_(raw, mean, std, state_of(generator, raw.device)))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal conditioned on [a, b], two absolute bounds."""
    return _draw(tensor, lambda raw: _C.trunc_normal_(raw, mean, std, a, b, state_of(generator, raw.device)))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`."""
    _C.fill_(tensor._data, val)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, zeros elsewhere.

    Raises:
        ValueError: not a matrix.
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: tensor has shape {tensor.shape}, but a matrix is expected")
    _C.copy_(tensor._data, eye(*tensor.shape, dtype=tensor.dtype)._data)
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Factor on the standard deviation that keeps the variance of activations behind a nonlinearity.

    Args:
        nonlinearity: "linear", "conv1d" .. "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: negative slope of "leaky_relu" (0.01 by default).

    Raises:
        ValueError: another nonlinearity.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.nn.init.calculate_gain("relu"), 4)
        1.4142
    """
    convolutions = {f"conv{transposed}{d}d" for transposed in ("", "_transpose") for d in (1, 2, 3)}
    if nonlinearity in convolutions | {"linear", "sigmoid"}:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4.0
    raise ValueError(
        f"calculate_gain: nonlinearity is {nonlinearity!r}, but linear, conv1d .. conv_transpose3d, sigmoid, tanh, "
        f"relu, leaky_relu or selu is expected"
    )


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(f"init: tensor has shape {tensor.shape}, but fan in and fan out need at least 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _correct_fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is {mode!r}, but 'fan_in' or 'fan_out' is expected")
    return _calculate_fan_in_and_fan_out(tensor)[0 if mode == "fan_in" else 1]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / max(sum(_calculate_fan_in_and_fan_out(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2.0 / max(sum(_calculate_fan_in_and_fan_out(tensor)), 1))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with standard deviation gain / sqrt(fan) (He et al., ICCV 2015).

    Args:
        tensor: weight of rank 2 or more; left alone when it has no elements.
        a: negative slope, for nonlinearity="leaky_relu".
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" of the backward pass.
        nonlinearity: see `calculate_gain`.
        generator: the default generator unless given.
    """
    if tensor.numel() == 0:
        return tensor
    bound = math.sqrt(3.0) * calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan); arguments as for `kaiming_uniform_`."""
    if tensor.numel() == 0:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation 1 / sqrt(fan_in): "Xavier" in some notes. Not in torch (LeCun et al. 1998)."""
    return normal_(tensor, 0.0, 1.0 / math.sqrt(max(_calculate_fan_in_and_fan_out(tensor)[0], 1)), generator)


def lecun_uniform_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform with standard deviation 1 / sqrt(fan_in). Not in torch."""
    bound = math.sqrt(3.0 / max(_calculate_fan_in_and_fan_out(tensor)[0], 1))
    return uniform_(tensor, -bound, bound, generator)


def _write(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    _C.copy_(tensor._data, _C.to_layout(new_tensor(values, tensor.dtype, tensor.device)._data, tensor._data.layout))
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes on its input: output channel i of a group is input channel i of the group.

    Args:
        tensor: (C_out, C_in / groups, ...) of 3 to 5 dimensions; C_out a multiple of groups.
        groups: of the convolution.

    Raises:
        ValueError: another number of dimensions, or groups that do not divide C_out.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: tensor has shape {tensor.shape}, but 3, 4 or 5 dimensions are expected")
    if groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"dirac_: groups is {groups}, but must divide the {tensor.shape[0]} output channels")
    values = np.zeros(tensor.shape)
    centre = tuple(size // 2 for size in tensor.shape[2:])
    outputs = tensor.shape[0] // groups
    for group in range(groups):
        for channel in range(min(outputs, tensor.shape[1])):
            values[(group * outputs + channel, channel, *centre)] = 1.0
    return _write(tensor, values)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A matrix with orthonormal rows or columns, whichever are fewer, times gain (Saxe et al., ICLR 2014).

    Args:
        tensor: rank 2 or more; dimensions beyond the first count as columns.
        gain: factor.
        generator: the default generator unless given.

    Raises:
        ValueError: fewer than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: tensor has shape {tensor.shape}, but at least 2 dimensions are expected")
    if tensor.numel() == 0 or _mode.skipping:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    tall = (max(rows, columns), min(rows, columns))
    normal = Tensor(_C.empty(tall, _C.float64))
    q, r = np.linalg.qr(normal_(normal, generator=generator).numpy())
    q = q * np.sign(np.diag(r))  # without this, the distribution would not be uniform
    return _write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, of which a share of every column becomes 0 (Martens, ICML 2010).

    Args:
        tensor: a matrix.
        sparsity: share of zeros in a column, in [0, 1].
        std: of the others.
        generator: the default generator unless given.

    Raises:
        ValueError: not a matrix.
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: tensor has shape {tensor.shape}, but a matrix is expected")
    if _mode.skipping:
        return tensor
    rows, columns = tensor.shape
    values = normal_(Tensor(_C.empty((rows, columns), _C.float64)), 0.0, std, generator).numpy()
    keys = uniform_(Tensor(_C.empty((rows, columns), _C.float64)), generator=generator).numpy()
    zeros = math.ceil(sparsity * rows)
    np.put_along_axis(values, np.argsort(keys, axis=0, kind="stable")[:zeros], 0.0, axis=0)
    return _write(tensor, values)


def norm_weight_(module: Any, value: float) -> Any:
    """Sets the scales of all normalisation layers below a module to one number, which layers start at 1.

    Below 1, e.g. 0.1, training may end better; the scales then want a smaller learning rate and no weight decay, which
    `optim.parameter_groups(norm_lr_factor=0.01)` gives them (Davis & Frank, "Revisiting batch norm initialization",
    ECCV 2022, arXiv:2110.13989).

    Args:
        module: changed in place.
        value: of every scale.

    Returns:
        The module.

    Example:
        >>> from fastcnn import nn
        >>> nn.init.norm_weight_(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)), 0.5)[1].weight.tolist()
        [0.5, 0.5]
    """
    from .batchnorm import _BatchNorm
    from .group_norm import _Affine

    for layer in module.modules():
        if isinstance(layer, _BatchNorm | _Affine) and layer.weight is not None:
            constant_(layer.weight, value)
    return module
