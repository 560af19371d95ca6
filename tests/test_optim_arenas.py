"""Arenas of optimizers: where parameters and gradients lie, what brings them back, replays, failed allocations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, optim
from fastcnn import functional as F
from fastcnn.nn import Parameter
from tests.optimizer_runs import every_option


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
