"""Adamax: Adam with the largest recent gradient in place of the root of the mean square."""

from __future__ import annotations

from typing import Any

from ..ops.elementwise import maximum
from ..tensor import Tensor
from .composed import ComposedOptimizer, adam_numbers, check_betas, moving_average, write
from .optimizer import ParamsT, check_not_negative


class Adamax(ComposedOptimizer):
    """m = beta1 m + (1 - beta1) g;  u = max(beta2 u, |g| + eps);  p -= lr / (1 - beta1^t) m / u.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of m and u, in [0, 1).
        eps: added to |g|, >= 0.
        weight_decay: L2 penalty, >= 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([20.0])
        >>> fc.optim.Adamax([p], lr=0.5).step()  # the first step is lr
        >>> round(p.item(), 6)
        0.5

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.1; as
    `torch.optim.Adamax`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("Adamax", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        check_betas("Adamax", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        numbers = adam_numbers(group, step)
        return {**numbers, "rate": numbers["lr"] / numbers["filled1"]}

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        if group["weight_decay"]:
            gradient = gradient + p * numbers["weight_decay"]
        m = moving_average(state["exp_avg"], gradient, numbers["beta1"], numbers["rest1"])
        write(state["exp_inf"], maximum(state["exp_inf"] * numbers["beta2"], gradient.abs() + numbers["eps"]))
        result: Tensor = p - m * numbers["rate"] / state["exp_inf"]
        return result
