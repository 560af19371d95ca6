"""What the lectures ask of a GPU: the six activations, and a network that trains as it does on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import models, nn, optim

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)


@pytest.fixture(autouse=True)
def true_float32() -> Iterator[None]:
    before = fc.get_precision()
    fc.set_precision("highest")
    yield
    fc.set_precision(before)


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(), nn.Softmax(1)],
                         ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_six_activations_equal_the_cpus(layer: nn.Module) -> None:
    """W2: linear, logistic, tanh, ReLU, leaky ReLU and soft-max, forward and backward."""
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=(5, 37)).astype(np.float32) for _ in range(2))
    results = []
    for device in ("cpu", "cuda"):
        leaf = fc.tensor(x, device=device, requires_grad=True)
        y = layer(leaf)
        y.backward(fc.tensor(g, device=device))
        assert leaf.grad is not None
        results.append((y.detach().cpu().numpy(), leaf.grad.cpu().numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_lenet_learns_as_on_the_cpu() -> None:
    """W6, W7: the loss falls, and its curve is the CPU's up to 1e-3."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 8)
    images = rng.normal(0, 0.3, (8, 1, 12, 12)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 3 * label : 3 * label + 2] += 1.5  # digits as simple as they get: a bar at one of four heights
    curves = []
    for device in ("cpu", "cuda"):
        fc.manual_seed(0)
        model = models.create_model("lenet5", num_classes=4, image_size=12).to(device)
        optimizer = optim.SGD(model.parameters(), lr=0.15, momentum=0.9)
        x, y = fc.tensor(images, device=device), fc.tensor(labels, device=device)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(losses)
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-3)
    assert curves[1][-1] < 0.8 * curves[1][0]


def test_region_pool_equals_the_cpus() -> None:
    """K20: values and gradients."""
    results = []
    for device in ("cpu", "cuda"):
        x = fc.tensor(np.random.default_rng(0).normal(size=(1, 3, 8, 9)).astype(np.float32), device=device,
                      requires_grad=True)  # fmt: skip
        y = nn.RoIPool((3, 2), 0.5)(x, [fc.tensor([[1.0, 2.0, 14.0, 15.0], [-4.0, 6.0, 9.0, 40.0]])])
        y.backward(fc.tensor(np.random.default_rng(1).normal(size=y.shape).astype(np.float32), device=device))
        assert x.grad is not None
        results.append((y.detach().cpu().numpy(), x.grad.cpu().numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
