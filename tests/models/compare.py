"""Compares a model with its second definition in torch: logits, every gradient, running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from tests.models.reference import Definition, Net

# Relative errors, |ours - theirs| / |theirs| in the Euclidean norm over a tensor, theirs computed in float64. In
# float32 four times torch's own error in float32 is allowed on top: batch norm over few values magnifies rounding, and
# gradients jump where a unit at the kink of a relu or at a tie of a max pool falls on the other side. The exact
# comparison of gradients is therefore that in float64.
OUTPUT = {"float32": 2e-5, "float64": 1e-9}
GRADIENT = {"float32": 5e-2, "float64": 1e-7}
FACTOR = 4.0

modes = pytest.mark.parametrize(
    ("dtype", "training"),
    [("float32", False), ("float32", True), ("float64", True)],
    ids=["eval", "train", "train-float64"],
)


def randomize(model: nn.Module, rng: np.random.Generator) -> None:
    """Batch norms that matter: weights around 1, biases around 0, running statistics as of some data."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            size = module.num_features
            values = {"weight": rng.uniform(0.6, 1.4, size), "bias": rng.normal(0, 0.2, size)}
            values |= {"running_mean": rng.normal(0, 0.2, size), "running_var": rng.uniform(0.6, 1.4, size)}
            module.load_state_dict({key: value.astype(np.float32) for key, value in values.items()}, strict=False)


def without_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | nn.StochasticDepth):
            module.p = 0.0


def images(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return rng.normal(size=shape).astype(np.float32)


def relative_error(ours: Any, theirs: Any, floor: float = 0.0) -> float:
    """|ours - theirs| / (|theirs| + floor)."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs) + floor, 1e-12))


def assert_equals_torch(
    torch: Any, model: nn.Module, definition: Definition, shape: tuple[int, ...], dtype: str, training: bool
) -> None:
    """Asserts that `model` computes what `definition` does: outputs (also tuples of them), gradients, statistics."""
    rng = np.random.default_rng(0)
    randomize(model, rng)
    without_dropout(model)
    if dtype == "float64":
        model.double()
    model.train(training)
    state = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    x = images(rng, *shape).astype(dtype)
    x_ours = fc.tensor(x, requires_grad=True)
    ours = model(x_ours)
    ours = ours if isinstance(ours, tuple) else (ours,)
    cotangents = [rng.normal(size=output.shape).astype(dtype) for output in ours]
    sum((o * fc.tensor(c)).sum() for o, c in zip(ours, cotangents, strict=True)).backward()

    def run(precision: Any) -> tuple[Net, dict[str, Any]]:
        """What torch makes of the same numbers: outputs, gradients, running statistics."""
        net = Net(torch, state, training, precision)
        x_theirs = torch.from_numpy(x).to(precision).requires_grad_()
        outputs = definition(net, x_theirs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sum((o * torch.from_numpy(c).to(precision)).sum() for o, c in zip(outputs, cotangents, strict=True)).backward()
        found = {f"output {i}": output for i, output in enumerate(outputs)} | {"gradient of the input": x_theirs.grad}
        found |= {f"gradient of {path}": net.state[path].grad for path in parameters if path in net.used}
        found |= {path: net.state[path] for path in statistics}
        return net, {name: value.detach().numpy() for name, value in found.items()}

    parameters = {path: parameter for path, parameter in model.named_parameters() if parameter.requires_grad}
    statistics = {p: b for p, b in model.named_buffers() if training and p.endswith(("running_mean", "running_var"))}
    net, theirs = run(torch.float64)
    _, rough = run(torch.float32) if dtype == "float32" else (None, theirs)
    values = {f"output {i}": output for i, output in enumerate(ours)} | {"gradient of the input": x_ours.grad}
    values |= {f"gradient of {path}": parameter.grad for path, parameter in parameters.items() if path in net.used}
    values |= statistics
    assert list(values) == list(theirs)
    gradients = [theirs[name] for name in values if name.startswith("gradient of ")]
    typical = (sum(float(np.square(g).sum()) for g in gradients) / sum(g.size for g in gradients)) ** 0.5
    for name, value in values.items():
        gradient = name.startswith("gradient of ")
        # A bias in front of a batch norm, maybe with a convolution between them, has gradient 0 but for rounding.
        floor = 0.01 * typical * theirs[name].size ** 0.5 if gradient else 0.0
        error = relative_error(value.detach().numpy(), theirs[name], floor)
        limit = (GRADIENT if gradient else OUTPUT)[dtype] + FACTOR * relative_error(rough[name], theirs[name], floor)
        assert error < limit, f"{name}: relative error {error:.1e}, but at most {limit:.1e} is expected"
    unused = set(state) - net.used
    if training:
        assert not unused
    else:  # auxiliary classifiers
        assert all(parameter.grad is None for path, parameter in parameters.items() if path in unused)


def assert_learns(model: nn.Module, shape: tuple[int, ...], classes: int, lr: float = 0.01) -> None:
    """Asserts that one step of SGD on a batch lowers the loss on that batch."""
    rng = np.random.default_rng(1)
    without_dropout(model)
    x, y = fc.tensor(images(rng, *shape)), fc.tensor(rng.integers(0, classes, shape[0]))
    optimizer = fc.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(2):
        output = model.train()(x)
        loss = nn.CrossEntropyLoss()(output[0] if isinstance(output, tuple) else output, y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0], losses


def assert_takes_sizes(model: nn.Module, channels: int, sizes: tuple[tuple[int, int], ...], classes: int) -> None:
    """Asserts that a single image of each (H, W) gives finite scores in eval mode, the same as within a batch."""
    rng = np.random.default_rng(2)
    model.eval()
    with fc.no_grad():
        for height, width in sizes:
            batch = images(rng, 2, channels, height, width)
            alone = model(fc.tensor(batch[:1])).numpy()
            assert alone.shape == (1, classes)
            assert np.isfinite(alone).all()
            np.testing.assert_allclose(alone, model(fc.tensor(batch)).numpy()[:1], rtol=1e-4, atol=1e-4)
