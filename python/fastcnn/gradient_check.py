"""Checks of analytic gradients against central differences (Stanford CS231n notes, "Gradient checks")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import grad, no_grad
from .tensor import Tensor, float64, tensor

Array = np.ndarray[Any, Any]


def gradcheck(
    fn: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compares the gradients that `backward` computes with central differences, like `torch.autograd.gradcheck`.

    Every element of every input that requires a gradient is moved by `eps` both ways. The outputs are weighted with a
    random cotangent: a cotangent of ones would not notice permuted gradients.

    Args:
        fn: function of the inputs whose floating-point outputs are checked. It must be deterministic.
        inputs: its arguments; float64 tensors with requires_grad=True are checked.
        eps: step of the differences.
        atol: largest absolute difference.
        rtol: largest difference relative to the numerical gradient.
        raise_exception: raise instead of returning False.

    Returns:
        True if all gradients agree within atol + rtol * |numerical|.

    Raises:
        ValueError: no input requires a gradient, or one that does is not float64.
        RuntimeError: a gradient is wrong; the message names input, element and both values.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.tensor([[0.5, -1.0]], dtype=fc.float64, requires_grad=True)
        >>> fc.gradcheck(lambda x: x * x, [x])
        True
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [(i, a) for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient; expected a float64 tensor with requires_grad=True")
    for i, argument in checked:
        if argument.dtype != float64:
            raise ValueError(
                f"gradcheck: input {i} is {argument.dtype}, but expected float64, because differences of less precise "
                f"results are mostly rounding; make it with fc.tensor(..., dtype=fc.float64)"
            )
    leaves = [tensor(a, requires_grad=True) if isinstance(a, Tensor) and a.requires_grad else a for a in arguments]
    results = _as_list(fn(*leaves))
    places = [i for i, out in enumerate(results) if out.requires_grad]
    outputs = [results[i] for i in places]
    if not outputs:
        raise ValueError("gradcheck: no output depends on the inputs that require a gradient")
    rng = np.random.default_rng(0)
    cotangents = [rng.uniform(-1.0, 1.0, out.shape) for out in outputs]
    wanted = [leaves[i] for i, _ in checked]
    seeds = [tensor(c, dtype=out.dtype) for c, out in zip(cotangents, outputs, strict=True)]
    analytic = grad(outputs, wanted, seeds, allow_unused=True)

    def weighted(moved: list[Any]) -> float:
        with no_grad():
            moved_results = _as_list(fn(*moved))
        return float(sum(np.sum(moved_results[i].numpy() * c) for i, c in zip(places, cotangents, strict=True)))

    for (i, argument), gradient in zip(checked, analytic, strict=True):
        values = np.array(argument.detach().numpy())
        expected = np.zeros(values.shape) if gradient is None else gradient.numpy()

        def of_input(x: Array, position: int = i) -> float:
            return weighted([tensor(x) if j == position else leaf for j, leaf in enumerate(leaves)])

        for place in np.ndindex(values.shape):
            numeric = _central_difference(of_input, values, place, eps)
            if not abs(expected[place] - numeric) <= atol + rtol * abs(numeric):
                if not raise_exception:
                    return False
                raise RuntimeError(
                    f"gradcheck: the gradient of input {i} at {place} is {float(expected[place])!r}, but central "
                    f"differences give {numeric!r} (atol={atol}, rtol={rtol})"
                )
    return True


def grad_check_sparse(
    f: Callable[[Any], Any], x: Any, analytic_grad: Any, num_checks: int = 10, h: float = 1e-7
) -> Array:
    """Relative errors of an analytic gradient at a few random elements, by central differences.

    Args:
        f: function of one array (or tensor, if `x` is a tensor) that returns a single number.
        x: where to check, an array or tensor of float64; not modified.
        analytic_grad: the gradient to check, of x's shape.
        num_checks: how many elements to draw, with replacement.
        h: step of the differences.

    Returns:
        |numerical - analytic| / (|numerical| + |analytic|) of each drawn element, shape (num_checks,); 0 where both are
        0. Correct gradients of smooth functions stay below about 1e-6; a wrong sign gives 1.

    Raises:
        ValueError: `analytic_grad` has another shape than `x`, or `x` is empty.

    Example:
        >>> import numpy as np
        >>> x = np.array([0.5, -1.0, 2.0])
        >>> bool(grad_check_sparse(lambda x: (x**3).sum(), x, 3 * x**2).max() < 1e-6)
        True
        >>> bool(grad_check_sparse(lambda x: (x**3).sum(), x, -3 * x**2).min() > 0.99)
        True
    """
    is_tensor = isinstance(x, Tensor)
    values = np.array(x.detach().numpy() if is_tensor else x, dtype=np.float64)
    gradient = analytic_grad.detach().numpy() if isinstance(analytic_grad, Tensor) else np.asarray(analytic_grad)
    if gradient.shape != values.shape:
        raise ValueError(
            f"grad_check_sparse: analytic_grad has shape {gradient.shape}, but expected that of x, {values.shape}"
        )
    if values.size == 0:
        raise ValueError(f"grad_check_sparse: x is empty, shape {values.shape}; expected at least one element")

    def number(moved: Array) -> float:
        with no_grad():
            result = f(tensor(moved) if is_tensor else moved)
        return float(result.item() if isinstance(result, Tensor) else result)

    errors = np.zeros(num_checks)
    rng = np.random.default_rng(0)
    for i in range(num_checks):
        place = tuple(int(rng.integers(size)) for size in values.shape)
        numeric = _central_difference(number, values, place, h)
        size = abs(numeric) + abs(float(gradient[place]))
        errors[i] = abs(numeric - float(gradient[place])) / size if size else 0.0
    return errors


def _central_difference(f: Callable[[Array], float], values: Array, place: tuple[int, ...], step: float) -> float:
    moved = values.copy()
    moved[place] = values[place] + step
    above = f(moved)
    moved[place] = values[place] - step
    below = f(moved)
    return (above - below) / (2 * step)


def _as_list(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
