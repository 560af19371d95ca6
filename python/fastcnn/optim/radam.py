"""RAdam: Adam whose adaptive rate waits until its variance is known."""

from __future__ import annotations

import math
from typing import Any

from ..ops.elementwise import where
from ..tensor import Tensor
from .composed import ComposedOptimizer, adam_numbers, check_betas, decay, moving_average
from .optimizer import ParamsT, check_not_negative


def _rectification(step: int, beta2: float) -> float | None:
    """r_t, by which the step t shrinks, or None while the average of the squares is of 5 gradients or fewer."""
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / (1.0 - beta2**step)
    if length <= 5.0:
        return None
    return math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))


class RAdam(ComposedOptimizer):
    """m and v as in `Adam`;  p -= lr r_t m' sqrt(1 - beta2^t) / (sqrt(v) + eps), or lr m' in the first steps.

    m' = m / (1 - beta1^t). v averages rho_t = rho - 2 t beta2^t / (1 - beta2^t) gradients, rho = 2 / (1 - beta2) - 1;
    r_t = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t)) where rho_t > 5. Until then, v is not used.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of m and v, in [0, 1).
        eps: added to the root of v, >= 0.
        weight_decay: L2 penalty added to the gradient, >= 0.
        decoupled_weight_decay: shrink the parameter by lr weight_decay instead of adding to the gradient.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([2.0])
        >>> fc.optim.RAdam([p], lr=0.25).step()  # m' = 2
        >>> p.item()
        0.5

    Source: Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020; as `torch.optim.RAdam`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("RAdam", **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        check_betas("RAdam", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        numbers = adam_numbers(group, step)
        rectification = _rectification(step, group["betas"][1])
        return {
            **numbers,
            "rate": numbers["lr"] / numbers["filled1"],
            "adaptive": 0.0 if rectification is None else 1.0,
            "rectified": 0.0 if rectification is None else rectification * math.sqrt(numbers["filled2"]),
        }

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        p, gradient = decay(group, p, gradient, numbers)
        m = moving_average(state["exp_avg"], gradient, numbers["beta1"], numbers["rest1"])
        v = moving_average(state["exp_avg_sq"], gradient * gradient, numbers["beta2"], numbers["rest2"])
        direction = m * numbers["rate"]
        rectified = direction * numbers["rectified"] / (v.sqrt() + numbers["eps"])
        result: Tensor = p - where(numbers["adaptive"] > 0, rectified, direction)
        return result
