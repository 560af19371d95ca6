"""The walk through recorded calls from the newest to the oldest, which brings gradients to the leaves."""

from __future__ import annotations

import functools
import heapq
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from .. import _C, observing, widening
from ..tensor import Tensor
from .function import Context, RawTensor
from .grad_mode import no_grad


class _Pending:
    """Gradients that have arrived for the outputs of one call, and whether each sum is ours to add into."""

    __slots__ = ("grads", "owned")

    def __init__(self) -> None:
        self.grads: dict[int, RawTensor] = {}
        self.owned: set[int] = set()

    def add(self, index: int, grad: RawTensor, owned: bool) -> None:
        present = self.grads.get(index)
        if present is None:
            self.grads[index] = grad
        elif index in self.owned:
            _accumulate(present, grad)
        elif owned and grad.layout == present.layout:
            _accumulate(grad, present)
            self.grads[index] = grad
        else:
            self.grads[index] = _sum(present, grad)
            owned = True
        if owned:
            self.owned.add(index)


def _accumulate(destination: RawTensor, source: RawTensor) -> None:
    if observing.observer is None:
        _add_into(destination, source)
    else:
        both = (destination, source)
        observing.observer.run("add_gradients", "backward", both, lambda: _add_into(*both))


def _add_into(destination: RawTensor, source: RawTensor) -> None:
    if widening.is_narrow(destination):
        _C.add(destination, source, out=destination)
    else:
        _C.accumulate_(destination, source)


def _clone(raw: RawTensor) -> RawTensor:
    copy = _C.empty_like(raw)
    _C.copy_(copy, raw)
    return copy


def _sum(a: RawTensor, b: RawTensor) -> RawTensor:
    total = _clone(a)
    _accumulate(total, b)
    return total


def _accumulate_leaf(leaf: Tensor, grad: RawTensor, shared: set[int]) -> None:
    """Adds `grad` to `leaf.grad`. `shared` holds the storages that others may still read: those are copied."""
    for hook in leaf._hooks.values() if leaf._hooks else ():
        grad = _run_hook(hook, grad)
    present = leaf._grad
    if present is not None:
        if present._data.storage_ptr() in shared:
            present._data = _clone(present._data)
        _accumulate(present._data, grad)
        return
    slot = leaf._grad_slot
    if slot is not None:
        if slot.data_ptr() != grad.data_ptr():
            _C.copy_(slot, _C.to_layout(grad, slot.layout))
        grad = slot
    elif grad.storage_ptr() in shared or grad.layout != leaf._data.layout:
        grad = _clone(_C.to_layout(grad, leaf._data.layout))
    else:
        shared.add(grad.storage_ptr())
    leaf._grad = Tensor(grad)


def _run_hook(hook: Callable[[Any], Any], grad: RawTensor) -> RawTensor:
    replaced = hook(Tensor(grad))
    if replaced is None:
        return grad
    if replaced.shape != grad.shape:
        raise ValueError(f"gradient hook: returned shape {replaced.shape}, but the gradient has shape {grad.shape}")
    raw: RawTensor = replaced._data
    return raw


def _initial_gradient(tensor: Tensor, gradient: Tensor | None) -> RawTensor:
    if not tensor.requires_grad:
        raise RuntimeError(
            "backward: the tensor does not require a gradient and has no recorded computation; set requires_grad=True "
            "on an input before computing it (and compute it outside no_grad())"
        )
    if gradient is None:
        if tensor._data.numel() != 1:
            raise RuntimeError(
                f"backward: a gradient can be made up only for a single number, but the tensor has shape "
                f"{tensor._data.shape}; pass gradient=, or reduce it with .sum() or .mean()"
            )
        one = _C.empty(tensor._data.shape, tensor._data.dtype, tensor._data.device, tensor._data.layout)
        Tensor(one).fill_(1.0)
        return one
    if gradient._data.shape != tensor._data.shape:
        raise ValueError(f"backward: gradient has shape {gradient.shape}, but the tensor has shape {tensor.shape}")
    if gradient._data.dtype != tensor._data.dtype:
        raise TypeError(f"backward: gradient is {gradient.dtype}, but the tensor is {tensor.dtype}")
    if gradient._data.device != tensor._data.device:
        raise ValueError(f"backward: gradient is on {gradient.device}, but the tensor is on {tensor.device}")
    return gradient._data


def _run_backward(node: Context, incoming: list[RawTensor | None]) -> Any:
    if node.narrow_args is None:
        try:
            return node.function.backward(node, *incoming)
        except TypeError:
            if not any(widening.is_narrow(grad) for grad in incoming):
                raise
    return widening.backward(node, incoming)


def backward(
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of `tensors` with respect to every leaf that requires one to the leaves' `.grad`.

    Args:
        tensors: results of recorded ops.
        gradients: cotangent of each tensor, of its shape; None stands for 1 where the tensor is a single number.
        retain_graph: keep what was saved, so that a second backward through the same ops works.
        inputs: the only leaves that receive gradients; None: all.

    Raises:
        RuntimeError: a tensor does not require a gradient, is not a single number and has no cotangent, or its graph
            was freed by an earlier backward.
    """
    pending: dict[Context, _Pending] = {}
    queue: list[tuple[int, Context]] = []
    shared: set[int] = set()
    wanted = None if inputs is None else {id(leaf) for leaf in inputs}

    def send(edge: Any, grad: RawTensor, owned: bool) -> None:
        if isinstance(edge, Tensor):
            if wanted is None or id(edge) in wanted:
                _accumulate_leaf(edge, grad, shared)
            return
        node, index = edge
        waiting = pending.get(node)
        if waiting is None:
            waiting = pending[node] = _Pending()
            heapq.heappush(queue, (-node.sequence, node))
        waiting.add(index, grad, owned)

    for i, tensor in enumerate(tensors):
        grad = _initial_gradient(tensor, gradients[i] if gradients is not None else None)
        shared.add(grad.storage_ptr())
        send(tensor if tensor._node is None else (tensor._node, tensor._index), grad, False)

    with no_grad():
        while queue:
            node = heapq.heappop(queue)[1]
            arrived = pending.pop(node)
            if node.released:
                raise RuntimeError(
                    f"backward: {node.function.name()} has been differentiated already and its tensors were freed; "
                    f"pass retain_graph=True to the first backward, or compute the result again"
                )
            for index, hooks in node.output_hooks.items():
                for hook in hooks.values():
                    if index in arrived.grads:
                        arrived.grads[index] = _run_hook(hook, arrived.grads[index])
            grads = arrived.grads
            incoming: list[RawTensor | None] = [grads.get(i) for i in range(node.outputs)]
            arrived_in = {g.storage_ptr() for g in incoming if g is not None}
            shared |= arrived_in
            kept, versions = node._saved, node._versions
            node.restore()
            if observing.observer is None:
                results = _run_backward(node, incoming)
            else:
                results = observing.observer.backward(node, incoming, functools.partial(_run_backward, node, incoming))
            edges = node.edges
            if type(results) is not tuple:
                results = (results,)
            if len(results) != len(edges):
                raise RuntimeError(
                    f"{node.function.name()}.backward returned {len(results)} gradients for {len(edges)} arguments"
                )
            fresh = node.function.fresh_gradients
            for edge, result in zip(edges, results, strict=True):
                if edge is not None and result is not None:
                    send(edge, result, fresh and result.storage_ptr() not in arrived_in)
            if retain_graph:
                node._saved, node._versions, node.recomputed = kept, versions, None
            else:
                node.release()


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of `outputs` with respect to the leaves `inputs`, returned; no `.grad` changes.

    Raises:
        RuntimeError: an input is not a leaf that requires a gradient, or was not used and `allow_unused` is False.
    """
    out = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    leaves = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    cotangents = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs
    for leaf in leaves:
        if leaf._node is not None or not leaf.requires_grad:
            raise RuntimeError("grad: inputs must be leaf tensors with requires_grad=True")
    saved = [(leaf, leaf._grad, leaf._grad_slot) for leaf in leaves]
    for leaf in leaves:
        leaf._grad, leaf._grad_slot = None, None
    try:
        backward(out, cotangents, retain_graph, leaves)
        results = tuple(leaf._grad for leaf in leaves)
    finally:
        for leaf, previous, slot in saved:
            leaf._grad, leaf._grad_slot = previous, slot
    if not allow_unused and any(result is None for result in results):
        raise RuntimeError(
            "grad: an input was not used to compute the outputs; pass allow_unused=True to get None for it"
        )
    return results


def retain_grad(tensor: Tensor) -> None:
    """Makes `backward` set `.grad` of a tensor that is not a leaf."""
    if tensor._node is None:
        return
    reference = weakref.ref(tensor)

    def keep(gradient: Any) -> None:
        target = reference()
        if target is not None:
            target._grad = Tensor(_clone(gradient._data))

    tensor.register_hook(keep)
