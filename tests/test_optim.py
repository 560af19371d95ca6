"""Optimizers: every option against NumPy in float64 and against PyTorch, groups, state, misuse."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, optim
from fastcnn import functional as F
from fastcnn.nn import Parameter
from tests.cases import tolerance

STEPS = 20
# A convolution weight (channels-last in memory), a vector with a tail, one number, a matrix.
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4, 5, 6), (7,), (1,), (33, 17))
LARGE = (70_001,)  # more than one chunk of a kernel

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.01}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"eps": 0.1, "maximize": True}),
)
IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items()) or 'defaults'}" for name, options in OPTIONS]
every_option = pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)


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


def gradients(rng: np.random.Generator, step: int, shapes: Any = SHAPES) -> list[np.ndarray | None]:
    """One gradient per shape, exact in float32; every parameter misses one now and then, the first one at the start."""
    draws = [rng.standard_normal(s).astype(np.float32).astype(np.float64) for s in shapes]
    return [None if (step + i) % 7 == 0 else draw for i, draw in enumerate(draws)]


def start(shapes: Any = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(np.float32).astype(np.float64) for s in shapes]


def set_grads(params: list[Any], grads: list[np.ndarray | None], dtype: str) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else fc.tensor(g.astype(dtype))


def parameters(dtype: str, shapes: Any = SHAPES) -> list[Parameter]:
    return [Parameter(fc.tensor(a.astype(dtype))) for a in start(shapes)]


def run(name: str, options: dict[str, Any], dtype: str, steps: int = STEPS, shapes: Any = SHAPES) -> list[np.ndarray]:
    params = parameters(dtype, shapes)
    optimizer = getattr(optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(steps):
        set_grads(params, gradients(rng, step, shapes), dtype)
        optimizer.step()
    return [np.array(p.detach().numpy()) for p in params]


def assert_near(actual: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    for got, want in zip(actual, expected, strict=True):
        scale = float(np.abs(want).max())
        assert got.dtype == np.dtype(dtype)
        assert np.abs(got.astype(np.float64) - want).max() <= tolerance(dtype, STEPS, scale)


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
    threads = _C.num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            _C.set_num_threads(n)
            results.append(run(name, options, "float32", steps=2, shapes=(LARGE, (5,))))
    finally:
        _C.set_num_threads(threads)
    first, *others = [[p.tobytes() for p in result] for result in results]
    assert others == [first, first]
    assert_near(results[0], run(name, options, "float64", steps=2, shapes=(LARGE, (5,))), "float32")


@every_option
def test_equals_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.from_numpy(a)) for a in start()]
    optimizer = getattr(torch.optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(STEPS):
        for p, g in zip(params, gradients(rng, step), strict=True):
            p.grad = None if g is None else torch.from_numpy(g)
        optimizer.step()
    assert_near(run(name, options, "float64"), [p.detach().numpy() for p in params], "float64")


@every_option
def test_state_dict_has_torchs_structure_and_loads_from_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.nn.Parameter(torch.from_numpy(a)) for a in start()]
    other = getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(1)
    for step in range(5):
        for p, g in zip(theirs, gradients(rng, step), strict=True):
            p.grad = None if g is None else torch.from_numpy(g)
        other.step()
    params = [Parameter(fc.tensor(p.detach().numpy())) for p in theirs]
    optimizer = getattr(optim, name)(params, **options)
    optimizer.load_state_dict(other.state_dict())
    ours = optimizer.state_dict()
    expected = other.state_dict()
    assert ours["state"].keys() == expected["state"].keys()
    for number, state in expected["state"].items():
        assert ours["state"][number].keys() == state.keys()
        for key, value in state.items():
            np.testing.assert_array_equal(ours["state"][number][key].numpy(), value.numpy())
    for group, wanted in zip(ours["param_groups"], expected["param_groups"], strict=True):
        assert all(group[key] == value for key, value in wanted.items())
    for step in range(5, 8):
        grads = gradients(rng, step)
        set_grads(params, grads, "float64")
        optimizer.step()
        for p, g in zip(theirs, grads, strict=True):
            p.grad = None if g is None else torch.from_numpy(g)
        other.step()
    assert_near([p.detach().numpy() for p in params], [p.detach().numpy() for p in theirs], "float64")


def snapshot(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A copy of a state_dict whose arrays do not change with the optimizer."""
    state = {n: {k: fc.tensor(np.array(v.numpy())) for k, v in s.items()} for n, s in state_dict["state"].items()}
    return {"state": state, "param_groups": copy.deepcopy(state_dict["param_groups"])}


@every_option
def test_saving_and_resuming_continues_with_the_same_bits(name: str, options: dict[str, Any]) -> None:
    undisturbed = run(name, options, "float32", steps=9)
    params = parameters("float32")
    optimizer = getattr(optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(9):
        if step == 5:  # a new process: fresh parameters and an optimizer with default options
            params = [Parameter(fc.tensor(p.detach().numpy())) for p in params]
            saved = snapshot(optimizer.state_dict())
            optimizer = getattr(optim, name)(params)
            optimizer.load_state_dict(saved)
        set_grads(params, gradients(rng, step), "float32")
        optimizer.step()
    for p, want in zip(params, undisturbed, strict=True):
        assert p.detach().numpy().tobytes() == want.tobytes()


def test_resuming_restores_every_option() -> None:
    p = Parameter(fc.tensor([1.0]))
    saved = optim.AdamW([p], lr=0.5, betas=(0.5, 0.6), eps=0.1, weight_decay=0.7, amsgrad=True).state_dict()
    saved["param_groups"][0]["betas"] = [0.5, 0.6]  # as JSON stores a tuple
    optimizer = optim.AdamW([p])
    optimizer.load_state_dict(saved)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.5, 0.6), 0.1)
    assert (group["weight_decay"], group["amsgrad"]) == (0.7, True)
    assert group["params"] == [p]


def test_adam_adds_its_penalty_to_the_gradient_and_adamw_does_not() -> None:
    # One step from p = 2 with g = 0: Adam's penalty passes through the normalisation, AdamW's shrinks the parameter.
    adam, adamw = (Parameter(fc.tensor([2.0], dtype=fc.float64)) for _ in range(2))
    for p, kind in ((adam, optim.Adam), (adamw, optim.AdamW)):
        p.grad = fc.tensor([0.0], dtype=fc.float64)
        kind([p], lr=0.1, weight_decay=0.5).step()
    assert adam.item() == pytest.approx(2.0 - 0.1)
    assert adamw.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_skipped_parameters_do_not_advance() -> None:
    a, b = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0]))
    optimizer = optim.Adam([a, b], lr=0.1)
    for _ in range(3):
        a.grad = fc.tensor([1.0])
        optimizer.step()
    assert b.item() == 1.0
    assert list(optimizer.state_dict()["state"]) == [0]
    b.grad = fc.tensor([1.0])
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert (state[0]["step"].item(), state[1]["step"].item()) == (4.0, 1.0)
    assert b.item() == pytest.approx(0.9)


def test_backward_writes_into_the_arena() -> None:
    w = Parameter(fc.tensor(np.ones((3, 4), np.float32)))
    b = Parameter(fc.tensor(np.zeros(3, np.float32)))
    optimizer = optim.SGD([w, b], lr=0.5)
    x = fc.tensor(np.arange(8, dtype=np.float32).reshape(2, 4))
    for passes in (1, 2):
        optimizer.zero_grad()
        for _ in range(passes):
            F.linear(x, w, b).backward(fc.tensor(np.ones((2, 3), np.float32)))
        assert w.grad is not None
        assert w._grad_slot is not None
        assert w.grad._data.data_ptr() == w._grad_slot.data_ptr()
        np.testing.assert_array_equal(w.grad.numpy(), passes * np.tile(x.numpy().sum(0), (3, 1)))
        np.testing.assert_array_equal(b.grad.numpy(), passes * np.full(3, 2.0))
    before = w.detach().numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(w.detach().numpy(), before - 0.5 * w.grad.numpy())


def test_gradients_that_were_there_before_the_optimizer_are_used() -> None:
    p = Parameter(fc.tensor([1.0, 2.0]))
    p.grad = fc.tensor([1.0, 1.0])
    optim.SGD([p], lr=1.0).step()
    assert p.detach().numpy().tolist() == [0.0, 1.0]


def test_replaced_data_is_adopted_with_its_state() -> None:
    p = Parameter(fc.tensor([1.0, 2.0]))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = fc.tensor([1.0, 1.0])
    optimizer.step()
    p._data = fc.tensor([10.0, 20.0])._data
    p._grad = fc.tensor([2.0, 2.0])
    optimizer.step()
    assert p.detach().numpy().tolist() == [10.0 - 2.5, 20.0 - 2.5]
    p._data = fc.tensor(np.array([1.0, 2.0]))._data  # another dtype: new arenas
    p._grad, p._grad_slot = None, None
    p.grad = fc.tensor(np.array([0.0, 1.0]))
    optimizer.step()
    assert p.dtype == fc.float64
    assert p.detach().numpy().tolist() == [1.0 - 1.25, 2.0 - 2.25]


def test_a_gradient_elsewhere_in_memory_is_brought_back() -> None:
    p = Parameter(fc.tensor([1.0, 2.0]))
    optimizer = optim.SGD([p], lr=1.0)
    p._grad = fc.tensor([1.0, 1.0])  # as autograd leaves it when a gradient was shared with another tensor
    optimizer.step()
    assert p.detach().numpy().tolist() == [0.0, 1.0]
    assert p.grad is not None
    assert p._grad_slot is not None
    assert p.grad._data.data_ptr() == p._grad_slot.data_ptr()


def test_two_optimizers_may_share_a_parameter() -> None:
    p = Parameter(fc.tensor([1.0]))
    first, second = optim.SGD([p], lr=0.5), optim.SGD([p], lr=0.25)
    for optimizer, expected in ((first, 0.5), (second, 0.25), (first, -0.25)):
        p.grad = fc.tensor([1.0])
        optimizer.step()
        assert p.item() == expected


def test_groups_have_options_of_their_own() -> None:
    a, b, c = (Parameter(fc.tensor([1.0])) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    optimizer.add_param_group({"params": [c], "lr": 0.125, "momentum": 0.5})
    for p in (a, b, c):
        p.grad = fc.tensor([1.0])
    optimizer.step()
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [0.5, 0.0, 1 - 0.125 - 0.125 * 1.5]
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_one_group_may_mix_dtypes() -> None:
    a, b = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0], dtype=fc.float64))
    a.grad, b.grad = fc.tensor([1.0]), fc.tensor([2.0], dtype=fc.float64)
    optimizer = optim.SGD([a, b], lr=0.5, momentum=0.9)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.0)
    assert list(optimizer.state_dict()["state"]) == [0, 1]


# bfloat16 parameters ------------------------------------------------------------------------------------------------


def bfloat16_parameter(*values: float) -> Parameter:
    p = Parameter(fc.tensor(list(values)).bfloat16())
    p.grad = fc.ones(len(values)).bfloat16()
    return p


def test_bfloat16_parameters_add_up_what_rounds_away() -> None:
    p = bfloat16_parameter(1.0, -2.0)
    optimizer = optim.SGD([p], lr=2.0**-12)
    for _ in range(64):
        optimizer.step()
    assert p.detach().float().numpy().tolist() == [1 - 2.0**-6, -2 - 2.0**-6]
    master = optimizer.state_dict()["state"][0]["master"]
    assert (master.dtype, p.dtype, p.grad.dtype) == (fc.float32, fc.bfloat16, fc.bfloat16)


def test_writing_to_a_bfloat16_parameter_replaces_its_master() -> None:
    p = bfloat16_parameter(1.0, 1.0)
    optimizer = optim.SGD([p], lr=2.0**-12)
    optimizer.step()
    with fc.no_grad():
        _C.copy_(p._data, fc.tensor([3.0, 1.0]).bfloat16()._data)
    optimizer.step()
    assert optimizer.state[p]["master"].numpy().tolist() == [3 - 2.0**-12, 1 - 2 * 2.0**-12]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_resuming_bfloat16_parameters_continues_with_the_same_bits(name: str) -> None:
    results = []
    for stop in (None, 7):
        p = bfloat16_parameter(1.0, -0.3)
        optimizer = getattr(optim, name)([p], lr=1e-3)
        for step in range(20):
            if step == stop:
                saved = snapshot(optimizer.state_dict())
                p = bfloat16_parameter(*p.detach().float().numpy().tolist())
                optimizer = getattr(optim, name)([p], lr=1e-3)
                optimizer.load_state_dict(saved)
            optimizer.step()
        results.append((p.detach().float().numpy().tobytes(), optimizer.state[p]["master"].numpy().tobytes()))
    assert results[0] == results[1]


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


def test_state_is_keyed_by_parameter() -> None:
    p, q = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0]))
    optimizer = optim.RMSprop([p, q], alpha=0.75)
    p.grad = fc.tensor([2.0])
    optimizer.step()
    assert list(optimizer.state) == [p]
    assert optimizer.state[p]["square_avg"].item() == 1.0


def test_infinite_and_nan_gradients_stay_in_their_element() -> None:
    p = Parameter(fc.tensor([1.0, 2.0, 3.0, 4.0]))
    p.grad = fc.tensor([float("nan"), float("inf"), 1.0, 0.0])
    optim.Adam([p]).step()
    assert np.isnan(p.detach().numpy()).tolist() == [True, True, False, False]


def recorded_step(optimizer: optim.Optimizer) -> Any:
    """Makes one step and gives its recording."""
    _C.begin_recording()
    try:
        optimizer.step()
    finally:
        recording = _C.end_recording()
    return recording


@every_option
def test_a_replayed_step_equals_a_step(name: str, options: dict[str, Any]) -> None:
    a, b = (Parameter(fc.tensor(np.linspace(-1, 1, 37, dtype=np.float32))) for _ in range(2))
    eager, recorded = (getattr(optim, name)([p], **options) for p in (a, b))
    for p in (a, b):
        p.grad = fc.tensor(np.linspace(-2, 1, 37, dtype=np.float32))
    recording = recorded_step(recorded)
    eager.step()
    for step in range(3):
        for optimizer in (eager, recorded):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)  # read when the step runs, not when it was recorded
        eager.step()
        recorded.update_hyperparameters()
        recording.replay()
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_a_failed_allocation_leaves_optimizer_and_parameters_as_they_were() -> None:
    p = Parameter(fc.tensor([1.0, 2.0]))
    p.grad = fc.tensor([1.0, 1.0])
    data = p._data
    optimizer = None

    def make_and_step() -> None:
        nonlocal optimizer
        optimizer = optimizer or optim.Adam([p], lr=0.5)
        optimizer.step()

    failures = 0
    for nth in range(1, 30):
        _C.fail_nth_allocation(nth)
        try:
            make_and_step()
        except MemoryError:
            failures += 1
            assert p.detach().numpy().tolist() == [1.0, 2.0]
            assert optimizer is not None or p._data is data
        else:
            break
        finally:
            _C.fail_nth_allocation(0)
    assert failures > 4
    assert p.detach().numpy().tolist() == pytest.approx([0.5, 1.5], rel=1e-4)


def leaf() -> Parameter:
    return Parameter(fc.tensor([1.0]))


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


def test_a_rejected_group_leaves_the_optimizer_usable() -> None:
    p = leaf()
    optimizer = optim.SGD([p], lr=0.5)
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [leaf()], "lr": -1})
    p.grad = fc.tensor([1.0])
    optimizer.step()
    assert p.item() == 0.5
    assert len(optimizer.param_groups) == 1


def test_states_that_do_not_fit_are_rejected() -> None:
    saved = optim.Adam([leaf(), leaf()]).state_dict()
    with pytest.raises(ValueError, match="2 parameters, but the optimizer's has 1"):
        optim.Adam([leaf()]).load_state_dict(saved)
    two = optim.Adam([{"params": [leaf()]}, {"params": [leaf()]}])
    with pytest.raises(ValueError, match="1 parameter groups, but the optimizer has 2"):
        two.load_state_dict(saved)
    p = leaf()
    p.grad = fc.tensor([1.0])
    other = optim.Adam([p])
    other.step()
    with pytest.raises(ValueError, match=r"exp_avg .* \(1,\), but the parameter has \(2,\)"):
        optim.Adam([Parameter(fc.tensor([1.0, 2.0]))]).load_state_dict(other.state_dict())


def test_repr_lists_the_options_of_every_group() -> None:
    text = repr(optim.SGD([{"params": [leaf()]}, {"params": [leaf()], "lr": 0.5}], lr=0.25))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n")
    assert all(words in text for words in ("lr: 0.25", "Parameter Group 1", "lr: 0.5"))
