"""Optimizers with a kernel of their own under every option, and runs of them that the tests share."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter
from tests.cases import tolerance

STEPS = 20
# A convolution weight (channels-last in memory), a vector with a tail, one number, a matrix.
SHAPES: tuple[tuple[int, ...], ...] = ((3, 4, 5, 6), (7,), (1,), (33, 17))

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


def set_torch_grads(torch: Any, params: list[Any], grads: list[np.ndarray | None]) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else torch.from_numpy(g)


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


def snapshot(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A copy of a state_dict whose arrays do not change with the optimizer."""
    state = {n: {k: fc.tensor(np.array(v.numpy())) for k, v in s.items()} for n, s in state_dict["state"].items()}
    return {"state": state, "param_groups": copy.deepcopy(state_dict["param_groups"])}


def leaf() -> Parameter:
    return Parameter(fc.tensor([1.0]))
