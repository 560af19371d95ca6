"""The perceptron and its two training rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import _C
from ..autograd import no_grad
from ..nn import Module, Parameter
from ..nn.init import uniform_
from ..ops.creation import ones_like
from ..ops.elementwise import where
from ..tensor import Tensor, float32


def epoch_rate(epoch: int) -> float:
    """1000 / (1000 + epoch)."""
    return 1000.0 / (1000.0 + epoch)


class Perceptron(Module):
    """One unit with outputs 1 and -1: the sign of w x + b, where 0 counts as -1.

    Args:
        in_features: numbers per sample.
        dtype: of weight and bias, float32 unless given.

    Shape:
        (N, in_features) -> (N,). The weight starts in U(-1, 1), the bias at 0.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn.train import Perceptron, fit_perceptron
        >>> x, y = fc.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), fc.tensor([-1.0, -1.0, -1.0, 1.0])
        >>> model = Perceptron(2)
        >>> fit_perceptron(model, x, y)[-1]
        0

    Source: Rosenblatt, "The perceptron", 1958.
    """

    def __init__(self, in_features: int, dtype: _C.dtype | None = None) -> None:
        super().__init__()
        self.in_features = in_features
        self.weight = Parameter(uniform_(Tensor(_C.empty((in_features,), dtype or float32)), -1.0, 1.0))
        self.bias = Parameter(Tensor(_C.zeros((1,), dtype or float32)))

    def net(self, input: Tensor) -> Tensor:
        """W x + b, (N,)."""
        return (input * self.weight).sum(dim=-1) + self.bias

    def forward(self, input: Tensor) -> Tensor:
        """1 or -1, (N,)."""
        net = self.net(input).detach()
        return where(net > 0, ones_like(net), -1.0)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"in_features={self.in_features}"


def fit_perceptron(
    model: Perceptron,
    input: Tensor,
    target: Tensor,
    epochs: int = 1000,
    rate: Callable[[int], float] = epoch_rate,
) -> list[int]:
    """Online training: after every wrong answer y' to y, w += rate (y - y') x and b += rate (y - y').

    Ends after an epoch without errors, which linearly separable samples reach.

    Args:
        model: trained in place.
        input: (N, in_features).
        target: (N,) of 1 and -1.
        epochs: at most.
        rate: epoch -> learning rate; the epochs count from 0.

    Returns:
        The wrong answers of every epoch.

    Raises:
        ValueError: targets other than 1 and -1.
    """
    x, y = _arrays("fit_perceptron", input, target)
    w, b = _state(model)
    errors = []
    for epoch in range(epochs):
        wrong = 0
        for sample, label in zip(x, y, strict=True):
            answer = 1.0 if sample @ w + b > 0 else -1.0
            if answer != label:
                wrong += 1
                w = w + rate(epoch) * (label - answer) * sample
                b = b + rate(epoch) * (label - answer)
        errors.append(wrong)
        if not wrong:
            break
    _store(model, w, b)
    return errors


def fit_delta_rule(
    model: Perceptron,
    input: Tensor,
    target: Tensor,
    epochs: int = 1000,
    rate: float = 0.1,
    derivative: Callable[[np.ndarray], np.ndarray] | None = None,
    activation: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[float]:
    """Epoch training: w += rate * sum of (y - g(net)) g'(net) x over all samples, all at once at the end of an epoch.

    Args:
        model: trained in place.
        input: (N, in_features).
        target: (N,); 1 and -1 for the threshold.
        epochs: passes over the samples.
        rate: learning rate.
        derivative: g'; 1 unless given, as the threshold has none.
        activation: g; the threshold unless given.

    Returns:
        E = sum of (y - g)^2 / 2 of every epoch, before its update. Ends where it is 0.
    """
    x, y = input.numpy().astype(np.float64), target.numpy().astype(np.float64)
    w, b = _state(model)
    losses = []
    for _ in range(epochs):
        net = x @ w + b
        output = np.where(net > 0, 1.0, -1.0) if activation is None else activation(net)
        error = y - output
        losses.append(float(0.5 * (error**2).sum()))
        if losses[-1] == 0.0:
            break
        delta = error if derivative is None else error * derivative(net)
        w = w + rate * delta @ x
        b = b + rate * delta.sum()
    _store(model, w, b)
    return losses


def _arrays(op: str, input: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    y = target.numpy().astype(np.float64)
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"{op}: target holds {np.unique(y).tolist()}, but only 1 and -1 are expected")
    return input.numpy().astype(np.float64), y


def _state(model: Perceptron) -> tuple[np.ndarray, np.floating]:
    return model.weight.detach().numpy().astype(np.float64), np.float64(model.bias.detach().numpy()[0])


def _store(model: Perceptron, w: np.ndarray, b: np.floating) -> None:
    with no_grad():
        model.weight.detach().numpy()[...] = w
        model.bias.detach().numpy()[...] = b
        model.weight._data.bump_version()
        model.bias._data.bump_version()
