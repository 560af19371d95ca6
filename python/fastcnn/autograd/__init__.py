"""Reverse-mode automatic differentiation: a tape of `Function` calls.

Every differentiable op is a `Function` with a `forward` that calls kernels on raw tensors and a `backward` that turns
gradients of its outputs into gradients of its inputs. `Function.apply` (function.py) runs the forward and, when an
input requires a gradient, remembers the call; `backward` (engine.py) walks the remembered calls from the newest to the
oldest.
"""

from __future__ import annotations

from .engine import backward, grad, retain_grad
from .function import Context, Function, RawTensor, check_inplace
from .grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "Context",
    "Function",
    "RawTensor",
    "backward",
    "check_inplace",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "retain_grad",
    "set_grad_enabled",
]
