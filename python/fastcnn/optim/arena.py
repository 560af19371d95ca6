"""Flat memory behind an optimizer: the parameters of a group in one buffer, gradients and states in others like it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .. import _C
from ..tensor import Tensor

_ALIGNMENT = 64  # bytes; the kernels step over the gaps, which hold zeros
_CPU = _C.device("cpu")
_by_storage: WeakValueDictionary[int, Arena] = WeakValueDictionary()  # where gradients lie -> the arena


def write(target: _C.Tensor, values: Any) -> None:
    """Copies numbers, e.g. an array of its shape, into a raw tensor on any device; never part of a recording."""
    staged = target if target.device == _CPU else _C.empty(target.shape, target.dtype, _CPU, target.layout)
    staged.numpy()[...] = values
    if staged is target:
        target.bump_version()
    else:
        _C.write_(target, staged)


class Arena:
    """Owns the memory of parameters of one dtype on one device.

    Every parameter's data becomes a view of `values`, and its gradient slot a view of `grads`, into which `backward`
    writes. `buffer(name)` holds one state of the optimizer, `steps` how often each parameter was stepped.

    The kernels step `params`. These are the values themselves, but for bfloat16 their float32 masters, from which a
    step rounds the values: updates smaller than half a unit of a bfloat16 add up. States are float32 then, too. A value
    that somebody else writes replaces its master at the next step.
    """

    def __init__(self, parameters: Sequence[Tensor], numbers: int, states: Sequence[tuple[str, float]]) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]._data
        self.dtype, self.device = first.dtype, first.device
        self.mixed = self.dtype == _C.bfloat16
        step = _ALIGNMENT // self.dtype.itemsize
        self.offsets: list[int] = []
        self._forms = [(p._data.shape, p._data.layout) for p in self.parameters]
        total = 0
        for parameter in self.parameters:
            self.offsets.append(total)
            total += -(-parameter.numel() // step) * step
        self.params = self._flat(total)
        self.values = _C.zeros((total,), self.dtype, self.device) if self.mixed else self.params
        self.grads = _C.zeros((total,), self.dtype, self.device)
        self.steps = _C.zeros((len(self.parameters),), _C.int64, self.device)
        self._counts: np.ndarray[Any, Any] | None = None  # `steps`, where the host counts
        self.hyper = _C.zeros((numbers,), _C.float64, self.device)
        self._hyper: tuple[float, ...] = ()
        self._values_version = -1
        self._buffers: dict[str, _C.Tensor] = {}
        for name, fill in states:
            self.buffer(name, fill)
        self._views = [self.view(self.values, i) for i in range(len(self.parameters))]
        self._slots = [self.view(self.grads, i) for i in range(len(self.parameters))]
        self._slot_indices = {id(slot): i for i, slot in enumerate(self._slots)}
        self._kernels: dict[tuple[int, ...], Any] = {}
        for i in range(len(self.parameters)):
            self._adopt(i)
        self.refresh()
        _by_storage[self.grads.storage_ptr()] = self

    def _flat(self, total: int) -> _C.Tensor:
        return _C.zeros((total,), _C.float32 if self.mixed else self.dtype, self.device)

    def view(self, buffer: _C.Tensor, index: int) -> _C.Tensor:
        """The part of `buffer` that belongs to parameter `index`, in the parameter's shape."""
        return buffer.view_at(self.offsets[index], *self._forms[index])

    def index_of(self, gradient: _C.Tensor) -> int | None:
        """The parameter whose place for a gradient `gradient` is."""
        return self._slot_indices.get(id(gradient))

    def fits(self, index: int) -> bool:
        """Whether the parameter's present data can be held by its place here."""
        data, view = self.parameters[index]._data, self._views[index]
        return data is view or (
            data.dtype == view.dtype
            and data.device == view.device
            and data.shape == view.shape
            and data.layout == view.layout
        )

    def members(self) -> Iterator[tuple[Tensor, _C.Tensor]]:
        """Every parameter with its place in `params`, which is its data unless somebody replaced that."""
        return zip(self.parameters, self._views, strict=True)

    def _adopt(self, index: int) -> None:
        parameter = self.parameters[index]
        _C.copy_(self._views[index], parameter._data)
        parameter._data = self._views[index]
        gradient = parameter._grad
        if gradient is not None:
            self._take_gradient(index, gradient)
        parameter._grad_slot = self._slots[index]

    def _take_gradient(self, index: int, gradient: Tensor) -> None:
        slot = self._slots[index]
        _C.copy_(slot, _C.to_layout(_C.cast(gradient._data, slot.dtype), slot.layout))
        self.parameters[index]._grad = Tensor(slot)

    def refresh(self) -> None:
        """Takes over into the masters what was written to bfloat16 values since the last step."""
        if self.mixed and self.values.version != self._values_version:
            _C.refresh_masters(self.params, self.values)
            self._values_version = self.values.version

    def stepped(self) -> None:
        """Notes that the values are the masters rounded: called after every step."""
        self._values_version = self.values.version

    def gather(self) -> Any:
        """Brings parameters and gradients that were replaced since the last step back into the arena.

        Returns:
            The arena as the kernels take it, with the segments of the parameters that have a gradient, or None.
        """
        active = []
        for i, parameter in enumerate(self.parameters):
            gradient = parameter._grad
            if gradient is None:
                continue
            if parameter._data is not self._views[i]:
                self._adopt(i)
            elif gradient._data is not self._slots[i]:
                self._take_gradient(i, gradient)
                parameter._grad_slot = self._slots[i]
            active.append(i)
        if not active:
            return None
        self.refresh()
        key = tuple(active)
        kernel = self._kernels.get(key)
        if kernel is None:
            segments = _C.empty_outside_recordings((len(active), 3), _C.int64)
            segments.numpy()[...] = [(self.offsets[i], self.parameters[i].numel(), i) for i in active]
            values = self.values if self.mixed else None
            kernel = _C.OptimizerArena(self.params, self.grads, self.steps, segments, self.hyper, values)
            self._kernels[key] = kernel
        return kernel

    def buffer(self, name: str, fill: float = 0.0) -> _C.Tensor:
        """The flat buffer of one state, made on first use with every element `fill`."""
        buffer = self._buffers.get(name)
        if buffer is None:
            buffer = self._flat(self.params.numel())
            if fill:
                Tensor(buffer).fill_(fill)
            self._buffers[name] = buffer
        return buffer

    def memory(self) -> list[_C.Tensor]:
        """Everything that a step reads or writes."""
        return [self.params, self.values, self.grads, *self._buffers.values()]

    def set_hyper(self, numbers: tuple[float, ...]) -> None:
        """Gives the kernels the numbers of the group; writes to the device only what changed."""
        if numbers != self._hyper:
            write(self.hyper, numbers)
            self._hyper = numbers

    def zero_grads(self) -> None:
        """Zeros every gradient that there is; one write where all of them lie in the arena."""
        grads = [(p._grad, slot) for p, slot in zip(self.parameters, self._slots, strict=True) if p._grad is not None]
        if grads and all(grad._data is slot for grad, slot in grads):
            _C.zero_(self.grads)
        else:
            for grad, _ in grads:
                _C.zero_(grad._data)

    def step_counts(self) -> np.ndarray[Any, Any]:
        """How often each parameter has been stepped, int64 (parameters,); waits for the device."""
        return np.array(_C.to_device(self.steps, _CPU).numpy())

    def set_step(self, index: int, step: int) -> None:
        """Sets how often parameter `index` has been stepped."""
        write(self.steps.view_at(index, (1,), "row_major"), step)
        self._counts = None

    def advance(self, index: int) -> int:
        """Counts a step of parameter `index` on the host and returns its number; never part of a recording."""
        if self._counts is None:
            self._counts = self.step_counts()
        self._counts[index] += 1
        write(self.steps.view_at(index, (1,), "row_major"), self._counts[index])
        return int(self._counts[index])

    def load(self, name: str, index: int, value: Any, fill: float = 0.0) -> None:
        """Copies a saved state (Tensor or array of the parameter's shape) of parameter `index` into its buffer.

        Raises:
            ValueError: a different shape.
        """
        self._load_into(self.view(self.buffer(name, fill), index), name, index, value)

    def master(self, index: int) -> _C.Tensor:
        """The float32 master of bfloat16 parameter `index`."""
        self.refresh()
        return self.view(self.params, index)

    def load_master(self, index: int, value: Any) -> None:
        """Copies a saved master as `load` does; it counts where it rounds to what the parameter is at the next step.

        Raises:
            ValueError: a different shape.
        """
        self._load_into(self.view(self.params, index), "master", index, value)
        self._values_version = -1

    def _load_into(self, target: _C.Tensor, name: str, index: int, value: Any) -> None:
        source = value._values() if isinstance(value, Tensor) else np.asarray(value)
        if source.shape != target.shape:
            raise ValueError(
                f"load_state_dict: {name} of parameter {index} has shape {source.shape}, but the parameter has "
                f"{target.shape}"
            )
        write(target, source)


def flat_gradients(parameters: Iterable[Tensor]) -> list[_C.Tensor]:
    """The memory of the gradients of `parameters`, neighbours in an optimizer's arena as one flat tensor."""
    lonely: list[_C.Tensor] = []
    members: dict[int, tuple[Arena, list[int]]] = {}
    for parameter in parameters:
        gradient = parameter._grad
        if gradient is None:
            continue
        arena = _by_storage.get(gradient._data.storage_ptr())
        index = arena.index_of(gradient._data) if arena is not None else None
        if arena is None or index is None:
            lonely.append(gradient._data)
        else:
            members.setdefault(id(arena), (arena, []))[1].append(index)
    flat = []
    for arena, indices in members.values():
        indices.sort()
        first = 0
        for i, index in enumerate(indices):
            if i + 1 == len(indices) or indices[i + 1] != index + 1:
                begin, end = arena.offsets[indices[first]], arena.offsets[index] + arena.parameters[index].numel()
                flat.append(arena.grads.view_at(begin, (end - begin,), "row_major"))
                first = i + 1
    return flat + lonely
