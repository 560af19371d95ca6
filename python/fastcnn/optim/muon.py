"""Muon: momentum whose matrix is replaced by the nearest orthogonal one."""

from __future__ import annotations

import math
from typing import Any

from ..tensor import Tensor
from .composed import ComposedOptimizer, moving_average
from .optimizer import ParamsT, check_not_negative

_COEFFICIENTS = (3.4445, -4.775, 2.0315)


def orthogonalize(
    matrix: Tensor, coefficients: tuple[float, float, float] = _COEFFICIENTS, steps: int = 5, eps: float = 1e-7
) -> Tensor:
    """A matrix with nearly the same singular vectors and singular values near 1 (between 0.7 and 1.2).

    Newton-Schulz iteration X = a X + (b A + c A^2) X with A = X X^T, from the matrix divided by its norm.

    Args:
        matrix: (rows, columns).
        coefficients: a, b, c.
        steps: of the iteration.
        eps: smallest norm.
    """
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.t()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = x * a + (gram * b + (gram @ gram) * c) @ x
    return x if wide else x.t()


class Muon(ComposedOptimizer):
    """b = momentum b + (1 - momentum) g;  p = (1 - lr weight_decay) p - lr' orthogonalize(b).

    With `nesterov` momentum b + (1 - momentum) g takes the place of b. lr' = lr sqrt(max(1, rows / columns)), or
    0.2 lr sqrt(max(rows, columns)) for adjust_lr_fn="match_rms_adamw". Computed in the parameters' dtype (torch
    iterates in bfloat16).

    Args:
        params: weights of rank 2 or more; dimensions beyond the first count as columns (torch takes matrices only).
            Biases, norms and the last layer want another optimizer.
        lr: learning rate, >= 0.
        weight_decay: decoupled, >= 0.
        momentum: in [0, 1).
        nesterov: look ahead.
        ns_coefficients: of the iteration.
        eps: smallest norm.
        ns_steps: of the iteration.
        adjust_lr_fn: None or "original", or "match_rms_adamw".

    Raises:
        ValueError: an option out of range, or a parameter without columns.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; as `torch.optim.Muon`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("Muon", **{k: group[k] for k in ("lr", "weight_decay", "momentum", "eps")})
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Muon: adjust_lr_fn is {group['adjust_lr_fn']!r}, but None, 'original' or 'match_rms_adamw' is meant"
            )
        for p in group["params"]:
            if p.ndim < 2:
                raise ValueError(f"Muon: a parameter has shape {p.shape}, but matrices or filters are expected")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        rows = p.shape[0]
        columns = p.numel() // rows
        if group["adjust_lr_fn"] == "match_rms_adamw":
            adjustment = 0.2 * math.sqrt(max(rows, columns))
        else:
            adjustment = math.sqrt(max(1.0, rows / columns))
        return {
            "momentum": group["momentum"],
            "rest": 1.0 - group["momentum"],
            "rate": group["lr"] * adjustment,
            "shrink": 1.0 - group["lr"] * group["weight_decay"],
        }

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        momentum, rest = numbers["momentum"], numbers["rest"]
        b = moving_average(state["momentum_buffer"], gradient, momentum, rest)
        if group["nesterov"]:
            b = b * momentum + gradient * rest
        matrix = b.reshape((p.shape[0], p.numel() // p.shape[0]))
        direction = orthogonalize(matrix, group["ns_coefficients"], group["ns_steps"], group["eps"])
        result: Tensor = p * numbers["shrink"] - direction.reshape(p.shape) * numbers["rate"]
        return result
