"""Group W of the lectures: the library as a system, its activations, layers, counters and devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, models, nn
from fastcnn import functional as F

ROOT = Path(__file__).parents[1]

# The six activations of the homework: forward, and gradient by formula from the output y or the input x.
SIX = {
    "linear": (nn.Identity(), lambda x, y: np.ones_like(x)),
    "logistic": (nn.Sigmoid(), lambda x, y: y * (1 - y)),
    "tanh": (nn.Tanh(), lambda x, y: 1 - y**2),
    "ReLU": (nn.ReLU(), lambda x, y: (x > 0) * 1.0),
    "leaky ReLU": (nn.LeakyReLU(), lambda x, y: np.where(x > 0, 1.0, 0.01)),
}


@pytest.mark.parametrize("name", [*SIX, "softmax"])
def test_six_activations_forward_and_backward(name: str, isa: str) -> None:
    """W1, W2: on every instruction set; the same on a GPU in test_cuda_lectures.py."""
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=(7, 33)).astype(np.float32) for _ in range(2))
    leaf = fc.tensor(x, requires_grad=True)
    if name == "softmax":
        y = nn.Softmax(1)(leaf)
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        expected, gradient = p, p * (g - (g * p).sum(1, keepdims=True))
    else:
        layer, slope = SIX[name]
        y = layer(leaf)
        expected = {"linear": x, "logistic": 1 / (1 + np.exp(-x)), "tanh": np.tanh(x), "ReLU": np.maximum(x, 0),
                    "leaky ReLU": np.where(x > 0, x, 0.01 * x)}[name]  # fmt: skip
        gradient = g * slope(x, expected)
    y.backward(fc.tensor(g))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=1e-4, atol=1e-6)


def test_core_is_compiled() -> None:
    """W1: gradients and updates happen in the extension module, bound function by function."""
    bound = {name for name in dir(_C) if not name.startswith("_")}
    for name in ("linear_forward", "linear_backward_input", "linear_backward_weight", "conv2d_forward",
                 "conv2d_backward_input", "conv2d_backward_weight", "relu_backward", "sgd_step"):  # fmt: skip
        assert name in bound, name


@pytest.mark.parametrize(
    "part", ["linear", "conv2d", "activation", "max_pool2d", "avg_pool2d", "batch_norm", "cross_entropy", "softmax"]
)
def test_every_component_has_vector_and_cuda_kernels(part: str) -> None:
    """W4: fully connected, activation, convolution, pooling, normalisation: CPU source for three instruction sets, and
    CUDA source beside it."""
    folder = ROOT / "csrc" / "ops"
    if not folder.is_dir():
        pytest.skip("the sources are not beside the tests")
    names = {"activation": "unary", "linear": "matmul"}  # a linear layer is a matrix product
    sources = sorted(path.name for path in folder.glob(f"{names.get(part, part)}*/*") if path.is_file())
    assert any(name.endswith("_cpu.cpp") for name in sources), sources
    assert any(name.endswith(".cu") for name in sources), sources


def test_counters_give_the_lectures_numbers() -> None:
    """W8: 760 parameters and 768,000 multiply-adds of the example; all networks in tests/models/facts.py."""
    summary = models.summarize(nn.Sequential(nn.Conv2d(3, 10, 5, padding=2)), (3, 32, 32))
    assert (summary.parameters, summary.macs) == (760, 768_000)
    line = models.summarize(nn.Conv1d(4, 6, 3), (4, 10))
    assert (line.parameters, line.macs) == (6 * 12 + 6, 6 * 8 * 12)


def test_reverse_mode_engine() -> None:
    """W9: gradients of a function that uses everything twice, against central differences."""

    def function(x: fc.Tensor, w: fc.Tensor) -> fc.Tensor:
        y = F.conv2d(x, w, padding=1)
        return F.max_pool2d(F.tanh(y) * y + x.sum(dim=1, keepdim=True), 2)

    x = fc.tensor(np.random.default_rng(0).normal(size=(2, 2, 4, 4)), requires_grad=True)
    w = fc.tensor(np.random.default_rng(1).normal(size=(3, 2, 3, 3)), requires_grad=True)
    assert fc.gradcheck(function, [x, w])


def test_it_runs_without_a_gpu() -> None:
    """W6: the device cuda is optional, and its absence is explained."""
    if fc.cuda.is_available():
        assert fc.cuda.device_count() >= 1
        return
    assert len(fc.cuda.why_unavailable()) > 10
    with pytest.raises((RuntimeError, ValueError), match="cuda"):
        fc.zeros(2, device="cuda")


def test_speed_of_devices_is_reported_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """W11: `python -m bench devices` prints the CPU's time over the GPU's; measured, never asserted."""
    from bench import devices

    rows = [{"model": "lenet5", "batch": 64, "cpu_seconds": 0.05, "cuda_seconds": 0.001}]
    assert devices.table(rows).splitlines()[-1].endswith(" 50.0x")
    monkeypatch.setattr(fc.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="compares the CPU with a GPU"):
        devices.run(1)
    step = devices.training_step("cpu", 4)
    losses = [step() for _ in range(4)]
    assert losses[-1] < losses[0]
