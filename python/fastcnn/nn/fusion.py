"""Batch normalisation folded into the layer before it: in evaluation it is an affine map per channel."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np

from .. import _C
from ..autograd import enable_grad
from ..functional import relu
from ..tensor import Tensor, tensor
from .batchnorm import _BatchNorm
from .conv import Conv2d
from .conv_nd import Conv1d, Conv3d
from .linear import Linear
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


class FoldedNorm(Module):
    """What is left of a batch normalisation whose arithmetic went into the layer before: residual and activation."""

    def forward(self, input: Tensor, *, activation: str | None = None, residual: Tensor | None = None) -> Tensor:
        """Shape kept."""
        output = input if residual is None else input + residual
        return relu(output) if activation == "relu" else output


def fuse_conv_bn(model: _Layer, input: Tensor) -> _Layer:
    """A copy of a model for evaluation, in which convolutions and linear layers do the batch norms behind them.

    A batch norm is folded where it is the only one to read the output of a convolution or linear layer, both of which
    run once: what follows what is seen as `input` passes through the model, for which an empty batch is enough.

    Args:
        model: left as it is.
        input: what the model takes, e.g. `fc.zeros(0, 3, 224, 224)`.

    Returns:
        The copy, in eval mode, with `FoldedNorm`s in place of the batch norms. Evaluation computes the same up to
        rounding; training the copy would train without batch norm.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        >>> nn.fuse_conv_bn(model, fc.zeros(0, 3, 8, 8))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): FoldedNorm()
          (2): ReLU()
        )
    """
    fused = copy.deepcopy(model).eval()
    outputs: dict[Any, list[Module]] = {}  # recorded call -> the layer whose output it made
    norms: list[tuple[_BatchNorm, Any, Any]] = []  # batch norm, the call that made its input, its own call
    calls: dict[Module, int] = {}
    seen: list[Any] = []

    def record(module: Module, args: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        seen.append(output)
        if isinstance(module, _BatchNorm):
            norms.append((module, args[0]._node, output._node))
        else:
            outputs.setdefault(output._node, []).append(module)

    layers = [m for m in fused.modules() if isinstance(m, Conv1d | Conv2d | Conv3d | Linear | _BatchNorm)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        with enable_grad():
            seen.append(fused(input.detach().requires_grad_(True)))
    finally:
        for handle in handles:
            handle.remove()
    readers = _readers(seen)
    replacements: dict[Module, Module] = {}
    for norm, source, own in norms:
        makers = outputs.get(source, [])
        if len(makers) == 1 and calls[makers[0]] == calls[norm] == 1 and readers.get(source) == [own]:
            replacements[makers[0]], replacements[norm] = fuse_bn_eval(makers[0], norm), FoldedNorm().eval()
    for parent in list(fused.modules()):
        for name, child in parent._modules.items():
            if child in replacements:
                parent._modules[name] = replacements[child]
    return fused


def _readers(outputs: list[Any]) -> dict[Any, list[Any]]:
    """For every recorded call behind the outputs, the calls that read its result."""
    waiting = [t._node for out in outputs for t in (out if isinstance(out, tuple) else (out,)) if t._node is not None]
    found: dict[Any, list[Any]] = {}
    visited = set(waiting)
    while waiting:
        node = waiting.pop()
        for edge in node.edges:
            if isinstance(edge, tuple):
                found.setdefault(edge[0], []).append(node)
                if edge[0] not in visited:
                    visited.add(edge[0])
                    waiting.append(edge[0])
    return found
