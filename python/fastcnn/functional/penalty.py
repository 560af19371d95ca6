"""Penalties on weights, to be added to a loss. `weight_decay` of the optimizers is cheaper for the squared one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from ..ops import reduction as _reduction
from ..ops.elementwise import abs, add, mul, square
from ..tensor import Tensor


def _total(op: str, parameters: Tensor | Iterable[Tensor], term: Callable[[Tensor], Tensor]) -> Tensor:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not tensors:
        raise ValueError(f"{op}: parameters is empty, but at least one tensor is expected")
    return functools.reduce(add, [_reduction.sum(term(p)) for p in tensors])


def l2_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """Sum of the squares of all weights: adding lambda times it has the gradient 2 lambda w.

    SGD's `weight_decay=d` adds d w to the gradient, so it equals a factor lambda = d / 2.

    Args:
        parameters: a tensor or several.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.l2_penalty([fc.tensor([1.0, 2.0]), fc.tensor([3.0])]).item()
        14.0
    """
    return _total("l2_penalty", parameters, square)


def l1_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """Sum of the magnitudes of all weights; the gradient at 0 is 0.

    Args:
        parameters: a tensor or several.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.l1_penalty(fc.tensor([1.0, -2.0])).item()
        3.0
    """
    return _total("l1_penalty", parameters, abs)


def elastic_net_penalty(parameters: Tensor | Iterable[Tensor], beta: float = 1.0) -> Tensor:
    """Sum of beta w^2 + |w| over all weights (Zou and Hastie 2005).

    Args:
        parameters: a tensor or several.
        beta: factor of the squares.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.elastic_net_penalty(fc.tensor([1.0, -2.0]), beta=0.5).item()
        5.5
    """
    return _total("elastic_net_penalty", parameters, lambda p: add(mul(square(p), beta), abs(p)))
