"""Batch normalisation folded into the layer before it: in evaluation it is an affine map per channel."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np

from .. import _C
from ..tensor import tensor
from .batchnorm import _BatchNorm
from .module import Module
from .parameter import Parameter

_Layer = TypeVar("_Layer", bound=Module)


def fuse_bn_eval(layer: _Layer, bn: _BatchNorm) -> _Layer:
    """A copy of a convolution or linear layer that also does what the batch normalisation behind it does in evaluation.

    weight' = weight * gamma / sqrt(var + eps), bias' = beta + (bias - mean) * gamma / sqrt(var + eps), in float64.

    Args:
        layer: with a `weight` whose first dimension is the output channels, and a `bias` or None.
        bn: with running statistics.

    Raises:
        ValueError: no running statistics, or another number of channels.

    Example:
        >>> from fastcnn import nn
        >>> fused = nn.fuse_bn_eval(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))
        >>> fused.bias.shape
        (8,)
    """
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("fuse_bn_eval: bn has no running statistics, so it is no fixed map in evaluation")
    weight: Any = layer.weight
    channels = weight.shape[0]
    if bn.num_features != channels:
        raise ValueError(f"fuse_bn_eval: layer has {channels} output channels, but bn normalises {bn.num_features}")

    def values(t: Any, default: float) -> np.ndarray[Any, Any]:
        return np.full(channels, default) if t is None else t.detach().cpu().numpy().astype(np.float64)

    scale = values(bn.weight, 1.0) / np.sqrt(values(bn.running_var, 1.0) + bn.eps)
    fused = copy.deepcopy(layer)
    wide = weight.detach().cpu().numpy().astype(np.float64) * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = values(bn.bias, 0.0) + (values(layer.bias, 0.0) - values(bn.running_mean, 0.0)) * scale

    def parameter(array: np.ndarray[Any, Any]) -> Parameter:
        return Parameter(tensor(np.ascontiguousarray(array), _C.float64).to(weight.dtype).to(weight.device))

    fused.weight = parameter(wide)
    fused._parameters.pop("bias", None)
    fused.register_parameter("bias", parameter(bias))
    return fused
