"""Optimizers whose step is composed of tensor operations, parameter by parameter, in place of one kernel."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..ops.conversion import cast
from ..recording import refuse
from ..tensor import Tensor
from .arena import Arena
from .optimizer import Optimizer


class ComposedOptimizer(Optimizer):
    """Base class: a subclass computes the new value of one parameter in `_update`."""

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (float(group["lr"]),)

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        refuse(f"{self._name()}.step()")  # its step counts are read here
        counts = arena.step_counts()
        for i, p in enumerate(arena.parameters):
            if p.grad is None:
                continue
            # The parameter itself, or the float32 master of a bfloat16 one.
            master = Tensor(arena.view(arena.params, i))
            state = {name: Tensor(arena.view(arena.buffer(name), i)) for name in self._state_names(group)}
            step = int(counts[i]) + 1
            arena.set_step(i, step)
            gradient = cast(p.grad, master.dtype)
            write(master, self._update(group, master, -gradient if group.get("maximize") else gradient, state, step))
            if arena.mixed:
                _C.copy_(p._data, _C.cast(master._data, p.dtype))

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], step: int
    ) -> Tensor:
        """The new value of `p` in its step number `step`; states are changed with `write`."""
        raise NotImplementedError


def write(target: Tensor, value: Tensor) -> None:
    """Copies `value` into the memory of `target`."""
    _C.copy_(target._data, _C.to_layout(value._data, target._data.layout))


def check_betas(name: str, betas: tuple[float, float]) -> None:
    """Raises ValueError for a decay outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"{name}: betas[{i}] is {beta}, but must be in [0, 1)")


def moving_average(state: Tensor, value: Tensor, decay: float) -> Tensor:
    """State = decay state + (1 - decay) value, and returns it."""
    write(state, state * decay + value * (1.0 - decay))
    return state
