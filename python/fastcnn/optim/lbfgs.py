"""L-BFGS: full-batch steps with an approximation of the inverse Hessian from the last gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ..autograd import enable_grad, no_grad
from ..ops.joining import cat
from ..recording import refuse
from ..tensor import Tensor
from .arena import Arena
from .composed import write
from .line_search import strong_wolfe
from .optimizer import Optimizer, ParamsT, check_not_negative


class LBFGS(Optimizer):
    """Minimises a deterministic function of all parameters: `step(closure)` makes up to `max_iter` iterations.

    d = -H g with H from the last `history_size` pairs of changes of parameters and gradient (two-loop recursion);
    p += t d, t from a line search or `lr`. Wants the full batch and no source of noise: with dropout or another batch
    in every call of the closure it warns.

    Args:
        params: parameters; one group only.
        lr: step length of every iteration but the first, which is at most 1 / sum |g| as long.
        max_iter: iterations per `step`.
        max_eval: evaluations per `step`; 1.25 max_iter unless given.
        tolerance_grad: stop when no component of the gradient is larger.
        tolerance_change: stop when loss or parameters change less.
        history_size: pairs that are kept.
        line_search_fn: None or "strong_wolfe".

    Raises:
        ValueError: an option out of range, or several groups.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([3.0, -2.0]))
        >>> optimizer = fc.optim.LBFGS([p], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((p - 1.0) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> loss = optimizer.step(closure)
        >>> p.detach().numpy().round(4).tolist()
        [1.0, 1.0]

    Source: Liu & Nocedal, "On the limited memory BFGS method", 1989; options as `torch.optim.LBFGS`. The history is not
    part of `state_dict`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: {len(self.param_groups)} parameter groups, but only one is supported")
        self._pairs: list[tuple[Tensor, Tensor, float]] = []  # changes of parameters and gradient, their product
        self._scale = 1.0
        self._previous: tuple[Tensor, Tensor, float] | None = None  # gradient, direction, step length
        self._checked = False

    def _check_options(self, group: dict[str, Any]) -> None:
        check_not_negative("LBFGS", **{k: group[k] for k in ("lr", "tolerance_grad", "tolerance_change")})
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS: line_search_fn is {group['line_search_fn']!r}, but None or 'strong_wolfe' is expected"
            )

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (float(group["lr"]),)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ()

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        raise RuntimeError("LBFGS: step needs a closure that computes the loss")

    def _flat_gradient(self) -> Tensor:
        group = self.param_groups[0]
        return cat([(p * 0.0 if p.grad is None else p.grad).detach().reshape((-1,)) for p in group["params"]])

    def _move(self, origin: list[Tensor], direction: Tensor, length: float) -> None:
        """Parameters become origin + length * direction."""
        first = 0
        for p, start in zip(self.param_groups[0]["params"], origin, strict=True):
            part = direction[first : first + p.numel()].reshape(p.shape)
            write(p.detach(), start + part * length)
            first += p.numel()

    def _direction(self, gradient: Tensor) -> Tensor:
        """-H gradient by the two-loop recursion."""
        q = -gradient
        shares = []
        for change, difference, product in reversed(self._pairs):
            share = _dot(change, q) / product
            shares.append(share)
            q = q - difference * share
        q = q * self._scale
        for (change, difference, product), share in zip(self._pairs, reversed(shares), strict=True):
            q = q + change * (share - _dot(difference, q) / product)
        return q

    def _remember(self, gradient: Tensor) -> None:
        if self._previous is None:
            return
        before, direction, length = self._previous
        difference, change = gradient - before, direction * length
        product = _dot(difference, change)
        if product > 1e-10:
            self._pairs.append((change, difference, product))
            del self._pairs[: -self.param_groups[0]["history_size"]]
            self._scale = product / _dot(difference, difference)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes up to `max_iter` iterations.

        Args:
            closure: clears the gradients, computes the loss, calls backward and returns the loss.

        Returns:
            The loss before the first iteration.

        Raises:
            TypeError: no closure.
            CaptureError: in a captured function: losses and slopes decide what is computed next.
        """
        if closure is None:
            raise TypeError("LBFGS: step() needs a closure that clears the gradients and computes the loss")
        refuse("LBFGS.step()")
        group = self.param_groups[0]

        def loss_and_gradient() -> tuple[Any, float, Tensor]:
            with enable_grad():
                result = closure()
            return result, float(result), self._flat_gradient()

        self.step_calls += 1
        with no_grad():
            first, loss, gradient = loss_and_gradient()
            if not self._checked:
                self._checked = True
                _, again, _ = loss_and_gradient()
                if again != loss:
                    warnings.warn(
                        f"LBFGS: the closure returned {loss} and then {again} for the same parameters; use the full "
                        f"batch and switch off dropout and other noise (model.eval())",
                        RuntimeWarning,
                        stacklevel=2,
                    )
            evaluations = 1
            for _ in range(group["max_iter"]):
                if float(gradient.abs().max()) <= group["tolerance_grad"]:
                    break
                self._remember(gradient)
                direction = self._direction(gradient)
                slope = _dot(gradient, direction)
                if slope > -group["tolerance_change"]:
                    break
                guess = group["lr"]
                if self._previous is None:
                    guess *= min(1.0, 1.0 / float(gradient.abs().sum()))
                origin = [p.detach().clone() for p in group["params"]]
                old_gradient, old_loss, length = gradient, loss, guess
                if group["line_search_fn"] is None:
                    self._move(origin, direction, length)
                    _, loss, gradient = loss_and_gradient()
                    evaluations += 1
                else:

                    def along(
                        t: float, origin: list[Tensor] = origin, direction: Tensor = direction
                    ) -> tuple[float, float]:
                        self._move(origin, direction, t)
                        _, value, here = loss_and_gradient()
                        return value, _dot(here, direction)

                    length, count = strong_wolfe(along, loss, slope, length)
                    self._move(origin, direction, length)
                    _, loss, gradient = loss_and_gradient()
                    evaluations += count + 1
                self._previous = (old_gradient, direction, length)
                if evaluations >= group["max_eval"]:
                    break
                if float((direction * length).abs().max()) <= group["tolerance_change"]:
                    break
                if abs(loss - old_loss) < group["tolerance_change"]:
                    break
        return first


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())
