"""Adadelta: steps in the units of the parameter, from running means of squared gradients and squared steps."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
from .composed import ComposedOptimizer, moving_average
from .optimizer import ParamsT, check_not_negative


class Adadelta(ComposedOptimizer):
    """v = rho v + (1 - rho) g^2;  d = sqrt(u + eps) / sqrt(v + eps) g;  u = rho u + (1 - rho) d^2;  p -= lr d.

    Args:
        params: parameters or groups.
        lr: factor of the step, >= 0; 1 in the paper.
        rho: decay of v and u, in [0, 1].
        eps: added under both roots, >= 0; the first steps are of the size of its root.
        weight_decay: L2 penalty, >= 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([20.0])
        >>> fc.optim.Adadelta([p], rho=0.75, eps=0.01).step()  # d = 0.1 / 10 * 20, almost
        >>> round(p.item(), 3)
        0.8

    Source: Zeiler, "Adadelta: an adaptive learning rate method", arXiv 1212.5701, 2012; as `torch.optim.Adadelta`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("Adadelta", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        if not 0.0 <= group["rho"] <= 1.0:
            raise ValueError(f"Adadelta: rho is {group['rho']}, but must be in [0, 1]")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        rho = group["rho"]
        return {**{name: group[name] for name in ("lr", "eps", "weight_decay", "rho")}, "rest": 1.0 - rho}

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        rho, rest, eps = numbers["rho"], numbers["rest"], numbers["eps"]
        if group["weight_decay"]:
            gradient = gradient + p * numbers["weight_decay"]
        v = moving_average(state["square_avg"], gradient * gradient, rho, rest)
        delta = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * gradient
        moving_average(state["acc_delta"], delta * delta, rho, rest)
        result: Tensor = p - delta * numbers["lr"]
        return result
