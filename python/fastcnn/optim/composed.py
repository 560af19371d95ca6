"""Optimizers whose step is composed of tensor operations, parameter by parameter, in place of one kernel."""

from __future__ import annotations

import functools
from typing import Any

from .. import _C
from ..ops.conversion import cast
from ..recording import on_replay
from ..tensor import Tensor
from .arena import Arena
from .arena import write as write_numbers
from .optimizer import Optimizer


class ComposedOptimizer(Optimizer):
    """Base class: a subclass computes the new value of one parameter in `_update`.

    What depends on the step or on options that schedulers change is computed on the host by `_numbers` and read from
    memory by the tensor operations, so that captured steps go on counting.
    """

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (float(group["lr"]),)

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        active = [i for i, p in enumerate(arena.parameters) if p.grad is not None]
        names = tuple(self._numbers(group, arena.parameters[active[0]], 1))
        table = _C.empty_outside_recordings((len(active), len(names)), arena.params.dtype, arena.device)
        self._advance(group, arena, active, table)
        on_replay(before=functools.partial(self._advance, group, arena, active, table))
        for row, i in enumerate(active):
            p = arena.parameters[i]
            # The parameter itself, or the float32 master of a bfloat16 one.
            master = Tensor(arena.view(arena.params, i))
            state = {name: Tensor(arena.view(arena.buffer(name), i)) for name in self._state_names(group)}
            numbers = {
                name: Tensor(table.view_at(row * len(names) + column, (), "row_major"))
                for column, name in enumerate(names)
            }
            assert p._grad is not None
            gradient = cast(p._grad, master.dtype)
            write(master, self._update(group, master, -gradient if group.get("maximize") else gradient, state, numbers))
            if arena.mixed:
                _C.copy_(p._data, _C.cast(master._data, p.dtype))

    def _advance(self, group: dict[str, Any], arena: Arena, active: list[int], table: _C.Tensor) -> None:
        """Counts a step of the `active` parameters and writes its numbers, a row per parameter."""
        steps = [(arena.parameters[i], arena.advance(i)) for i in active]
        write_numbers(table, [tuple(self._numbers(group, p, step).values()) for p, step in steps])

    def _numbers(self, group: dict[str, Any], p: Tensor, step: int) -> dict[str, float]:
        """Whatever `_update` needs of the options and of the step number `step` of the parameter `p`."""
        raise NotImplementedError

    def _update(
        self, group: dict[str, Any], p: Tensor, gradient: Tensor, state: dict[str, Tensor], numbers: dict[str, Tensor]
    ) -> Tensor:
        """The new value of `p`, with the `_numbers` of its step; states are changed with `write`.

        Only structure is read from `group`: which terms there are.
        """
        raise NotImplementedError


def write(target: Tensor, value: Tensor) -> None:
    """Copies `value` into the memory of `target`."""
    _C.copy_(target._data, _C.to_layout(value._data, target._data.layout))


def check_betas(name: str, betas: tuple[float, float]) -> None:
    """Raises ValueError for a decay outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"{name}: betas[{i}] is {beta}, but must be in [0, 1)")


def decay(group: dict[str, Any], p: Tensor, gradient: Tensor, numbers: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The parameter and its gradient after weight decay: of the parameter itself, or as part of the gradient."""
    if group["weight_decay"] and group["decoupled_weight_decay"]:
        p = p * numbers["shrink"]
    elif group["weight_decay"]:
        gradient = gradient + p * numbers["weight_decay"]
    return p, gradient


def moving_average(state: Tensor, value: Tensor, decay: Tensor, rest: Tensor) -> Tensor:
    """State = decay state + rest value, and returns it; rest is 1 - decay."""
    write(state, state * decay + value * rest)
    return state


def adam_numbers(group: dict[str, Any], step: int) -> dict[str, float]:
    """The decays of Adam's averages, and how much of each has been filled after so many steps."""
    beta1, beta2 = group["betas"]
    return {
        "lr": group["lr"],
        "eps": group["eps"],
        "weight_decay": group["weight_decay"],
        "shrink": 1.0 - group["lr"] * group["weight_decay"],
        "beta1": beta1,
        "rest1": 1.0 - beta1,
        "beta2": beta2,
        "rest2": 1.0 - beta2,
        "filled1": 1.0 - beta1**step,
        "filled2": 1.0 - beta2**step,
    }
