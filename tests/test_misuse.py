"""What users get wrong: each misuse raises a typed error that names the thing, what was expected, what came, and a fix.

One line per misuse, through the public API and with what a user would plausibly have in hand. The tables in tests/cases
hold the misuses of single ops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import data, models, nn, optim
from fastcnn import functional as F


@dataclass(frozen=True)
class Misuse:
    """`run` gets an empty folder; `words` are what the message must contain."""

    id: str
    run: Callable[[Path], Any]
    exception: type[Exception]
    words: tuple[str, ...]


def floats(*shape: int, requires_grad: bool = False) -> fc.Tensor:
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return fc.tensor(values, requires_grad=requires_grad)


def integers(*values: int) -> fc.Tensor:
    return fc.tensor(np.array(values))


def lenet() -> nn.Module:
    return models.create_model("lenet5")


def saved(folder: Path) -> Path:
    path = folder / "model.safetensors"
    fc.save(nn.Linear(3, 2).state_dict(), path)
    return path


def corrupt(folder: Path) -> Any:
    path = saved(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return fc.load(path)


def truncated(folder: Path) -> Any:
    path = saved(folder)
    path.write_bytes(path.read_bytes()[:-5])
    return fc.load(path)


def backward_twice(folder: Path) -> None:
    loss = F.linear(floats(2, 3), floats(1, 3, requires_grad=True)).sum()
    loss.backward()
    loss.backward()


def step_with_foreign_gradient(folder: Path) -> None:
    layer = nn.Linear(3, 2)
    layer.weight.grad = floats(3, 2)


def load_wrong_shape(folder: Path) -> None:
    nn.Linear(3, 2).load_state_dict(nn.Linear(4, 2).state_dict())


def load_wrong_keys(folder: Path) -> None:
    nn.Linear(3, 2).load_state_dict({"weights": floats(2, 3), "bias": floats(2)})


def modified_before_backward(folder: Path) -> None:
    x, w = floats(2, 3), floats(4, 3, requires_grad=True)
    y = F.linear(x, w)
    x.fill_(0)
    y.sum().backward()


def forgotten_super(folder: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(3, 2)

    Net()


NO_GRAD_HINT = ("requires a gradient", "no_grad")

MISUSES = [
    # Images and layers
    Misuse("channels", lambda _: lenet()(floats(2, 3, 28, 28)), ValueError,
           ("conv2d", "input", "3 channels", "expects 1", "(2, 3, 28, 28)")),
    Misuse("nhwc", lambda _: F.conv2d(floats(2, 32, 32, 3), floats(8, 3, 5, 5)), ValueError,
           ("32 channels", "expects 3", "did you mean input.permute(0, 3, 1, 2)?")),
    Misuse("image-size", lambda _: lenet()(floats(2, 1, 32, 32)), ValueError,
           ("linear", "3200", "2450", "(2, 3200)")),
    Misuse("no-batch-axis", lambda _: lenet()(floats(28, 28)), ValueError, ("conv2d", "(28, 28)", "(N, C, H, W)")),
    Misuse("float64-input", lambda _: lenet()(fc.tensor(np.zeros((2, 1, 28, 28)))), TypeError,
           ("conv2d", "float64", "float32", ".float()")),
    Misuse("uint8-images", lambda _: lenet()(fc.tensor(np.zeros((2, 1, 28, 28), np.uint8))), TypeError,
           ("conv2d", "uint8", "float32", ".float() / 255")),
    Misuse("kernel-too-large", lambda _: F.conv2d(floats(1, 3, 5, 6), floats(4, 3, 7, 7)), ValueError,
           ("conv2d", "7", "5", "padding")),
    Misuse("groups", lambda _: F.conv2d(floats(1, 4, 9, 9), floats(6, 2, 3, 3), groups=3), ValueError,
           ("conv2d", "groups", "3")),
    Misuse("bad-groups-of-layer", lambda _: nn.Conv2d(4, 6, 3, groups=3), ValueError,
           ("Conv2d", "in_channels", "4", "groups", "3")),
    Misuse("stride-0", lambda _: F.conv2d(floats(1, 3, 9, 9), floats(4, 3, 3, 3), stride=0), ValueError,
           ("conv2d", "stride", "0")),
    Misuse("negative-padding", lambda _: F.conv2d(floats(1, 3, 9, 9), floats(4, 3, 3, 3), padding=-1), ValueError,
           ("conv2d", "padding", "-1")),
    Misuse("pool-padding", lambda _: F.max_pool2d(floats(1, 3, 9, 9), 2, padding=2), ValueError,
           ("max_pool2d", "padding", "2", "half")),
    Misuse("not-flattened", lambda _: nn.Linear(60, 2)(floats(2, 3, 4, 5)), ValueError,
           ("linear", "60", "(2, 3, 4, 5)", "did you mean input.flatten(1)?")),
    Misuse("one-value-per-channel", lambda _: nn.BatchNorm1d(3)(floats(1, 3)), ValueError,
           ("batch_norm", "(1, 3)", "more than 1 value per channel")),
    Misuse("batch-norm-channels", lambda _: nn.BatchNorm2d(4)(floats(2, 3, 5, 5)), ValueError,
           ("batch_norm", "3 channels", "4")),
    Misuse("matrix-shapes", lambda _: fc.matmul(floats(2, 3), floats(2, 3)), ValueError,
           ("matmul", "(2, 3)", "did you mean other.transpose")),
    # Losses
    Misuse("label-out-of-range", lambda _: F.cross_entropy(floats(3, 10), integers(0, 12, 9)), ValueError,
           ("cross_entropy", "target", "12", "10 classes")),
    Misuse("labels-from-1", lambda _: F.cross_entropy(floats(3, 10), integers(1, 10, 5)), ValueError,
           ("cross_entropy", "10", "0 to 9", "subtract 1")),
    Misuse("negative-label", lambda _: F.cross_entropy(floats(3, 10), integers(0, -1, 5)), ValueError,
           ("cross_entropy", "-1", "0 to 9")),
    Misuse("swapped-arguments", lambda _: F.cross_entropy(integers(0, 1, 2), floats(3, 10)), TypeError,
           ("cross_entropy", "input", "int64", "float32")),
    Misuse("wrong-batch", lambda _: F.cross_entropy(floats(3, 10), integers(0, 1)), ValueError,
           ("cross_entropy", "(2,)", "(3,)", "(3, 10)")),
    Misuse("mse-shapes", lambda _: F.mse_loss(floats(3, 1), floats(3)), ValueError, ("mse_loss", "(3, 1)", "(3,)")),
    Misuse("dropout-probability", lambda _: nn.Dropout(1.5), ValueError, ("Dropout", "1.5", "0", "1")),
    # Autograd
    Misuse("backward-twice", backward_twice, RuntimeError, ("backward", "retain_graph=True")),
    Misuse("backward-of-a-vector", lambda _: nn.Linear(3, 2)(floats(4, 3)).backward(), RuntimeError,
           ("backward", "(4, 2)", "sum()")),
    Misuse("backward-without-gradient", lambda _: floats(3).sum().backward(), RuntimeError, ("requires_grad=True",)),
    Misuse("numpy-of-a-parameter", lambda _: nn.Linear(3, 2).weight.numpy(), RuntimeError, ("detach()",)),
    Misuse("item-of-many", lambda _: floats(2, 3).item(), ValueError, ("item", "one element", "(2, 3)")),
    Misuse("in-place-on-a-parameter", lambda _: nn.Linear(3, 2).weight.fill_(0), RuntimeError, NO_GRAD_HINT),
    Misuse("modified-before-backward", modified_before_backward, RuntimeError, ("modified in place", "clone()")),
    Misuse("gradient-shape", step_with_foreign_gradient, ValueError, ("(3, 2)", "(2, 3)")),
    # Tensors
    Misuse("complex-array", lambda _: fc.tensor(np.zeros(3, np.complex64)), TypeError, ("complex64", "astype")),
    Misuse("object-array", lambda _: fc.from_numpy(np.array(["cat", "dog"])), TypeError, ("dtype", "astype")),
    Misuse("ragged-list", lambda _: fc.tensor([[1.0], [1.0, 2.0]]), ValueError, ("shape",)),
    Misuse("reshape", lambda _: floats(2, 3).reshape(4, 2), ValueError, ("reshape", "(2, 3)", "(4, 2)", "6", "8")),
    Misuse("broadcast", lambda _: floats(2, 3) + floats(2, 4), ValueError, ("add", "(2, 3)", "(2, 4)", "broadcast")),
    Misuse("cat-shapes", lambda _: fc.cat([floats(2, 3), floats(2, 4)], 0), ValueError, ("cat", "(2, 3)", "(2, 4)")),
    Misuse("no-cuda", lambda _: floats(2).to("cuda:99"), ValueError, ("cuda:99",)),
    Misuse("unknown-device", lambda _: fc.tensor([1.0], device="gpu"), ValueError, ("gpu", "'cpu'", "'cuda'")),
    Misuse("threads-0", lambda _: fc.set_num_threads(0), ValueError, ("0", "1")),
    Misuse("precision", lambda _: fc.set_precision("fast"), ValueError, ("fast", "highest", "high", "medium")),
    # Modules, optimizers, data
    Misuse("forgotten-super", forgotten_super, AttributeError, ("super().__init__()",)),
    Misuse("state-dict-shape", load_wrong_shape, ValueError, ("weight", "(2, 4)", "(2, 3)")),
    Misuse("state-dict-keys", load_wrong_keys,
           ValueError, ("Linear", "missing keys: weight", "unexpected keys: weights")),
    Misuse("optimizer-without-parameters", lambda _: optim.SGD([], lr=0.1), ValueError, ("SGD", "params", "empty")),
    Misuse("optimizer-of-a-model", lambda _: optim.SGD(nn.Linear(3, 2), lr=0.1), TypeError, ("SGD", ".parameters()")),
    Misuse("negative-lr", lambda _: optim.Adam(nn.Linear(3, 2).parameters(), lr=-1.0),
           ValueError, ("Adam", "lr", "-1")),
    Misuse("nesterov-without-momentum", lambda _: optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1, nesterov=True),
           ValueError, ("SGD", "nesterov", "momentum")),
    Misuse("unknown-model", lambda _: models.create_model("lenet"), ValueError, ("lenet", "did you mean", "lenet5")),
    Misuse("unknown-model-option", lambda _: models.create_model("lenet5", classes=3),
           TypeError, ("classes", "num_classes")),
    Misuse("unknown-data-set", lambda _: data.load_dataset("minst"), ValueError, ("minst", "did you mean", "mnist")),
    Misuse("missing-data", lambda folder: data.load_dataset("mnist", folder), FileNotFoundError,
           ("mnist", "not found", "download")),
    Misuse("batch-size-0", lambda _: data.DataLoader((np.zeros((4, 2)),), batch_size=0),
           ValueError, ("batch_size", "0", "1")),
    Misuse("unequal-arrays", lambda _: data.DataLoader((np.zeros((4, 2)), np.zeros(3))),
           ValueError, ("4", "3", "equal")),
    Misuse("grey-images-without-channel", lambda _: data.Dataset(np.zeros((9, 28, 28), np.uint8), np.zeros(9, int)),
           ValueError, ("(9, 28, 28)", "(N, C, H, W)", "images[:, None]")),
    # Files
    Misuse("missing-checkpoint", lambda folder: fc.load(folder / "model.safetensors"), FileNotFoundError,
           ("model.safetensors",)),
    Misuse("corrupt-checkpoint", corrupt, ValueError, ("model.safetensors", "damaged", "another copy")),
    Misuse("truncated-checkpoint", truncated, ValueError, ("model.safetensors", "truncated", "bytes")),
    Misuse("pickle", lambda folder: (folder / "m.pt").write_bytes(b"PK\3\4abcdefgh") and fc.load(folder / "m.pt"),
           ValueError,
           ("m.pt", "pickle", "safetensors")),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.id)
def test_misuse_raises_an_error_that_helps(misuse: Misuse, tmp_path: Path) -> None:
    with pytest.raises(misuse.exception) as caught:
        misuse.run(tmp_path)
    message = str(caught.value)
    assert [word for word in misuse.words if word not in message] == [], message


def test_there_are_enough_misuses() -> None:
    assert len({misuse.id for misuse in MISUSES}) == len(MISUSES) >= 25


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: a.T,
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f4"),
        lambda a: np.lib.stride_tricks.as_strided(a, a.shape, (0, a.strides[1])),
        lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),  # read-only
        lambda a: a[:0],
    ],
    ids=["negative-strides", "steps", "transposed", "fortran", "big-endian", "stride-0", "read-only", "empty"],
)
def test_unusual_arrays_give_what_a_plain_copy_gives(make: Callable[[np.ndarray], np.ndarray]) -> None:
    unusual = make(np.arange(24, dtype=np.float32).reshape(4, 6))
    before = unusual.tobytes()
    plain = np.ascontiguousarray(unusual, dtype=np.float32)
    weight = floats(5, plain.shape[1])
    result = F.linear(fc.tensor(unusual), weight)
    assert np.array_equal(result.numpy(), F.linear(fc.tensor(plain), weight).numpy())
    assert unusual.tobytes() == before


def test_nan_input_stays_nan() -> None:
    images = np.zeros((1, 1, 28, 28), np.float32)
    images[0, 0, 3, 4] = np.nan
    with fc.no_grad():
        assert np.isnan(lenet()(fc.tensor(images)).numpy()).all()


def test_an_empty_batch_goes_through_a_network() -> None:
    output = lenet()(floats(0, 1, 28, 28))
    assert output.shape == (0, 10)
    output.sum().backward()
