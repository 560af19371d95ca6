"""Recurrent cells and layers: RNN, LSTM, GRU. Steps are composed of linear layers and elementwise ops."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .. import functional as F
from ..ops.creation import zeros
from ..ops.joining import cat, chunk, stack
from ..ops.shape import squeeze, transpose, unsqueeze
from ..tensor import Tensor, float32
from . import init
from .module import Module
from .parameter import Parameter

_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def _step(kind: str, from_input: Tensor, from_hidden: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The next state from W_ih x + b_ih, W_hh h + b_hh and the present one: (h,), of an LSTM (h, c).

    LSTM: c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c').
    GRU: n = tanh(n_ih + sigmoid(r) n_hh), h' = (1 - sigmoid(z)) n + sigmoid(z) h.
    """
    if kind == "LSTM":
        i, f, g, o = chunk(from_input + from_hidden, 4, 1)
        c = F.sigmoid(f) * state[1] + F.sigmoid(i) * F.tanh(g)
        return F.sigmoid(o) * F.tanh(c), c
    if kind == "GRU":
        (r, z, n), (hr, hz, hn) = chunk(from_input, 3, 1), chunk(from_hidden, 3, 1)
        update = F.sigmoid(z + hz)
        candidate = F.tanh(n + F.sigmoid(r + hr) * hn)
        return (candidate + update * (state[0] - candidate),)
    return ((F.tanh if kind == "RNN_TANH" else F.relu)(from_input + from_hidden),)


class _Recurrent(Module):
    """Draws all parameters from U(-k, k), k = 1 / sqrt(hidden_size)."""

    hidden_size: int

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for p in self._parameters.values():
            if p is not None:
                init.uniform_(p, -bound, bound)

    def _add(self, suffix: str, rows: int, columns: int, bias: bool, dtype: Any, device: Any) -> None:
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, columns), "weight_hh": (rows, self.hidden_size)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            self.register_parameter(name + suffix, Parameter(Tensor(_C.empty(shape, dtype or float32, device))))


class _Cell(_Recurrent):
    _kind = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self._add("", _GATES[self._kind or "RNN_TANH"] * hidden_size, input_size, bias, dtype, device)
        if not bias:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def _run(self, kind: str, input: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(f"{name}: input has shape {input.shape}, but (N, {self.input_size}) is expected")
        batched = input.ndim == 2
        x = input if batched else unsqueeze(input, 0)
        if state is None:
            start = zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)
            present: tuple[Tensor, ...] = (start,) * (2 if kind == "LSTM" else 1)
        else:
            present = state if batched else tuple(unsqueeze(s, 0) for s in state)
        following = _step(
            kind,
            F.linear(x, self.weight_ih, self.bias_ih),
            F.linear(present[0], self.weight_hh, self.bias_hh),
            present,
        )
        return following if batched else tuple(squeeze(s, 0) for s in following)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias else ', bias=False'}"


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.

    Args:
        input_size: numbers in x.
        hidden_size: numbers in h.
        bias: whether there are biases.
        nonlinearity: "tanh" or "relu".
        device: where the parameters live.
        dtype: their element type.

    Raises:
        ValueError: another nonlinearity.
    """

    _kind = "RNN_TANH"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity is {nonlinearity!r}, but 'tanh' or 'relu' is expected")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size); or without N."""
        return self._run(f"RNN_{self.nonlinearity.upper()}", input, None if hx is None else (hx,))[0]


class LSTMCell(_Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); gates i, f, g, o in this order; see `RNNCell`."""

    _kind = "LSTM"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(N, input_size), (h, c) -> (h', c')."""
        h, c = self._run("LSTM", input, hx)
        return h, c


class GRUCell(_Cell):
    """Gated recurrent unit (Cho et al. 2014); gates r, z, n in this order; see `RNNCell`."""

    _kind = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size)."""
        return self._run("GRU", input, None if hx is None else (hx,))[0]


class _Layers(_Recurrent):
    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__}: num_layers is {num_layers} and hidden_size {hidden_size}, but both must be "
                f"positive"
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self._directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            for direction in self._directions:
                columns = input_size if layer == 0 else hidden_size * len(self._directions)
                self._add(f"_l{layer}{direction}", _GATES[mode] * hidden_size, columns, bias, dtype, device)
        self.reset_parameters()

    def _direction(self, x: Tensor, suffix: str, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer in one direction: x (T, N, features) -> (T, N, hidden)."""
        bias_ih = getattr(self, f"bias_ih{suffix}") if self.bias else None
        bias_hh = getattr(self, f"bias_hh{suffix}") if self.bias else None
        weight_hh = getattr(self, f"weight_hh{suffix}")
        from_input = F.linear(x, getattr(self, f"weight_ih{suffix}"), bias_ih)
        times = range(x.shape[0])
        outputs: list[Any] = [None] * x.shape[0]
        for t in reversed(times) if suffix.endswith("_reverse") else times:
            state = _step(self.mode, from_input[t], F.linear(state[0], weight_hh, bias_hh), state)
            outputs[t] = state[0]
        return stack(outputs, 0), state

    def _run(self, input: Tensor, given: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        name = type(self).__name__
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{name}: input has shape {input.shape}, but (T, N, {self.input_size}) or (T, {self.input_size}) is "
                f"expected{' with N first (batch_first=True)' if self.batch_first else ''}"
            )
        batched = input.ndim == 3
        x = (transpose(input, 0, 1) if self.batch_first else input) if batched else unsqueeze(input, 1)
        if x.shape[0] == 0:
            raise ValueError(f"{name}: input has shape {input.shape}, but at least one time step is expected")
        parts = 2 if self.mode == "LSTM" else 1
        slots = self.num_layers * len(self._directions)
        expected = (slots, x.shape[1], self.hidden_size)
        if given is None:
            start = zeros(x.shape[1], self.hidden_size, dtype=x.dtype, device=x.device)
            states = [(start,) * parts] * slots
        else:
            wide = given if batched else tuple(unsqueeze(s, 1) for s in given)
            for s in wide:
                if s.shape != expected:
                    raise ValueError(f"{name}: a state has shape {s.shape}, but {expected} is expected")
            states = [tuple(s[i] for s in wide) for i in range(slots)]
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                out, final = self._direction(x, f"_l{layer}{direction}", states[len(finals)])
                outputs.append(out)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, 2)
            if self.dropout and layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)
        last = tuple(stack([final[i] for final in finals], 0) for i in range(parts))
        if not batched:
            return squeeze(x, 1), tuple(squeeze(s, 1) for s in last)
        return (transpose(x, 0, 1) if self.batch_first else x), last

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, for `repr`."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += f", bias={self.bias}"
        if self.batch_first:
            text += f", batch_first={self.batch_first}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += f", bidirectional={self.bidirectional}"
        return text


class RNN(_Layers):
    """Layers of h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Args:
        input_size: numbers in x_t.
        hidden_size: numbers in h_t.
        num_layers: layers, each fed with the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether there are biases.
        batch_first: (N, T, features) in place of (T, N, features).
        dropout: between the layers, in training.
        bidirectional: a second set of layers reads backwards; outputs are put side by side.
        device: where the parameters live.
        dtype: their element type.

    Raises:
        ValueError: another nonlinearity, or sizes below 1.

    Example:
        >>> import fastcnn as fc
        >>> output, h = fc.nn.RNN(10, 20, num_layers=2)(fc.zeros(5, 3, 10))
        >>> output.shape, h.shape
        ((5, 3, 20), (2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity is {nonlinearity!r}, but 'tanh' or 'relu' is expected")
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, N, input_size), (layers * directions, N, hidden_size) -> outputs (T, N, ...) and the last states."""
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h


class LSTM(_Layers):
    """Layers of `LSTMCell`s; arguments as in `RNN` without `nonlinearity`.

    Example:
        >>> import fastcnn as fc
        >>> output, (h, c) = fc.nn.LSTM(10, 20, bidirectional=True)(fc.zeros(5, 3, 10))
        >>> output.shape, h.shape, c.shape
        ((5, 3, 40), (2, 3, 20), (2, 3, 20))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(T, N, input_size), (h, c) -> outputs (T, N, ...) and the last (h, c)."""
        output, (h, c) = self._run(input, hx)
        return output, (h, c)


class GRU(_Layers):
    """Layers of `GRUCell`s; arguments as in `RNN` without `nonlinearity`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, N, input_size), (layers * directions, N, hidden_size) -> outputs (T, N, ...) and the last states."""
        output, (h,) = self._run(input, None if hx is None else (hx,))
        return output, h
