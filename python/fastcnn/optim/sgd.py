"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from .. import _C
from .arena import Arena
from .optimizer import Optimizer, ParamsT, check_not_negative


class SGD(Optimizer):
    """p -= lr d, where d is the gradient or, with momentum, a running sum of gradients.

    d = g + weight_decay p;  b = momentum b + (1 - dampening) d (b = d at first);  p -= lr b, or with `nesterov`
    p -= lr (d + momentum b).

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        momentum: factor of the running sum, >= 0; 0 means none.
        dampening: how much less of the new gradient enters the running sum.
        weight_decay: L2 penalty, >= 0.
        nesterov: Nesterov's momentum; needs momentum > 0 and dampening 0.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn.optim import SGD
        >>> p = fc.nn.Parameter(fc.tensor([1.0]))
        >>> p.grad = fc.tensor([2.0])
        >>> SGD([p], lr=0.25).step()
        >>> p.detach().numpy().tolist()
        [0.5]

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013; as
    `torch.optim.SGD`.
    """

    _has_step = False

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("SGD", **{k: group[k] for k in ("lr", "momentum", "weight_decay")})
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, but they are {group['momentum']} and "
                f"{group['dampening']}"
            )

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["momentum"], group["dampening"], group["weight_decay"]

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        buffer = arena.buffer("momentum_buffer") if group["momentum"] != 0 else None
        _C.sgd_step(kernel, buffer, group["nesterov"], group["maximize"])
