"""Packed weights are kept with the weights, never outlive a write to them, and never change a result."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn
from fastcnn import functional as F

# Few pixels: direct, Winograd, grouped and depthwise kernels.
CASES = {
    "direct": ((1, 32, 5, 5), (48, 32, 1, 1), 1),
    "winograd": ((8, 64, 14, 14), (64, 64, 3, 3), 1),
    "grouped": ((1, 32, 6, 6), (32, 4, 3, 3), 8),
    "depthwise": ((1, 32, 6, 6), (32, 1, 3, 3), 32),
}


def operands(case: str) -> tuple[Any, Any, int]:
    input_shape, weight_shape, groups = CASES[case]
    rng = np.random.default_rng(0)
    x = fc.tensor(rng.standard_normal(input_shape, np.float32))
    # Not from NumPy's memory: made by an operation of our own.
    weight = fc.tensor(rng.standard_normal(weight_shape, np.float32)) * 1.0
    return x, weight, groups


def convolve(x: Any, weight: Any, groups: int = 1) -> bytes:
    return F.conv2d(x, weight, padding=weight.shape[2] // 2, groups=groups).numpy().tobytes()


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    gc.collect()


@pytest.mark.parametrize("case", CASES)
def test_kept_from_the_second_use_on_and_freed_with_the_weights(case: str, isa: str) -> None:
    before = _C.derived_bytes()
    x, weight, groups = operands(case)
    first = convolve(x, weight, groups)
    assert _C.derived_bytes() == before, "one use keeps nothing: weights in training change after it"
    second = convolve(x, weight, groups)
    kept = _C.derived_bytes() - before
    assert kept >= weight.numel() * 4
    assert first == second == convolve(x, weight, groups)
    assert _C.derived_bytes() - before == kept
    del weight
    gc.collect()
    assert _C.derived_bytes() == before


def writers() -> dict[str, Any]:
    def through_numpy(w: Any) -> None:
        w.numpy()[...] *= 2

    def through_dlpack(w: Any) -> None:
        np.from_dlpack(w)[...] *= 2

    def optimizer_step(w: Any) -> None:
        parameter = nn.Parameter(w)
        parameter.grad = -parameter.detach()
        fc.optim.SGD([parameter], lr=1.0).step()
        w.copy_(parameter.detach())

    return {
        "in place": lambda w: w.mul_(2),
        "copy": lambda w: w.copy_(w * 2),
        "a view": lambda w: w[3:4].mul_(2),
        "index": lambda w: w.__setitem__(0, 5.0),
        "fill": lambda w: w.zero_(),
        "numpy": through_numpy,
        "dlpack": through_dlpack,
        "optimizer": optimizer_step,
    }


@pytest.mark.parametrize("how", writers())
@pytest.mark.parametrize("case", ["direct", "winograd"])
def test_a_write_is_never_missed(case: str, how: str) -> None:
    x, weight, _ = operands(case)
    for _ in range(3):
        before = convolve(x, weight)
    with fc.no_grad():
        writers()[how](weight)
    fresh = convolve(x, weight.clone())
    assert fresh != before
    for _ in range(3):
        assert convolve(x, weight) == fresh


def test_memory_lent_to_numpy_is_not_kept() -> None:
    x, weight, _ = operands("direct")
    view = weight.numpy()
    before = _C.derived_bytes()
    for value in (1.0, 2.0, 3.0):  # written between two calls, without any call of ours
        view[...] = value
        assert convolve(x, weight) == convolve(x, weight.clone())
    assert _C.derived_bytes() == before
    del view
    gc.collect()
    for _ in range(2):
        convolve(x, weight)
    assert _C.derived_bytes() > before


def test_borrowed_memory_is_not_kept() -> None:
    memory = np.ones((48, 32, 1, 1), np.float32)
    x, _, _ = operands("direct")
    weight = fc.from_dlpack(memory)
    for value in (1.0, 2.0, 3.0):
        memory[...] = value
        assert convolve(x, weight) == convolve(x, weight.clone())


def test_large_maps_keep_nothing() -> None:
    _, weight, _ = operands("direct")
    large = fc.zeros(2, 32, 40, 40)
    before = _C.derived_bytes()
    for _ in range(3):
        convolve(large, weight)
    assert _C.derived_bytes() == before


def test_training_keeps_nothing() -> None:
    fc.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.Flatten(), nn.Linear(800, 2)
    )
    optimizer = fc.optim.SGD(net.parameters(), lr=0.01)
    x, y = fc.randn(1, 8, 5, 5), fc.tensor([1])

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    before = _C.derived_bytes()
    captured = fc.capture(step)
    for call in (step, captured):
        for _ in range(4):
            call(x, y)
        assert _C.derived_bytes() == before


def test_replays_use_kept_weights_and_see_every_write() -> None:
    x, weight, _ = operands("direct")
    before = _C.derived_bytes()
    infer = fc.capture(fc.no_grad()(lambda x: F.conv2d(x, weight)))
    for _ in range(4):
        result = infer(x).numpy().tobytes()
    assert _C.derived_bytes() > before
    assert result == convolve(x, weight)
    weight.mul_(2)
    changed = infer(x).numpy().tobytes()
    assert changed != result
    assert changed == convolve(x, weight.clone())


def test_a_recorded_write_between_two_uses_is_seen_in_every_replay() -> None:
    x, weight, _ = operands("direct")
    twin = weight.clone()

    def body(x: Any, w: Any) -> Any:
        parts = [F.conv2d(x, w), F.conv2d(x, w)]
        w.mul_(-1.5)
        return [*parts, F.conv2d(x, w), F.conv2d(x, w)]

    captured = fc.capture(fc.no_grad()(lambda x: body(x, weight)))
    for _ in range(5):
        got = [part.numpy().tobytes() for part in captured(x)]
        with fc.no_grad():
            expected = [part.numpy().tobytes() for part in body(x, twin)]
        assert got == expected
    assert weight._data.version == 5


def test_weights_computed_inside_a_recording() -> None:
    x, weight, _ = operands("direct")
    captured = fc.capture(fc.no_grad()(lambda x, scale: F.conv2d(x, weight * scale)))
    for value in (1.0, 1.0, 2.0, 2.0, 3.0, 3.0):
        scale = fc.tensor(value)
        assert captured(x, scale).numpy().tobytes() == convolve(x, weight * scale)


def test_threads_share_kept_weights() -> None:
    x, weight, _ = operands("winograd")
    expected = convolve(x, weight.clone())
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.extend(convolve(x, weight) for _ in range(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    assert set(results) == {expected}
