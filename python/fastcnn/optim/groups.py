"""Parameter groups by rule."""

from __future__ import annotations

from typing import Any

from ..nn.batchnorm import _BatchNorm
from ..nn.group_norm import _Affine
from ..nn.module import Module


def parameter_groups(
    model: Module, weight_decay: float, lr: float | None = None, norm_lr_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for an optimizer: weight decay for weights, none for biases and for scales and shifts of norms.

    Args:
        model: whose parameters that require a gradient are taken.
        weight_decay: of the weights of rank 2 or more.
        lr: learning rate; needed where `norm_lr_factor` is not 1.
        norm_lr_factor: factor of the learning rate of the scales of normalisation layers, e.g. 1 / 100 where they start
            at 0.1.

    Returns:
        Up to three groups, in the order weights, biases and shifts, scales of norms; empty ones are left out.

    Raises:
        ValueError: a factor without a learning rate.

    Example:
        >>> from fastcnn import nn, optim
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        >>> [(len(g["params"]), g["weight_decay"]) for g in optim.parameter_groups(model, 1e-4)]
        [(1, 0.0001), (2, 0.0), (1, 0.0)]
    """
    if norm_lr_factor != 1.0 and lr is None:
        raise ValueError("parameter_groups: norm_lr_factor needs lr, the learning rate it multiplies")
    weights: list[Any] = []
    others: list[Any] = []
    scales: list[Any] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is None or not p.requires_grad or id(p) in seen:
                continue
            seen.add(id(p))
            if isinstance(module, _BatchNorm | _Affine):
                (scales if name == "weight" else others).append(p)
            else:
                (weights if p.ndim >= 2 else others).append(p)
    rate = {} if lr is None else {"lr": lr}
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": weight_decay, **rate},
        {"params": others, "weight_decay": 0.0, **rate},
        {"params": scales, "weight_decay": 0.0, **({} if lr is None else {"lr": lr * norm_lr_factor})},
    ]
    return [group for group in groups if group["params"]]
