"""Adam: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from typing import Any

from .. import _C
from .arena import Arena
from .optimizer import Optimizer, ParamsT, check_not_negative


class Adam(Optimizer):
    """m and v are running means of g and g^2; p -= lr m' / (sqrt(v') + eps) with m' = m / (1 - beta1^t), v' likewise.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of m and v, in [0, 1).
        eps: added to the root of v', >= 0.
        weight_decay: L2 penalty added to the gradient, >= 0.
        amsgrad: divide by the root of the largest v so far.
        maximize: ascend instead.
        decoupled_weight_decay: shrink the parameter by lr weight_decay instead of adding to the gradient (AdamW).
        bias_correction: divide m and v by 1 - beta^t; without it, early steps are larger (an addition to PyTorch).

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn.optim import Adam
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([20.0])
        >>> Adam([p], lr=0.5).step()
        >>> round(p.item(), 4)
        0.5

    Source: Kingma & Ba, "Adam", ICLR 2015; Reddi et al., ICLR 2018 (amsgrad); as `torch.optim.Adam`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
            "bias_correction": bias_correction,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative(self._name(), **{k: group[k] for k in ("lr", "eps", "weight_decay")})
        for i, beta in enumerate(group["betas"]):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"{self._name()}: betas[{i}] is {beta}, but must be in [0, 1)")

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], beta1, beta2, group["eps"], group["weight_decay"]

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        _C.adam_step(
            kernel,
            arena.buffer("exp_avg"),
            arena.buffer("exp_avg_sq"),
            arena.buffer("max_exp_avg_sq") if group["amsgrad"] else None,
            group["decoupled_weight_decay"],
            group["bias_correction"],
            group["maximize"],
        )
