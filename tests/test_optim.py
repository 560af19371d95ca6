"""Optimizers with a kernel of their own: every option against NumPy in float64 and against PyTorch, misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, optim
from fastcnn import functional as F
from fastcnn.nn import Parameter
from tests.optimizer_runs import STEPS, assert_near, every_option, gradients, leaf, run, set_torch_grads, start

LARGE = (70_001,)  # more than one chunk of a kernel


class NumpyOptimizer:
    """The formulas of torch.optim's documentation, one parameter at a time, in float64."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        made = getattr(optim, name)([Parameter(fc.tensor([0.0]))], **options)
        self.name, self.o = name, made.param_groups[0]
        self.state: dict[int, dict[str, Any]] = {}

    def step(self, params: list[np.ndarray], grads: list[np.ndarray | None]) -> None:
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            if g is None:
                continue
            s = self.state.setdefault(i, {"t": 0})
            s["t"] += 1
            d = -g if self.o["maximize"] else g
            if self.name == "AdamW" or self.o.get("decoupled_weight_decay"):
                p *= 1 - self.o["lr"] * self.o["weight_decay"]
            else:
                d = d + self.o["weight_decay"] * p
            p -= getattr(self, self.name.lower())(d, s)

    def sgd(self, d: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        o = self.o
        if o["momentum"] == 0:
            return o["lr"] * d
        s["b"] = d if s["t"] == 1 else o["momentum"] * s["b"] + (1 - o["dampening"]) * d
        return o["lr"] * (d + o["momentum"] * s["b"] if o["nesterov"] else s["b"])

    def adam(self, d: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        o, t = self.o, s["t"]
        b1, b2 = o["betas"]
        s["m"] = b1 * s.get("m", 0) + (1 - b1) * d
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * d**2
        s["max"] = np.maximum(s.get("max", 0), s["v"])
        second = s["max"] if o["amsgrad"] else s["v"]
        return o["lr"] * (s["m"] / (1 - b1**t)) / (np.sqrt(second / (1 - b2**t)) + o["eps"])

    adamw = adam

    def rmsprop(self, d: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        o = self.o
        s["v"] = o["alpha"] * s.get("v", 0) + (1 - o["alpha"]) * d**2
        s["m"] = o["alpha"] * s.get("m", 0) + (1 - o["alpha"]) * d
        update = d / (np.sqrt(s["v"] - s["m"] ** 2 if o["centered"] else s["v"]) + o["eps"])
        s["b"] = o["momentum"] * s.get("b", 0) + update
        return o["lr"] * s["b"]

    def adagrad(self, d: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        o = self.o
        s["sum"] = s.get("sum", o["initial_accumulator_value"]) + d**2
        return o["lr"] / (1 + (s["t"] - 1) * o["lr_decay"]) * d / (np.sqrt(s["sum"]) + o["eps"])


@every_option
def test_float64_equals_numpy(name: str, options: dict[str, Any]) -> None:
    expected = start()
    reference = NumpyOptimizer(name, options)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        reference.step(expected, gradients(rng, step))
    assert_near(run(name, options, "float64"), expected, "float64")


@every_option
def test_float32_equals_float64(name: str, options: dict[str, Any], isa: str) -> None:
    assert_near(run(name, options, "float32"), run(name, options, "float64"), "float32")


@every_option
def test_large_arenas_do_not_depend_on_threads(name: str, options: dict[str, Any]) -> None:
    results = []
    for threads in (1, 2, 3):
        _C.set_num_threads(threads)
        results.append(run(name, options, "float32", steps=2, shapes=(LARGE, (5,))))
    first, *others = [[p.tobytes() for p in result] for result in results]
    assert others == [first, first]
    assert_near(results[0], run(name, options, "float64", steps=2, shapes=(LARGE, (5,))), "float32")


@every_option
def test_equals_torch(name: str, options: dict[str, Any], torch: Any) -> None:
    params = [torch.nn.Parameter(torch.from_numpy(a)) for a in start()]
    optimizer = getattr(torch.optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        set_torch_grads(torch, params, gradients(rng, step))
        optimizer.step()
    assert_near(run(name, options, "float64"), [p.detach().numpy() for p in params], "float64")


def test_adam_adds_its_penalty_to_the_gradient_and_adamw_does_not() -> None:
    # One step from p = 2 with g = 0: Adam's penalty passes through the normalisation, AdamW's shrinks the parameter.
    adam, adamw = (Parameter(fc.tensor([2.0], dtype=fc.float64)) for _ in range(2))
    for p, kind in ((adam, optim.Adam), (adamw, optim.AdamW)):
        p.grad = fc.tensor([0.0], dtype=fc.float64)
        kind([p], lr=0.1, weight_decay=0.5).step()
    assert adam.item() == pytest.approx(2.0 - 0.1)
    assert adamw.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_step_calls_the_closure_with_gradients_and_returns_its_loss() -> None:
    p = Parameter(fc.tensor([[2.0]]))
    optimizer = optim.SGD([p], lr=0.5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.linear(fc.tensor([[3.0]]), p)
        loss.backward()
        return float(loss.item())

    with fc.no_grad():
        assert optimizer.step(closure) == 6.0
    assert p.item() == 0.5
    assert optimizer.step() is None


def test_zero_grad() -> None:
    p = Parameter(fc.tensor([1.0]))
    optimizer = optim.SGD([p])
    p.grad = fc.tensor([3.0])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is not None
    assert p.grad.item() == 0.0
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is None


def test_infinite_and_nan_gradients_stay_in_their_element() -> None:
    p = Parameter(fc.tensor([1.0, 2.0, 3.0, 4.0]))
    p.grad = fc.tensor([float("nan"), float("inf"), 1.0, 0.0])
    optim.Adam([p]).step()
    assert np.isnan(p.detach().numpy()).tolist() == [True, True, False, False]


def test_misuse_is_rejected() -> None:
    p = leaf()
    product = F.linear(fc.tensor([[1.0]]), Parameter(fc.tensor([[1.0]])))
    cases: tuple[tuple[Any, type[Exception], str], ...] = (
        (lambda: optim.SGD([]), ValueError, "params is empty"),
        (lambda: optim.SGD(p), TypeError, "did you mean \\[tensor\\]"),
        (lambda: optim.SGD([p, p]), ValueError, "given twice"),
        (lambda: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "given twice"),
        (lambda: optim.SGD([{"params": []}]), ValueError, "no parameters"),
        (lambda: optim.SGD([1.0]), TypeError, "parameter 0 is float"),
        (lambda: optim.SGD([("weight", p)]), TypeError, "did you mean model.parameters"),
        (lambda: optim.SGD([{"params": {p}}]), TypeError, "set"),
        (lambda: optim.SGD([{"params": [p]}, leaf()]), TypeError, "mixes dicts"),
        (lambda: optim.SGD([product]), ValueError, "not a leaf"),
        (lambda: optim.SGD([fc.tensor([1])]), TypeError, "int64, but float32 or float64"),
        (lambda: optim.SGD([p], lr=-0.1), ValueError, "lr is -0.1"),
        (lambda: optim.SGD([p], lr=float("nan")), ValueError, "lr is nan"),
        (lambda: optim.SGD([p], momentum=-1), ValueError, "momentum is -1"),
        (lambda: optim.SGD([p], weight_decay=-1), ValueError, "weight_decay is -1"),
        (lambda: optim.SGD([p], nesterov=True), ValueError, "nesterov=True needs momentum"),
        (lambda: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "dampening"),
        (lambda: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas\\[1\\] is 1.0"),
        (lambda: optim.Adam([p], betas=(-0.1, 0.9)), ValueError, "betas\\[0\\]"),
        (lambda: optim.Adam([p], eps=-1), ValueError, "Adam: eps is -1"),
        (lambda: optim.AdamW([p], weight_decay=-1), ValueError, "AdamW: weight_decay"),
        (lambda: optim.RMSprop([p], alpha=-1), ValueError, "alpha is -1"),
        (lambda: optim.Adagrad([p], lr_decay=-1), ValueError, "lr_decay is -1"),
        (lambda: optim.Adagrad([p], initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda: optim.SGD([p]).add_param_group([leaf()]), TypeError, "a dict is expected"),
        (lambda: optim.SGD([p]).add_param_group({"params": [leaf()], "lr": -1}), ValueError, "lr is -1"),
    )
    for call, exception, words in cases:
        with pytest.raises(exception, match=words):
            call()
    assert p.item() == 1.0


def test_repr_lists_the_options_of_every_group() -> None:
    text = repr(optim.SGD([{"params": [leaf()]}, {"params": [leaf()], "lr": 0.5}], lr=0.25))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n")
    assert all(words in text for words in ("lr: 0.25", "Parameter Group 1", "lr: 0.5"))
