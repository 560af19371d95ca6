"""bfloat16: ops computed in float32 and rounded, batch norms and losses in float32, masters, training and resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import models, nn, optim
from fastcnn.train import Trainer
from tests.small_data import small_net, stripes

bf16 = fc.bfloat16


def narrow(*shape: int) -> fc.Tensor:
    return fc.randn(*shape).bfloat16().requires_grad_(True)


LABELS = [2, 0, 1]
OPS: dict[str, tuple[Callable[..., fc.Tensor], list[tuple[int, ...]]]] = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 3, 6, 5), (4, 3, 3, 3), (4,)]),
    "conv2d-relu": (lambda x, w: F.conv2d(x, w, activation="relu"), [(2, 3, 6, 5), (4, 3, 3, 3)]),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=4), [(2, 4, 6, 5), (4, 1, 3, 3)]),
    "linear": (F.linear, [(5, 7), (3, 7), (3,)]),
    "matmul": (fc.matmul, [(5, 7), (7, 3)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 3, 6, 5)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 3, 6, 5)]),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (2, 1)), [(2, 3, 6, 5)]),
    "gelu": (F.gelu, [(4, 5)]),
    "softmax": (lambda x: F.softmax(x, 1), [(4, 5)]),
    "sum": (lambda x: x.sum(1), [(4, 5)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, fc.tensor(LABELS)), [(3, 4)]),
}


@pytest.mark.parametrize("name", OPS)
def test_an_op_on_bfloat16_is_the_float32_op_rounded(name: str) -> None:
    function, shapes = OPS[name]
    inputs = [narrow(*shape) for shape in shapes]
    wide = [x.detach().float().requires_grad_(True) for x in inputs]
    output, expected = function(*inputs), function(*wide)
    assert output.dtype == bf16
    assert expected.detach().bfloat16().tolist() == output.detach().tolist()
    cotangent = fc.randn(*output.shape).bfloat16()
    output.backward(cotangent)
    expected.backward(cotangent.float())
    for x, y in zip(inputs, wide, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        assert x.grad.dtype == bf16
        # The float32 op keeps its outputs unrounded for backward; elsewhere the bits agree.
        if name == "softmax":
            np.testing.assert_allclose(x.grad.float().numpy(), y.grad.numpy(), atol=2.0**-7)
        else:
            assert x.grad.tolist() == y.grad.bfloat16().tolist()


def test_batch_norm_takes_float32_parameters_beside_bfloat16_maps() -> None:
    layer = nn.BatchNorm2d(4)
    maps, residual = narrow(3, 4, 5, 6), narrow(3, 4, 5, 6)
    output = layer(maps, activation="relu", residual=residual)
    output.backward(fc.randn(3, 4, 5, 6).bfloat16())
    assert (output.dtype, maps.grad.dtype, residual.grad.dtype) == (bf16, bf16, bf16)
    assert (layer.weight.grad.dtype, layer.running_mean.dtype) == (fc.float32, fc.float32)
    wide = nn.BatchNorm2d(4)
    wide(maps.detach().float(), activation="relu", residual=residual.detach().float())
    np.testing.assert_array_equal(layer.running_var.numpy(), wide.running_var.numpy())


def test_mixed_dtypes_stay_an_error() -> None:
    with pytest.raises(TypeError, match=r"bfloat16.*float32"):
        F.conv2d(narrow(1, 2, 4, 4), fc.zeros(3, 2, 3, 3))
    with pytest.raises(TypeError, match="uint8"):
        F.conv2d(fc.zeros(1, 2, 4, 4, dtype=fc.uint8), fc.zeros(3, 2, 3, 3))


def test_what_is_kept_for_backward_is_bfloat16() -> None:
    x = narrow(2, 3, 6, 5)
    convolution = nn.Conv2d(3, 4, 3).bfloat16()
    output = nn.BatchNorm2d(4)(F.conv2d(x, convolution.weight), activation="relu", residual=narrow(2, 4, 4, 3))
    (of_convolution, _), *_ = output._node.edges
    assert {t.dtype for t in of_convolution._saved if t is not None and t.ndim == 4} == {bf16}
    assert {t.dtype for t in output._node._saved if t is not None and t.ndim == 4} == {bf16}


def test_gradients_of_several_uses_are_added_in_bfloat16() -> None:
    x = fc.tensor([1.0, 2.0]).bfloat16().requires_grad_(True)
    y = x * 1.0
    (y + y * 2 + y * 4).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]


def test_a_modified_tensor_is_noticed_in_bfloat16() -> None:
    x, weight = narrow(2, 3), narrow(4, 3)
    output = F.linear(x, weight).sum()
    with fc.no_grad():
        weight.fill_(0.0)
    with pytest.raises(RuntimeError, match="modified in place"):
        output.backward()


def test_positions_of_extremes_are_found_in_bfloat16() -> None:
    x = fc.tensor([[1.0, 5.0, 5.0], [7.0, -2.0, 3.0]]).bfloat16()
    assert (x.argmax(1).tolist(), x.argmin(1).tolist(), fc.argmax(x).item()) == ([1, 0], [0, 1], 3)


def test_module_to_bfloat16_leaves_batch_norms_in_float32() -> None:
    model = small_net().bfloat16()
    kinds = {key: value.dtype for key, value in model.state_dict().items()}
    assert kinds["0.weight"] == kinds["6.bias"] == bf16
    assert all(kinds[f"1.{key}"] == fc.float32 for key in ("weight", "bias", "running_mean", "running_var"))
    assert {value.dtype for value in model.double().state_dict().values()} == {fc.float64, fc.int64}
    assert model.to(bf16)[1].weight.dtype == fc.float32


def small_resnet() -> nn.Module:
    return nn.Sequential(
        nn.ConvBNAct(1, 8), models.resnet.BasicBlock(8, 8), models.resnet.BasicBlock(8, 16, 2), nn.Flatten(),
        nn.Linear(256, 3),
    )  # fmt: skip


def lenet() -> nn.Module:
    return models.create_model("lenet5", num_classes=3, image_size=8)


def train(
    make: Callable[[], nn.Module], precision: str, capture: bool = True, epochs: int = 4
) -> tuple[Any, list[float]]:
    fc.manual_seed(0)
    model = make()
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    trainer = Trainer(model, optimizer, precision=precision, capture=capture)
    history = trainer.fit(stripes(96), stripes(30, seed=1), epochs=epochs, batch_size=16, progress=False)
    return trainer, [record["train_loss"] for record in history] + [history[-1]["val_loss"]]


@pytest.mark.parametrize("make", [lenet, small_resnet])
def test_losses_of_training_in_bfloat16_follow_those_in_float32(make: Callable[[], nn.Module]) -> None:
    _, wide = train(make, "float32")
    trainer, losses = train(make, "bf16")
    assert wide[3] < 0.7 * wide[0]
    # Means of losses over an epoch, with roundings of 2^-9 in every value: within 5 % of the first loss.
    np.testing.assert_allclose(losses, wide, atol=0.05 * wide[0])
    assert losses != wide
    assert trainer.predict(stripes(5)).dtype == np.float32
    assert trainer.summary["configuration"]["precision"] == "bf16"


def test_captured_training_in_bfloat16_equals_eager_training() -> None:
    runs = []
    for capture in (False, True):
        trainer, losses = train(small_resnet, "bf16", capture, epochs=2)
        assert (trainer._captured is not None) == capture
        runs.append([losses, [value.float().numpy().tobytes() for value in trainer.model.state_dict().values()]])
    assert runs[0] == runs[1]


def test_small_updates_add_up_in_the_masters() -> None:
    weight = nn.Parameter(fc.ones(4).bfloat16())
    optimizer = optim.SGD([weight], lr=2.0**-11)  # an eighth of the distance between bfloat16 numbers below 1
    for _ in range(16):
        weight.grad = fc.ones(4).bfloat16()
        optimizer.step()
    assert weight.tolist() == [1 - 2.0**-7] * 4


def test_gradients_in_bfloat16_are_clipped() -> None:
    model = nn.Linear(8, 4).bfloat16()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    (model(fc.randn(3, 8).bfloat16()) * 10).sum().backward()
    norm = np.sqrt(sum((p.grad.float().numpy().astype(np.float64) ** 2).sum() for p in model.parameters()))
    assert nn.utils.clip_grad_norm_(model.parameters(), 1.0).item() == pytest.approx(norm, rel=1e-3)
    clipped = np.sqrt(sum((p.grad.float().numpy().astype(np.float64) ** 2).sum() for p in model.parameters()))
    assert clipped == pytest.approx(1.0, rel=0.01)
    optimizer.step()


def test_a_run_in_bfloat16_resumes_bit_for_bit(tmp_path: Path) -> None:
    def make(seed: int) -> Trainer:
        fc.manual_seed(seed)
        model = small_net()
        return Trainer(model, optim.SGD(model.parameters(), lr=0.003, momentum=0.9), precision="bf16")

    def state(trainer: Trainer) -> list[Any]:
        tensors = [*trainer.model.state_dict().values()]
        tensors += [t for s in trainer.optimizer.state_dict()["state"].values() for t in s.values()]
        return [t.float().numpy().tobytes() for t in tensors]

    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 16, "progress": False}
    whole = make(0)
    expected = whole.fit(stripes(96), **arguments)
    part = make(0)
    part.fit(stripes(96), out=tmp_path, **arguments | {"epochs": 2})
    masters = [s["master"] for s in part.optimizer.state_dict()["state"].values() if "master" in s]
    assert any((m.bfloat16().float().numpy() != m.numpy()).any() for m in masters)
    resumed = make(7)
    history = resumed.fit(stripes(96), resume=tmp_path / "checkpoint.safetensors", **arguments)
    assert [record["train_loss"] for record in history] == [record["train_loss"] for record in expected]
    assert state(resumed) == state(whole)
    fc.manual_seed(0)
    model = small_net()
    with pytest.raises(ValueError, match=r"precision is float32, but the run in .* had bf16"):
        Trainer(model, optim.SGD(model.parameters())).fit(
            stripes(96), resume=tmp_path / "checkpoint.safetensors", **arguments
        )


def test_unknown_precision_is_an_error() -> None:
    with pytest.raises(ValueError, match="precision is 'fp16', but 'float32' or 'bf16' is expected"):
        Trainer(small_net(), None, precision="fp16")
