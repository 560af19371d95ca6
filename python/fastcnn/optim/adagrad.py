"""Adagrad: steps divided by the root of the sum of all squared gradients."""

from __future__ import annotations

from typing import Any

from .. import _C
from .arena import Arena
from .optimizer import Optimizer, ParamsT, check_not_negative


class Adagrad(Optimizer):
    """s += g^2;  p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        lr_decay: how fast the learning rate falls with the step t, >= 0.
        weight_decay: L2 penalty, >= 0.
        initial_accumulator_value: where the sum starts, >= 0.
        eps: added to the root, >= 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Source: Duchi et al., "Adaptive subgradient methods", JMLR 12, 2011; as `torch.optim.Adagrad`.
    """

    _state_from_start = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        check_not_negative("Adagrad", **{k: group[k] for k in names})

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["lr_decay"], group["eps"], group["weight_decay"]

    def _initial_state(self, group: dict[str, Any]) -> float:
        return float(group["initial_accumulator_value"])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        _C.adagrad_step(kernel, arena.buffer("sum", self._initial_state(group)), group["maximize"])
