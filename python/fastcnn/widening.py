"""bfloat16 on the CPU for ops whose kernels compute in float32 or float64: widen, compute, round.

bfloat16 is a float32 without its lower 16 bits, so widening is exact and each result is rounded once, as the kernels of
a GPU do it. What an op keeps for its backward stays in bfloat16 where it came or went as bfloat16.
"""

from __future__ import annotations

from typing import Any

from . import _C


def is_narrow(raw: Any) -> bool:
    """Whether this is a bfloat16 tensor on the CPU."""
    return isinstance(raw, _C.Tensor) and raw.dtype == _C.bfloat16 and raw.device.type == "cpu"


def widen(raw: Any) -> Any:
    """Narrow tensors as float32, anything else as it is."""
    return _C.cast(raw, _C.float32) if is_narrow(raw) else raw


def _round(raw: Any) -> Any:
    return _C.cast(raw, _C.bfloat16) if isinstance(raw, _C.Tensor) and raw.dtype == _C.float32 else raw


def forward(ctx: Any, raw: list[Any], tensors: list[bool]) -> Any:
    """Calls a Function's forward with its bfloat16 tensors as float32.

    Args:
        ctx: the call's context.
        raw: the arguments.
        tensors: which of them are differentiable tensors.

    Returns:
        The outputs rounded to bfloat16; NotImplemented where the tensors are not bfloat16 on the CPU throughout (beside
        float32 parameters, if the function takes those).
    """
    narrow = tuple(is_narrow(r) for r in raw)
    others = any(
        tensor and not n and r.dtype.is_floating_point for r, n, tensor in zip(raw, narrow, tensors, strict=True)
    )
    if True not in narrow or (others and not ctx.function.float32_parameters):
        return NotImplemented
    wide = [widen(r) for r in raw]
    outputs = ctx.function.forward(ctx, *wide)
    several = type(outputs) is tuple
    whole = outputs if several else (outputs,)
    rounded = tuple(_round(output) for output in whole)
    kept = {id(w): r for w, r in zip((*wide, *whole), (*raw, *rounded), strict=True)}
    ctx.narrow_args = narrow
    ctx.save_for_backward(*(kept.get(id(saved), saved) for saved in ctx._saved))
    return rounded if several else rounded[0]


def backward(ctx: Any, incoming: list[Any]) -> Any:
    """Calls a Function's backward with bfloat16 gradients and saved tensors as float32.

    Returns:
        The gradients, those of bfloat16 arguments rounded.
    """
    ctx.widened = True
    results = ctx.function.backward(ctx, *[widen(g) for g in incoming])
    if type(results) is not tuple:
        results = (results,)
    narrow = ctx.narrow_args or (True,) * len(results)
    return tuple(_round(result) if n else result for result, n in zip(results, narrow, strict=True))
