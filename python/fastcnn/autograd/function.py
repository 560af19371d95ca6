"""Ops that can be differentiated: what a call of a `Function` does, and what its `Context` remembers of it."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .. import _C, observing, widening
from ..tensor import Tensor
from .grad_mode import mode

RawTensor: TypeAlias = _C.Tensor

_sequence = itertools.count()


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
            if observing.observer is None:
                node.recomputed = node.function.recompute(node)
            else:
                run = functools.partial(node.function.recompute, node)
                node.recomputed = observing.observer.recompute(node, run)
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
        enabled = mode.enabled
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
        if observing.observer is None:
            outputs = cls._forward(ctx, raw, args)
        else:
            outputs = observing.observer.forward(ctx, raw, lambda: cls._forward(ctx, raw, args))
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
    if tensor.requires_grad and mode.enabled:
        raise RuntimeError(
            f"{op}: the tensor requires a gradient, and in-place changes are not recorded for backward; "
            f"use the out-of-place op, or wrap the change in `with fastcnn.no_grad():`"
        )
