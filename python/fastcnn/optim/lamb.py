"""LAMB: Adam's direction, scaled per parameter to the size of the parameter; for very large batches."""

from __future__ import annotations

from typing import Any

from ..ops.elementwise import logical_and, where
from ..tensor import Tensor
from .composed import ComposedOptimizer, adam_numbers, check_betas, moving_average
from .optimizer import ParamsT, check_not_negative


class LAMB(ComposedOptimizer):
    """r = m' / (sqrt(v') + eps) + weight_decay p;  p -= lr |p| / |r| r, with Adam's m' and v'. Not in torch.

    The factor |p| / |r| is 1 where either norm is 0.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of m and v, in [0, 1).
        eps: added to the root of v', >= 0.
        weight_decay: decoupled, >= 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Source: You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("LAMB", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        check_betas("LAMB", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        return adam_numbers(group, step)

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        m = moving_average(state["exp_avg"], gradient, numbers["beta1"], numbers["rest1"])
        v = moving_average(state["exp_avg_sq"], gradient * gradient, numbers["beta2"], numbers["rest2"])
        direction = m / numbers["filled1"] / ((v / numbers["filled2"]).sqrt() + numbers["eps"])
        direction = direction + p * numbers["weight_decay"]
        size, length = p.norm(), direction.norm()
        positive = logical_and(size > 0, length > 0)
        trust = where(positive, size / where(positive, length, 1.0), 1.0)
        result: Tensor = p - direction * trust * numbers["lr"]
        return result
