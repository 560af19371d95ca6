"""AdamW: Adam with weight decay that does not pass through the running means."""

from __future__ import annotations

from .adam import Adam
from .optimizer import ParamsT


class AdamW(Adam):
    """p *= 1 - lr weight_decay, then Adam's step without a penalty in the gradient.

    Args:
        params: parameters or groups.
        lr: learning rate, >= 0.
        betas: decay of the running means, in [0, 1).
        eps: added to the root, >= 0.
        weight_decay: >= 0.
        amsgrad: divide by the root of the largest running mean so far.
        maximize: ascend instead.

    Raises:
        ValueError: an option out of range.

    Source: Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019; as `torch.optim.AdamW`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
