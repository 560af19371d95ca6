"""Flat memory behind an optimizer: the parameters of a group in one buffer, gradients and states in others like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _C
from ..tensor import Tensor

_ALIGNMENT = 64  # bytes; the kernels step over the gaps, which hold zeros


class Arena:
    """Owns the memory of parameters of one dtype on one device.

    Every parameter's data becomes a view of `params`, and its gradient slot a view of `grads`, into which `backward`
    writes. `buffer(name)` holds one state of the optimizer, `steps` how often each parameter was stepped.
    """

    def __init__(self, parameters: Sequence[Tensor], hyper: _C.Tensor, states: Sequence[tuple[str, float]]) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]._data
        self.dtype, self.device = first.dtype, first.device
        step = _ALIGNMENT // self.dtype.itemsize
        self.offsets: list[int] = []
        self._forms = [(p._data.shape, p._data.layout) for p in self.parameters]
        total = 0
        for parameter in self.parameters:
            self.offsets.append(total)
            total += -(-parameter.numel() // step) * step
        self.params = self._flat(total)
        self.grads = self._flat(total)
        self.steps = _C.zeros((len(self.parameters),), _C.int64)
        self.hyper = hyper
        self._buffers: dict[str, _C.Tensor] = {}
        for name, fill in states:
            self.buffer(name, fill)
        self._views = [self.view(self.params, i) for i in range(len(self.parameters))]
        self._slots = [self.view(self.grads, i) for i in range(len(self.parameters))]
        self._kernels: dict[tuple[int, ...], Any] = {}
        for i in range(len(self.parameters)):
            self._adopt(i)

    def _flat(self, total: int) -> _C.Tensor:
        return _C.zeros((total,), self.dtype, self.device)

    def view(self, buffer: _C.Tensor, index: int) -> _C.Tensor:
        """The part of `buffer` that belongs to parameter `index`, in the parameter's shape."""
        return buffer.view_at(self.offsets[index], *self._forms[index])

    def fits(self, index: int) -> bool:
        """Whether the parameter's present data can be held by its place here."""
        data, view = self.parameters[index]._data, self._views[index]
        return data is view or (
            data.dtype == view.dtype
            and data.device == view.device
            and data.shape == view.shape
            and data.layout == view.layout
        )

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
        _C.copy_(slot, _C.to_layout(gradient._data, slot.layout))
        self.parameters[index]._grad = Tensor(slot)

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
        key = tuple(active)
        kernel = self._kernels.get(key)
        if kernel is None:
            segments = _C.empty((len(active), 3), _C.int64)
            segments.numpy()[...] = [(self.offsets[i], self.parameters[i].numel(), i) for i in active]
            kernel = _C.OptimizerArena(self.params, self.grads, self.steps, segments, self.hyper)
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

    def step_of(self, index: int) -> int:
        """How often parameter `index` has been stepped."""
        return int(self.steps.numpy()[index])

    def set_step(self, index: int, step: int) -> None:
        """Sets how often parameter `index` has been stepped."""
        self.steps.numpy()[index] = step
        self.steps.bump_version()

    def load(self, name: str, index: int, value: Any, fill: float = 0.0) -> None:
        """Copies a saved state (Tensor or array of the parameter's shape) of parameter `index` into its buffer.

        Raises:
            ValueError: a different shape.
        """
        target = self.view(self.buffer(name, fill), index)
        source = value._data.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if source.shape != target.shape:
            raise ValueError(
                f"load_state_dict: {name} of parameter {index} has shape {source.shape}, but the parameter has "
                f"{target.shape}"
            )
        target.numpy()[...] = source
        target.bump_version()
