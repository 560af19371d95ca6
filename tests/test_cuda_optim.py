"""Optimizers with parameters on device `cuda`: the bits of the CPU, one launch per step, state, bfloat16 masters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, optim
from fastcnn.nn import Parameter
from tests.optimizer_runs import SHAPES, every_option, gradients, snapshot, start

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)

# Around the 2,048 elements of a block, and packs of 4 with every tail.
EDGES: tuple[tuple[int, ...], ...] = ((2048,), (2049,), (2047,), (1,), (2, 3, 1, 1), (0,), (4097,), (63,))
BITWISE = fc.cuda.is_emulated()  # a GPU's own pow differs in the last bit of float64


def raw(array: np.ndarray, dtype: fc.dtype, device: str) -> fc.Tensor:
    return fc.tensor(array.astype(np.float32)).to(dtype).to(device)


def parameters(device: str, dtype: fc.dtype, shapes: Any) -> list[Parameter]:
    return [Parameter(raw(a, dtype, device)) for a in start(shapes)]


def set_grads(params: list[Parameter], grads: list[np.ndarray | None]) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else raw(g, p.dtype, str(p.device))


def values(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().cpu().float().numpy())


def run(name: str, options: Any, device: str, dtype: fc.dtype, shapes: Any = SHAPES, steps: int = 4) -> Any:
    params = parameters(device, dtype, shapes)
    optimizer = getattr(optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(steps):
        set_grads(params, gradients(rng, step, shapes))
        optimizer.step()
    return params, optimizer


def assert_same(a: Any, b: Any) -> None:
    if BITWISE:
        np.testing.assert_array_equal(values(a).view(np.uint32), values(b).view(np.uint32))
    else:
        np.testing.assert_allclose(values(a), values(b), rtol=1e-2 if a.dtype == fc.bfloat16 else 1e-5, atol=1e-6)


@every_option
@pytest.mark.parametrize("shapes", [SHAPES, EDGES], ids=["layers", "edges"])
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=["float32", "bfloat16"])
def test_equals_the_cpu(name: str, options: dict[str, Any], shapes: Any, dtype: fc.dtype) -> None:
    (ours, on_gpu), (theirs, on_cpu) = (run(name, options, device, dtype, shapes) for device in ("cuda", "cpu"))
    for p, q in zip(ours, theirs, strict=True):
        assert p.is_cuda
        assert_same(p, q)
    a, b = on_gpu.state_dict()["state"], on_cpu.state_dict()["state"]
    assert a.keys() == b.keys()
    for number in a:
        assert a[number].keys() == b[number].keys()
        for key in a[number]:
            assert_same(a[number][key], b[number][key])


@every_option
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=["float32", "bfloat16"])
def test_saving_and_resuming_continues_with_the_same_bits(name: str, options: dict[str, Any], dtype: fc.dtype) -> None:
    undisturbed, _ = run(name, options, "cuda", dtype, steps=6)
    params = parameters("cuda", dtype, SHAPES)
    optimizer = getattr(optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(6):
        if step == 4:
            saved = snapshot({**optimizer.state_dict(), "state": on_cpu(optimizer.state_dict()["state"])})
            params = [Parameter(p.detach().clone()) for p in params]
            optimizer = getattr(optim, name)(params)
            optimizer.load_state_dict(saved)
        set_grads(params, gradients(rng, step))
        optimizer.step()
    for p, want in zip(params, undisturbed, strict=True):
        assert values(p).tobytes() == values(want).tobytes()


def on_cpu(states: Any) -> Any:
    return {number: {key: value.cpu() for key, value in state.items()} for number, state in states.items()}


@every_option
def test_a_step_is_one_launch(name: str, options: dict[str, Any]) -> None:
    params = parameters("cuda", fc.float32, SHAPES)
    optimizer = getattr(optim, name)(params, **options)
    set_grads(params, [np.ones(p.shape) for p in params])
    optimizer.step()
    _C.begin_recording()
    optimizer.step()
    recording = _C.end_recording()
    assert len(recording.names()) == 1


def test_a_replayed_step_follows_the_learning_rate_and_counts() -> None:
    a, b = (Parameter(raw(np.linspace(-1, 1, 37), fc.float32, "cuda")) for _ in range(2))
    eager, recorded = (optim.Adam([p], lr=0.1) for p in (a, b))
    for p in (a, b):
        p.grad = raw(np.linspace(-2, 1, 37), fc.float32, "cuda")
    _C.begin_recording()
    recorded.step()
    recording = _C.end_recording()
    eager.step()
    for step in range(3):
        for optimizer in (eager, recorded):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 2)
        eager.step()
        recorded.update_hyperparameters()
        recording.replay()
        assert values(a).tobytes() == values(b).tobytes()
    assert recorded.state_dict()["state"][0]["step"].item() == 4


def test_hyperparameters_travel_only_when_they_change() -> None:
    p = Parameter(raw(np.ones(3), fc.float32, "cuda"))
    p.grad = raw(np.ones(3), fc.float32, "cuda")
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.step()
    before = optimizer._arenas[0][0].hyper.version
    optimizer.step()
    assert optimizer._arenas[0][0].hyper.version == before
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert values(p).tolist() == [-0.25] * 3


def test_parameters_that_move_to_the_gpu_take_their_state_along() -> None:
    model = fc.nn.Linear(5, 3)
    reference = fc.nn.Linear(5, 3)
    reference.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
    optimizers = [optim.Adam(m.parameters(), lr=0.1) for m in (model, reference)]
    for step in range(4):
        if step == 2:
            model.to("cuda")
        for m, optimizer in zip((model, reference), optimizers, strict=True):
            for i, p in enumerate(m.parameters()):
                p.grad = raw(np.full(p.shape, 0.1 * step + i), fc.float32, str(p.device))
            optimizer.step()
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        assert p.is_cuda
        assert_same(p, q)


def test_zero_grad_is_one_write() -> None:
    params, optimizer = run("SGD", {"lr": 0.1}, "cuda", fc.float32)
    set_grads(params, [np.ones(p.shape) for p in params])
    _C.begin_recording()
    optimizer.zero_grad(set_to_none=False)
    assert _C.end_recording().names() == ["zero_"]
    assert all(not values(p.grad).any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_float64_is_for_the_cpu() -> None:
    with pytest.raises(TypeError, match="float64 on cuda:0, but float32 or bfloat16"):
        optim.SGD([Parameter(fc.tensor(np.ones(2)).to("cuda"))])
