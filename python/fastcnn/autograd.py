"""Reverse-mode automatic differentiation: a tape of `Function` calls.

Every differentiable op is a `Function` with a `forward` that calls kernels on raw tensors and a `backward` that turns
gradients of its outputs into gradients of its inputs. `Function.apply` runs the forward and, when an input requires a
gradient, remembers the call; `backward` walks the remembered calls from the newest to the oldest.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import Any, TypeAlias

from . import _C, widening
from .tensor import Tensor

RawTensor: TypeAlias = _C.Tensor


class _GradMode(threading.local):
    enabled = True


_mode = _GradMode()
observer: Any = None  # the `fastcnn.profile` being made, if any
_sequence = itertools.count()


def is_grad_enabled() -> bool:
    """Whether ops called now are recorded for `backward`."""
    return _mode.enabled


class set_grad_enabled(ContextDecorator):
    """Switches gradient recording on or off inside a `with` block or a decorated function."""

    def __init__(self, mode: bool) -> None:
        self._wanted = bool(mode)
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(_mode.enabled)
        _mode.enabled = self._wanted

    def __exit__(self, *exc: object) -> None:
        _mode.enabled = self._previous.pop()


class no_grad(set_grad_enabled):
    """Ops inside do not record gradients: `with fc.no_grad(): ...` or `@fc.no_grad()`."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Ops inside record gradients again, within a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class Context:
    """One recorded call: what `backward` needs, and where its gradients go.

    `Function`s may put any attribute on it. `edges[i]` belongs to argument i of the call: None, a leaf `Tensor`, or
    (the `Context` that made the argument, its output index).
    """

    conf: Any  # the numbers that a forward leaves for its backward
    edges: list[Any]
    output_hooks: dict[int, dict[int, Callable[[Any], Any]]]
    # Defaults on the class: calls that are not recorded never set them.
    sequence = -1
    outputs = 1
    released = False
    narrow_args: tuple[bool, ...] | None = None  # of a call computed by `widening`: which arguments are bfloat16
    widened = False  # whether `backward` computes in float32 for bfloat16
    recomputable = False  # whether `function.recompute` can make the output again
    recomputed: RawTensor | None = None
    _saved: tuple[Any, ...] = ()
    _versions: tuple[int, ...] = ()

    def __init__(self, function: type[Function], needs_input_grad: tuple[bool, ...]) -> None:
        self.function = function
        self.needs_input_grad = needs_input_grad

    def save_for_backward(self, *tensors: RawTensor | None) -> None:
        """Keeps raw tensors for `backward`, which fails if one of them is modified in between."""
        if True in self.needs_input_grad:
            self._saved = tensors
            self._versions = tuple([-1 if t is None else t.version for t in tensors])

    def drop_recomputable(self, arguments: Sequence[Any]) -> None:
        """Keeps, of saved arguments that their makers can compute again, only how: `restore` brings them back."""
        for arg in arguments:
            node = arg._node if isinstance(arg, Tensor) else None
            if node is None or not node.recomputable or node.narrow_args is not None:
                continue
            for i, saved in enumerate(self._saved):
                if saved is arg._data:
                    later = _Recomputable(node, saved)
                    self._saved = (*self._saved[:i], later, *self._saved[i + 1 :])

    def restore(self) -> None:
        """Computes again what `drop_recomputable` let go of."""
        for i, saved in enumerate(self._saved):
            if type(saved) is _Recomputable:
                tensor = saved.tensor()
                self._saved = (*self._saved[:i], tensor, *self._saved[i + 1 :])
                self._versions = (*self._versions[:i], tensor.version, *self._versions[i + 1 :])

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`, in the same order."""
        for tensor, version in zip(self._saved, self._versions, strict=True):
            if tensor is not None and tensor.version != version:
                raise RuntimeError(
                    f"{self.function.name()}: a tensor of shape {tensor.shape} needed for its gradient was modified in "
                    f"place (version {tensor.version}, expected {version}); clone() it before modifying it"
                )
        return tuple([widening.widen(tensor) for tensor in self._saved]) if self.widened else self._saved

    def grad_buffer(self, index: int) -> RawTensor | None:
        """Memory to write the gradient of argument `index` into (its slot in an optimizer's arena), or None."""
        edge = self.edges[index]
        if isinstance(edge, Tensor) and edge._grad is None and not edge._hooks:
            slot = edge._grad_slot
            return None if self.widened and widening.is_narrow(slot) else slot
        return None

    def release(self) -> None:
        """Frees what was saved; a second `backward` through this call is an error."""
        self.released = True
        self._saved = ()
        self._versions = ()
        self.__dict__ = {
            "function": self.function,
            "sequence": self.sequence,
            "outputs": self.outputs,
            "released": True,
            "needs_input_grad": self.needs_input_grad,
            "edges": [],
            "output_hooks": {},
        }


class _Recomputable:
    """The output of a call, kept as the call that can compute it again."""

    __slots__ = ("_node", "_output", "_version")

    def __init__(self, node: Context, output: RawTensor) -> None:
        self._node = node
        self._output = weakref.ref(output)
        self._version = output.version

    def tensor(self) -> RawTensor:
        """The output itself where it still lives unchanged, else computed again, once for all who saved it."""
        output = self._output()
        if output is not None and output.version == self._version:
            return output
        node = self._node
        if node.recomputed is None:
            if node.released:
                raise RuntimeError(
                    f"backward: the output of {node.function.name()} is needed again, but it has been differentiated "
                    f"already and its tensors were freed; pass retain_graph=True to the first backward"
                )
            if observer is None:
                node.recomputed = node.function.recompute(node)
            else:
                run = functools.partial(node.function.recompute, node)
                node.recomputed = observer.recompute(node, run)
        return node.recomputed


class Function:
    """Base of differentiable ops; subclasses define `forward` and `backward` as static methods.

    `forward(ctx, *args)` receives raw tensors in place of `Tensor`s and returns one raw tensor or a tuple of them.
    `backward(ctx, *grad_outputs)` receives one raw gradient per output (None where the output was not used) and returns
    one raw gradient or None per argument of `forward` (a bare gradient if there is one argument).

    Attributes:
        fresh_gradients: whether every gradient that `backward` returns is either memory made for it, which nobody else
            refers to, or that of an incoming gradient. Later gradients of the same tensor are then added in place.
        float32_parameters: whether float32 tensors may stand beside bfloat16 ones.
    """

    fresh_gradients = False
    float32_parameters = False

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        """Computes the outputs; called with raw tensors."""
        raise TypeError("Function subclasses define forward")

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Any) -> Any:
        """Computes the gradients of the arguments; called with raw tensors."""
        raise TypeError("Function subclasses define backward")

    @staticmethod
    def recompute(ctx: Context) -> RawTensor:
        """Computes the output again, with the same bits, from what was saved; asked for where `ctx.recomputable`."""
        raise TypeError("Functions that set ctx.recomputable define recompute")

    @classmethod
    def name(cls) -> str:
        """The op's name in messages: the class name without a leading underscore."""
        return cls.__name__.lstrip("_")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs `forward` on the arguments and records the call if any of them requires a gradient."""
        enabled = _mode.enabled
        raw = []
        needs = []
        for arg in args:
            if isinstance(arg, Tensor):
                raw.append(arg._data)
                needs.append(enabled and arg.requires_grad)
            else:
                raw.append(arg)
                needs.append(False)
        ctx = Context(cls, tuple(needs))
        if observer is None:
            outputs = cls._forward(ctx, raw, args)
        else:
            outputs = observer.forward(ctx, raw, lambda: cls._forward(ctx, raw, args))
        if True not in needs:
            return tuple([Tensor(o) for o in outputs]) if type(outputs) is tuple else Tensor(outputs)
        ctx.sequence = next(_sequence)
        ctx.output_hooks = {}
        ctx.edges = [
            (arg if arg._node is None else (arg._node, arg._index)) if need else None
            for arg, need in zip(args, needs, strict=True)
        ]
        ctx.drop_recomputable(args)
        if type(outputs) is tuple:
            ctx.outputs = len(outputs)
            return tuple([_attach(Tensor(o), ctx, i) for i, o in enumerate(outputs)])
        return _attach(Tensor(outputs), ctx, 0)

    @classmethod
    def _forward(cls, ctx: Context, raw: list[Any], args: tuple[Any, ...]) -> Any:
        try:
            return cls.forward(ctx, *raw)
        except TypeError:
            outputs = widening.forward(ctx, raw, [isinstance(arg, Tensor) for arg in args])
            if outputs is NotImplemented:
                raise
            return outputs


def _attach(output: Tensor, ctx: Context, index: int) -> Tensor:
    if output._data.dtype.is_floating_point:
        output.requires_grad = True
        output._node = ctx
        output._index = index
    return output


def check_inplace(tensor: Tensor, op: str) -> None:
    """Raises unless `tensor` may be overwritten now: in-place ops are not recorded.

    Raises:
        RuntimeError: `tensor` requires a gradient and gradients are being recorded.
    """
    if tensor.requires_grad and _mode.enabled:
        raise RuntimeError(
            f"{op}: the tensor requires a gradient, and in-place changes are not recorded for backward; "
            f"use the out-of-place op, or wrap the change in `with fastcnn.no_grad():`"
        )


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
    if observer is None:
        _add_into(destination, source)
    else:
        both = (destination, source)
        observer.run("add_gradients", "backward", both, lambda: _add_into(*both))


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
            if observer is None:
                results = _run_backward(node, incoming)
            else:
                results = observer.backward(node, incoming, functools.partial(_run_backward, node, incoming))
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
