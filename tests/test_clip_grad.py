"""Clipping of gradients on every device, inside and outside an optimizer's memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter
from fastcnn.nn.utils import clip_grad_norm_, clip_grad_value_
from fastcnn.optim.arena import flat_gradients

DEVICES = ["cpu", *(["cuda"] if fc.cuda.is_available() else [])]
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4, 5, 6), (7,), (), (33, 17), (0,), (16384 * 2 + 3,))
every_device = pytest.mark.parametrize("device", DEVICES)


def dtypes(device: str) -> list[fc.dtype]:
    return [fc.float32, fc.bfloat16, *([fc.float64] if device == "cpu" else [])]


def to(array: np.ndarray, dtype: fc.dtype, device: str) -> fc.Tensor:
    return fc.tensor(array.astype(np.float32)).to(dtype).to(device)


def numbers(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().cpu().double().numpy())


def make(dtype: fc.dtype, device: str, arena: bool) -> tuple[list[Parameter], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    params = [Parameter(to(np.zeros(shape), dtype, device)) for shape in SHAPES]
    if arena:
        optim.SGD(params, lr=0.1)
    for p in params:
        p.grad = to(rng.standard_normal(p.shape), dtype, device)
    params.append(Parameter(to(np.zeros(3), dtype, device)))  # has no gradient
    return params, [numbers(p.grad) for p in params[:-1]]


@every_device
@pytest.mark.parametrize("arena", [False, True])
@pytest.mark.parametrize("norm_type", [0.0, 1.0, 2.0, 3.5, math.inf])
def test_norm_and_scaling(device: str, arena: bool, norm_type: float) -> None:
    for dtype in dtypes(device):
        params, grads = make(dtype, device, arena)
        flat = np.concatenate([g.reshape(-1) for g in grads])
        expected = float(np.linalg.norm(flat, norm_type))
        norm = clip_grad_norm_(params, expected / 3, norm_type)
        assert (norm.shape, str(norm.device)) == ((), str(params[0].device))
        assert norm.item() == pytest.approx(expected, rel=1e-5)
        for p, g in zip(params, grads, strict=False):
            np.testing.assert_allclose(numbers(p.grad), g / 3, rtol=1e-5 if dtype != fc.bfloat16 else 1e-2)


@every_device
def test_small_gradients_stay_and_bits_repeat(device: str) -> None:
    params, grads = make(fc.float32, device, arena=True)
    norms = {clip_grad_norm_(params, 1e6).item() for _ in range(3)}
    assert len(norms) == 1
    for p, g in zip(params, grads, strict=False):
        np.testing.assert_array_equal(numbers(p.grad), g)


@every_device
@pytest.mark.parametrize("arena", [False, True])
def test_clip_value(device: str, arena: bool) -> None:
    for dtype in dtypes(device):
        params, grads = make(dtype, device, arena)
        clip_grad_value_(params, 0.5)
        for p, g in zip(params, grads, strict=False):
            np.testing.assert_array_equal(numbers(p.grad), np.clip(g, -0.5, 0.5))


@every_device
def test_gradients_of_an_arena_are_one_piece(device: str) -> None:
    params, _ = make(fc.float32, device, arena=True)
    optimizer = optim.SGD(params[:-1], lr=0.1)
    assert len(flat_gradients(params)) == 1
    params[1].grad = None
    pieces = flat_gradients(params)
    assert sum(piece.numel() for piece in pieces) < sum(p.numel() for p in params) + 16 * len(params)
    assert len(pieces) == 2
    assert clip_grad_norm_(params, 1e9).item() == pytest.approx(
        float(np.linalg.norm(np.concatenate([numbers(p.grad).reshape(-1) for p in params if p.grad is not None])))
    )
    assert optimizer.param_groups


@every_device
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_norms_that_are_not_finite(device: str, bad: float) -> None:
    for norm_type in (1.0, 2.0, math.inf):
        p = Parameter(to(np.zeros(3), fc.float32, device))
        p.grad = to(np.array([1.0, bad, -2.0]), fc.float32, device)
        with pytest.raises(RuntimeError, match="of the gradients is"):
            clip_grad_norm_(p, 1.0, norm_type, error_if_nonfinite=True)
        assert numbers(p.grad)[2] == -2
        norm = clip_grad_norm_(p, 1.0, norm_type).item()
        assert math.isnan(norm) if math.isnan(bad) else math.isinf(norm)
    clip_grad_value_(p, 1.0)


@every_device
def test_nan_passes_the_limit_of_values(device: str) -> None:
    p = Parameter(to(np.zeros(3), fc.float32, device))
    p.grad = to(np.array([math.nan, math.inf, -3.0]), fc.float32, device)
    clip_grad_value_([p], 1.0)
    np.testing.assert_array_equal(numbers(p.grad), [math.nan, 1.0, -1.0])


def test_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    for norm_type in (1.0, 2.0, math.inf):
        params, grads = make(fc.float64, "cpu", arena=True)
        theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.from_numpy(g.copy())
        want = torch.nn.utils.clip_grad_norm_([p for p in theirs if p.numel()], 1.5, norm_type)
        assert clip_grad_norm_(params, 1.5, norm_type).item() == pytest.approx(want.item())
        for p, q in zip(params, theirs, strict=False):
            np.testing.assert_allclose(numbers(p.grad), q.grad.numpy())


def test_misuse() -> None:
    p = Parameter(fc.zeros(2))
    assert clip_grad_norm_([p], 1.0).item() == 0
    p.grad = fc.ones(2)
    with pytest.raises(ValueError, match="norm_type is -1"):
        clip_grad_norm_([p], 1.0, -1)
    with pytest.raises(ValueError, match="clip_value is -1"):
        clip_grad_value_([p], -1)
