"""Lion: steps of one size, in the direction of the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .composed import ComposedOptimizer, check_betas, moving_average
from .optimizer import ParamsT, check_not_negative


class Lion(ComposedOptimizer):
    """p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p);  then m = beta2 m + (1 - beta2) g. Not in torch.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0; a third to a tenth of Adam's.
        betas: interpolation of the step and decay of m, in [0, 1).
        weight_decay: decoupled, >= 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([20.0])
        >>> fc.optim.Lion([p], lr=0.5).step()
        >>> p.item()
        0.5

    Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("Lion", **{k: group[k] for k in ("lr", "weight_decay")})
        check_betas("Lion", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        return {
            "lr": group["lr"],
            "shrink": 1.0 - group["lr"] * group["weight_decay"],
            "beta1": beta1,
            "rest1": 1.0 - beta1,
            "beta2": beta2,
            "rest2": 1.0 - beta2,
        }

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        direction = (state["exp_avg"] * numbers["beta1"] + gradient * numbers["rest1"]).sign()
        moving_average(state["exp_avg"], gradient, numbers["beta2"], numbers["rest2"])
        result: Tensor = p * numbers["shrink"] - direction * numbers["lr"]
        return result
