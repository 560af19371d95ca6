"""RMSprop: steps divided by the root of a running mean of squared gradients."""

from __future__ import annotations

from typing import Any

from .. import _C
from .arena import Arena
from .optimizer import Optimizer, ParamsT, check_not_negative


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt(v) + eps), or a momentum sum of these quotients.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        alpha: decay of the running mean, >= 0.
        eps: added to the root, >= 0.
        weight_decay: L2 penalty, >= 0.
        momentum: factor of the running sum of quotients, >= 0; 0 means none.
        centered: divide by an estimate of the standard deviation: v minus the square of a running mean of g.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Source: Hinton, "Neural networks for machine learning", lecture 6e; centered: Graves, arXiv 1308.0850; as
    `torch.optim.RMSprop`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("RMSprop", **{k: group[k] for k in ("lr", "eps", "momentum", "weight_decay", "alpha")})

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"]

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *momentum, *(("grad_avg",) if group["centered"] else ()))

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        _C.rmsprop_step(
            kernel,
            arena.buffer("square_avg"),
            arena.buffer("grad_avg") if group["centered"] else None,
            arena.buffer("momentum_buffer") if group["momentum"] > 0 else None,
            group["maximize"],
        )
