"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

import functools
from typing import Any

from ..tensor import Tensor
from .composed import ComposedOptimizer, adam_numbers, check_betas, decay, moving_average
from .optimizer import ParamsT, check_not_negative


@functools.lru_cache(maxsize=4096)
def _momentum(step: int, beta1: float, decay: float) -> float:
    """The momentum of a step: beta1 (1 - 0.96^(step decay) / 2)."""
    return float(beta1 * (1.0 - 0.5 * 0.96 ** (step * decay)))


class NAdam(ComposedOptimizer):
    """m and v as in `Adam`;  p -= lr (mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v') + eps).

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), M_t the product of mu_1 to mu_t.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of m and v, in [0, 1).
        eps: added to the root of v', >= 0.
        weight_decay: L2 penalty added to the gradient, >= 0.
        momentum_decay: >= 0.
        decoupled_weight_decay: shrink the parameter by lr weight_decay instead of adding to the gradient.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016; as `torch.optim.NAdam`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        self._products: dict[tuple[float, float], list[float]] = {}
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("NAdam", **{k: group[k] for k in ("lr", "eps", "weight_decay", "momentum_decay")})
        check_betas("NAdam", group["betas"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _product(self, step: int, beta1: float, decay: float) -> float:
        """M_step, the products of all steps being kept."""
        products = self._products.setdefault((beta1, decay), [1.0])
        while len(products) <= step:
            products.append(products[-1] * _momentum(len(products), beta1, decay))
        return products[step]

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        beta1, fade = group["betas"][0], group["momentum_decay"]
        now, following = _momentum(step, beta1, fade), _momentum(step + 1, beta1, fade)
        product = self._product(step, beta1, fade)
        return {
            **adam_numbers(group, step),
            "ahead": following / (1.0 - product * following),
            "here": (1.0 - now) / (1.0 - product),
        }

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        p, gradient = decay(group, p, gradient, numbers)
        m = moving_average(state["exp_avg"], gradient, numbers["beta1"], numbers["rest1"])
        v = moving_average(state["exp_avg_sq"], gradient * gradient, numbers["beta2"], numbers["rest2"])
        ahead = m * numbers["ahead"] + gradient * numbers["here"]
        result: Tensor = p - ahead * numbers["lr"] / ((v / numbers["filled2"]).sqrt() + numbers["eps"])
        return result
