"""Batch normalisation folded into the layer before it: in evaluation it is an affine map per channel.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018,
arXiv:1712.05877, section 3.2.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .. import _C
from .. import functional as F
from ..ops.creation import ones_like, zeros_like
from ..tensor import Tensor, tensor
from .activation import ReLU
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, _BatchNorm
from .container import Sequential
from .conv import Conv2d
from .conv_nd import Conv1d, Conv3d
from .linear import Identity, Linear
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
        return np.full(channels, default) if t is None else t.detach().cpu().double().numpy()

    scale = values(bn.weight, 1.0) / np.sqrt(values(bn.running_var, 1.0) + bn.eps)
    fused = copy.deepcopy(layer)
    wide = weight.detach().cpu().double().numpy() * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = values(bn.bias, 0.0) + (values(layer.bias, 0.0) - values(bn.running_mean, 0.0)) * scale

    def parameter(array: np.ndarray[Any, Any]) -> Parameter:
        return Parameter(tensor(np.ascontiguousarray(array), _C.float64).to(weight.dtype).to(weight.device))

    fused.weight = parameter(wide)
    fused._parameters.pop("bias", None)
    fused.register_parameter("bias", parameter(bias))
    return fused


_NORM_BEHIND: dict[type[Module], type[_BatchNorm]] = {
    Conv1d: BatchNorm1d,
    Conv2d: BatchNorm2d,
    Conv3d: BatchNorm3d,
    Linear: BatchNorm1d,
}


class FoldedBatchNorm(Module):
    """In the place of a batch norm whose map the layer in front of it does: the rest of what the batch norm was asked.

    A residual and the activation behind it are one pass of the batch norm's kernel, with mean 0 and variance 1, or, on
    the CPU, part of a convolution that moved here.

    Args:
        norm: the batch norm.
        done: the activation that the layer in front applies, too.
        layer: that layer, if it moved here: a convolution, which nothing may read between the two.
    """

    float32_in_bfloat16 = True

    def __init__(self, norm: _BatchNorm, done: str | None = None, layer: Conv2d | None = None) -> None:
        super().__init__()
        self.done = done
        self.add_module("layer", layer)
        assert norm.running_mean is not None
        self.register_buffer("mean", zeros_like(norm.running_mean), persistent=False)
        self.register_buffer("var", ones_like(norm.running_mean), persistent=False)

    def forward(self, input: Tensor, *, activation: str | None = None, residual: Tensor | None = None) -> Tensor:
        """Any shape, kept: activation(input + residual).

        Raises:
            RuntimeError: in training mode, where a batch norm would use the statistics of the batch.
        """
        if self.training:
            raise RuntimeError(
                "a fused model is in training mode, but its batch norms are folded away; train the model that fuse() "
                "was called on, or call eval()"
            )
        if self.layer is not None:
            if residual is None or input.device.type == "cpu":
                output: Tensor = self.layer(input, activation=activation, residual=residual)
                return output
            input = self.layer(input)
        if residual is not None:
            return F.batch_norm(input, self.mean, self.var, eps=0.0, activation=activation, residual=residual)
        return input if activation is None or activation == self.done else F.relu(input)

    def extra_repr(self) -> str:
        """The activation, for `repr`."""
        return "" if self.done is None else f"done={self.done!r}"


def fuse(model: _Layer, inplace: bool) -> _Layer:
    """What `Module.fuse` does."""
    for path, module in model.named_modules():
        name = path or type(module).__name__
        if module.training:
            raise RuntimeError(
                f"fuse: {name} is in training mode, where batch norms use the statistics of the batch; call "
                "model.eval() first"
            )
    fused = model if inplace else copy.deepcopy(model)
    uses: dict[int, int] = {}  # how often a module is registered: what several places share is left alone
    for module in fused.modules():
        for child in module._modules.values():
            uses[id(child)] = uses.get(id(child), 0) + 1
    # Only those that hold others, so that replaced layers are freed one by one.
    for module in [module for module in fused.modules() if module.fusible or isinstance(module, Sequential)]:
        for layer, norm, activation in module.fusible:
            _fold(module, layer, norm, activation, uses, move=activation is None)
        if isinstance(module, Sequential):
            _fuse_neighbours(module, uses)
    return fused


def _fuse_neighbours(sequence: Sequential, uses: dict[int, int]) -> None:
    names = list(sequence._modules)
    for first, second in pairwise(names):
        _fold(sequence, first, second, None, uses)
    kept = [name for name in names if type(sequence._modules[name]) is not FoldedBatchNorm]
    for first, second in pairwise(kept):
        layer, relu = sequence._modules[first], sequence._modules[second]
        if type(relu) is ReLU and type(layer) in (Conv2d, Linear) and _plain(layer, uses) and _plain(relu, uses):
            layer.activation = "relu"
            sequence._modules[second] = Identity().eval()


def _fold(
    owner: Module, first: str, second: str, activation: str | None, uses: dict[int, int], move: bool = False
) -> None:
    layer, norm = owner._modules.get(first), owner._modules.get(second)
    if layer is None or norm is None or type(norm) is not _NORM_BEHIND.get(type(layer)):
        return
    if norm.running_mean is None or norm.running_var is None or not (_plain(layer, uses) and _plain(norm, uses)):
        return
    folded: Any = fuse_bn_eval(layer, norm)
    if type(layer) in (Conv2d, Linear):
        folded.activation = activation
    uses[id(folded)] = 1
    if move and type(layer) is Conv2d:
        owner._modules[first] = Identity().eval()
        owner._modules[second] = FoldedBatchNorm(norm, layer=folded).eval()
        return
    owner._modules[first] = folded
    owner._modules[second] = FoldedBatchNorm(norm, activation).eval()


def _plain(module: Module, uses: dict[int, int]) -> bool:
    """Whether nothing but its one place in the model depends on the module."""
    return not module._forward_hooks and not module._forward_pre_hooks and uses.get(id(module), 0) <= 1
