"""`Optimizer`: parameter groups, flat memory, saving and loading; the base of SGD, Adam and the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from .. import _C, observing
from ..autograd import enable_grad, no_grad
from ..recording import StaleRecordingError, on_replay
from ..tensor import Tensor, bfloat16, float32, float64
from .arena import Arena

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]]


def check_not_negative(optimizer: str, **values: float) -> None:
    """Raises ValueError for the first number that is negative or NaN."""
    for name, value in values.items():
        if not value >= 0.0:
            raise ValueError(f"{optimizer}: {name} is {value}, but must not be negative")


class Optimizer:
    """Base class: an optimizer defines the options, the state and the kernel call of its parameter groups.

    The parameters of a group move into one flat buffer, their gradients into another; `p.grad` is then a view of that
    buffer, which the next backward after `zero_grad` overwrites. On a GPU a step is one kernel launch per group.

    bfloat16 parameters are stepped in float32: the optimizer keeps a float32 master of each ("master" in its state) and
    float32 states, and rounds the masters to the parameters after every step.

    Args:
        params: tensors, or dicts with "params" and options that differ from `defaults`.
        defaults: options of groups that do not give them.

    Raises:
        TypeError: `params` is not an ordered collection of tensors or dicts, or a tensor is neither float32 nor
            bfloat16 nor, on the CPU, float64.
        ValueError: no parameters, a parameter given twice, or one that is not a leaf.
    """

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.step_calls = 0  # how often step() ran: schedulers warn when it never did
        self._arenas: list[list[Arena]] = []
        if isinstance(params, Tensor):
            raise TypeError(
                f"{self._name()}: params is a Tensor, but an iterable of Tensors or dicts is expected; "
                f"did you mean [tensor]?"
            )
        if not hasattr(params, "__iter__"):
            hint = "; did you mean model.parameters()?" if hasattr(params, "parameters") else ""
            raise TypeError(
                f"{self._name()}: params is {type(params).__name__}, but an iterable of Tensors or dicts is "
                f"expected{hint}"
            )
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name()}: params is empty; does the model have parameters?")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            if not isinstance(group, dict):
                raise TypeError(f"{self._name()}: params mixes dicts and {type(group).__name__}")
            self.add_param_group(group)

    @classmethod
    def _name(cls) -> str:
        return cls.__name__

    # What a concrete optimizer defines ----------------------------------------------------------------------------

    def _check_options(self, group: dict[str, Any]) -> None:
        """Raises ValueError for options out of range."""
        raise NotImplementedError

    def _hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The numbers that the kernel reads, in its order."""
        raise NotImplementedError

    def _launch(self, group: dict[str, Any], arena: Arena, kernel: Any) -> None:
        """Steps the parameters of one arena."""
        raise NotImplementedError

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The buffers that the options of a group need, as named in `state_dict`."""
        raise NotImplementedError

    _has_step = True  # "step" is part of the state
    _state_from_start = False  # there is a state before the first step

    def _initial_state(self, group: dict[str, Any]) -> float:
        return 0.0

    # Groups --------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, with options of their own, e.g. when a frozen layer thaws.

        Raises:
            TypeError: not a dict, or parameters that are not tensors, not ordered, or of a dtype that is not stepped.
            ValueError: a parameter is known already or not a leaf, or an option is out of range.
        """
        name = self._name()
        if not isinstance(param_group, dict):
            raise TypeError(f"{name}: param_group is {type(param_group).__name__}, but a dict is expected")
        params = param_group.get("params", ())
        if isinstance(params, set | frozenset):
            raise TypeError(f"{name}: params is a set, whose order differs between runs; use a list")
        members: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        if not members:
            raise ValueError(f"{name}: a parameter group has no parameters")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(members):
            if not isinstance(p, Tensor):
                hint = "; did you mean model.parameters()?" if isinstance(p, tuple) else ""
                raise TypeError(f"{name}: parameter {i} is {type(p).__name__}, but a fastcnn Tensor is expected{hint}")
            if not p.is_leaf:
                raise ValueError(
                    f"{name}: parameter {i} of shape {p.shape} is not a leaf but the result of an op; detach() it"
                )
            if p.dtype not in (float32, bfloat16, *(() if p.is_cuda else (float64,))):
                got, known = str(p.dtype), "float32 or float64 (or bfloat16)"
                if p.is_cuda:
                    got, known = f"{p.dtype} on {p.device}", "float32 or bfloat16"
                raise TypeError(f"{name}: parameter {i} is {got}, but {known} is expected")
            if id(p) in seen:
                raise ValueError(f"{name}: parameter {i} of shape {p.shape} was given twice")
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": members}
        self._check_options(group)
        arenas = self._make_arenas(group)
        self.param_groups.append(group)
        self._arenas.append(arenas)
        self.update_hyperparameters()

    def _make_arenas(self, group: dict[str, Any]) -> list[Arena]:
        kinds: dict[tuple[Any, str], list[Tensor]] = {}
        for p in group["params"]:
            kinds.setdefault((p.dtype, str(p.device)), []).append(p)
        # The states are made now: zeroing them in the first step would become part of a recording of that step.
        states = [(name, self._initial_state(group)) for name in self._state_names(group)]
        numbers = len(self._hyperparameters(group))
        return [Arena(same, numbers, states) for same in kinds.values()]

    def update_hyperparameters(self) -> None:
        """Copies learning rates and other numbers of `param_groups` to where the kernels read them.

        `step()` does it; a recorded step that is replayed needs it after a change of the learning rate.
        """
        for group, arenas in zip(self.param_groups, self._arenas, strict=True):
            numbers = tuple(float(number) for number in self._hyperparameters(group))
            for arena in arenas:
                arena.set_hyper(numbers)

    # Training ------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient.

        Args:
            closure: computes the loss again and returns it; called first, with gradients recorded.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.step_calls += 1
        self.update_hyperparameters()
        on_replay(before=self._before_replay, after=self._after_replay)
        with no_grad():
            self.follow_parameters()
            for group, arenas in zip(self.param_groups, self._arenas, strict=True):
                for arena in arenas:
                    kernel = arena.gather()
                    if kernel is None:
                        continue
                    if observing.observer is None:
                        self._launch(group, arena, kernel)
                    else:
                        run = functools.partial(self._launch, group, arena, kernel)
                        observing.observer.run(f"{self._name()}.step", "step", arena.memory(), run)
                    arena.stepped()
        return loss

    def _before_replay(self) -> None:
        if any(p._data is not view for arenas in self._arenas for arena in arenas for p, view in arena.members()):
            raise StaleRecordingError
        self.step_calls += 1
        self.update_hyperparameters()

    def _after_replay(self) -> None:
        for arenas in self._arenas:
            for arena in arenas:
                arena.stepped()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients: `p.grad` becomes None, or zeros with `set_to_none=False`."""
        if not set_to_none:
            for arena in (arena for arenas in self._arenas for arena in arenas):
                arena.zero_grads()
            return
        for group in self.param_groups:
            for p in group["params"]:
                p._grad = None

    def follow_parameters(self) -> None:
        """Makes new memory where parameters changed dtype, device or shape, as by `model.to()`; states move along.

        `step()` does it. Before `load_state_dict` it is needed where the model was converted since.
        """
        for index, arenas in enumerate(self._arenas):
            if not all(arena.fits(i) for arena in arenas for i in range(len(arena.parameters))):
                self._rebuild(index)

    def _rebuild(self, index: int) -> None:
        """New arenas after parameters changed their dtype, device or shape; the state moves along."""
        saved = self.state_dict()["state"]
        members = self.param_groups[index]["params"]
        self._arenas[index] = self._make_arenas(self.param_groups[index])
        first = sum(len(group["params"]) for group in self.param_groups[:index])
        for i, p in enumerate(members):
            if first + i in saved:
                self._load_state(self.param_groups[index], self._place(index, p), saved[first + i])
        self.update_hyperparameters()

    # State ---------------------------------------------------------------------------------------------------------

    def _place(self, group: int, p: Tensor) -> tuple[Arena, int]:
        for arena in self._arenas[group]:
            for i, member in enumerate(arena.parameters):
                if member is p:
                    return arena, i
        raise KeyError(f"{self._name()}: a tensor of shape {p.shape} is not a parameter of group {group}")

    def _states(self) -> list[dict[str, Tensor]]:
        """The state of every parameter through all groups, empty for those that have none."""
        states = []
        counts = {id(arena): arena.step_counts() for arenas in self._arenas for arena in arenas}
        for index, group in enumerate(self.param_groups):
            for p in group["params"]:
                arena, i = self._place(index, p)
                states.append(self._state_of(group, arena, i, int(counts[id(arena)][i])))
        return states

    def _state_of(self, group: dict[str, Any], arena: Arena, i: int, step: int) -> dict[str, Tensor]:
        state = {}
        if step or self._state_from_start:
            if self._has_step:
                number = _C.empty((), float32)
                number.numpy()[...] = step
                state["step"] = Tensor(number)
            for name in self._state_names(group):
                state[name] = Tensor(arena.view(arena.buffer(name, self._initial_state(group)), i))
        if arena.mixed:
            state["master"] = Tensor(arena.master(i))
        return state

    def _load_state(self, group: dict[str, Any], place: tuple[Arena, int], saved: dict[str, Any]) -> None:
        arena, i = place
        fill = self._initial_state(group)
        loaded = [name for name in self._state_names(group) if saved.get(name) is not None]
        for name in self._state_names(group):
            if name in loaded:
                arena.load(name, i, saved[name], fill)
            else:
                Tensor(arena.view(arena.buffer(name, fill), i)).fill_(fill)
        if arena.mixed and saved.get("master") is not None:
            arena.load_master(i, saved["master"])
        if self._has_step and "step" in saved:
            step = saved["step"]
            arena.set_step(i, int(step.item() if hasattr(step, "item") else step))
        else:
            arena.set_step(i, 1 if loaded else 0)

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """State of every stepped parameter; the tensors are views of the optimizer's memory."""
        params = [p for group in self.param_groups for p in group["params"]]
        return {p: state for p, state in zip(params, self._states(), strict=True) if state}

    def state_dict(self) -> dict[str, Any]:
        """State and options, with the structure of `torch.optim`: parameters are numbered through all groups.

        Returns:
            {"state": {number: {name: Tensor}}, "param_groups": [{option: value, "params": [numbers]}]}. The tensors are
            views: copy them before the next step to keep them.
        """
        groups: list[dict[str, Any]] = []
        number = 0
        for group in self.param_groups:
            numbers = list(range(number, number + len(group["params"])))
            number += len(numbers)
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
        return {"state": {i: s for i, s in enumerate(self._states()) if s}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a `state_dict()`, of this class or of the optimizer of the same name in torch.

        Raises:
            ValueError: another number of groups or parameters, or a state of another shape.
        """
        saved_groups = state_dict["param_groups"]
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                f"load_state_dict: {len(saved_groups)} parameter groups, but the optimizer has {len(self.param_groups)}"
            )
        for i, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(group["params"]) != len(saved["params"]):
                raise ValueError(
                    f"load_state_dict: group {i} has {len(saved['params'])} parameters, but the optimizer's has "
                    f"{len(group['params'])}"
                )
        states = {int(number): state for number, state in state_dict["state"].items()}
        for index, (group, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k != "params"}
            self._check_options({**group, **options})
            group.update(options)
            for number, p in zip(saved["params"], group["params"], strict=True):
                self._load_state(group, self._place(index, p), states.get(number, {}))
        self.update_hyperparameters()

    def __repr__(self) -> str:
        lines = [f"{self._name()} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
