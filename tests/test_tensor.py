"""The Tensor class: creation, conversions, numbers, text, copies, pickles. Values against NumPy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from tests.small_data import image


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, fc.float32),
        (3, fc.int64),
        (True, fc.bool_),
        ([1.0, 2.0], fc.float32),
        ([[1, 2], [3, 4]], fc.int64),
        ([True, False], fc.bool_),
        ([], fc.float32),
        (np.float64(2.0), fc.float64),
        (np.zeros(3), fc.float64),
        (np.zeros(3, np.float32), fc.float32),
        (range(3), fc.int64),
        ((1, 2.5), fc.float32),
    ],
    ids=repr,
)
def test_data_decides_the_dtype(data: Any, dtype: Any) -> None:
    x = fc.tensor(data)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), np.asarray(data))


def test_tensor_copies_and_converts() -> None:
    source = fc.tensor([1.5, -2.5], requires_grad=True)
    twin = fc.tensor(source)
    assert (twin.tolist(), twin.requires_grad) == ([1.5, -2.5], False)
    assert twin.data_ptr() != source.data_ptr()
    assert fc.tensor(source, dtype=fc.int64).tolist() == [1, -2]
    assert fc.tensor([1.25, 3.1415926], dtype=fc.bfloat16).tolist() == [1.25, 3.140625]
    assert fc.tensor(fc.tensor([1.0]).bfloat16()).dtype == fc.bfloat16
    assert fc.tensor([1.0], requires_grad=True).requires_grad
    assert fc.tensor([fc.tensor(1.0), fc.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_tensor_rejects_what_is_no_array() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        fc.tensor([[1.0, 2.0], [3.0]])
    with pytest.raises(TypeError, match="supported"):
        fc.tensor("text")
    with pytest.raises(RuntimeError, match="floating-point"):
        fc.tensor([1, 2], requires_grad=True)
    with pytest.raises(ValueError, match="device cuda:99: "):
        fc.tensor([1.0], device="cuda:99")


def test_dtype_methods() -> None:
    x = fc.tensor([1.75, -2.5, 0.0])
    assert (x.double().dtype, x.double().tolist()) == (fc.float64, [1.75, -2.5, 0.0])
    assert (x.long().dtype, x.long().tolist()) == (fc.int64, [1, -2, 0])
    assert (x.bool().dtype, x.bool().tolist()) == (fc.bool_, [True, True, False])
    assert (x[:1].byte().dtype, x[:1].byte().tolist()) == (fc.uint8, [1])
    assert (x.bfloat16().dtype, x.bfloat16().tolist()) == (fc.bfloat16, [1.75, -2.5, 0.0])
    assert x.float() is x
    assert x.type_as(x.double()).dtype == fc.float64


def test_to_takes_dtypes_devices_and_tensors() -> None:
    x = fc.tensor([1.0])
    assert x.to("cpu") is x.to(fc.float32) is x.to(device="cpu", dtype=fc.float32) is x.cpu() is x
    assert x.to(fc.device("cpu"), fc.int64).dtype == fc.int64
    assert x.to(fc.tensor([1])).dtype == fc.int64
    assert x.to(fc.float32, copy=True).data_ptr() != x.data_ptr()
    with pytest.raises(TypeError, match="complex"):
        x.to(1j)
    with pytest.raises(ValueError, match="device cuda:99: "):
        x.to("cuda:99")
    with pytest.raises(ValueError, match="device is 'gpu'"):
        x.to("gpu")


def test_conversions_pass_gradients() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    (x.double().clone() * 3.0).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (fc.float32, [3.0, 3.0])
    y = fc.tensor([1.0, 2.0], requires_grad=True)
    y.clone().sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]
    assert not x.long().requires_grad


def test_numbers_out_of_tensors() -> None:
    assert (fc.tensor([[2.5]]).item(), fc.tensor(3).item(), fc.tensor(True).item()) == (2.5, 3, True)
    assert fc.tensor(1.5, requires_grad=True).item() == 1.5
    assert (float(fc.tensor(2)), int(fc.tensor(2.9)), bool(fc.tensor([0.0]))) == (2.0, 2, False)
    assert [10, 20, 30][fc.tensor(1)] == 20
    assert f"{fc.tensor(3.14159):.2f}" == "3.14"
    assert fc.tensor(3.0).bfloat16().item() == 3.0
    with pytest.raises(ValueError, match=r"\(2,\)"):
        fc.tensor([1.0, 2.0]).item()
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(fc.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="integer"):
        [1, 2][fc.tensor(1.0)]


def test_sizes() -> None:
    x = fc.tensor(image())
    assert (x.ndim, x.dim(), x.numel(), x.nelement(), x.element_size()) == (4, 4, 120, 120, 4)
    assert (x.size(), x.size(-1), x.stride(), x.stride(1)) == ((2, 3, 4, 5), 5, (60, 1, 15, 3), 1)
    assert x.is_floating_point()
    assert not x.long().is_floating_point()
    assert x.is_contiguous()
    assert x.contiguous() is x
    assert x.data.data_ptr() == x.detach().data_ptr() == x.data_ptr()


def test_text() -> None:
    assert repr(fc.tensor([[1.0, 2.0], [3.0, 4.5]])) == "tensor([[1. , 2. ],\n        [3. , 4.5]])"
    assert repr(fc.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(fc.tensor(True)) == "tensor(True)"
    assert repr(fc.tensor([1.0]).double()) == "tensor([1.], dtype=fastcnn.float64)"
    assert repr(fc.tensor([1.0]).bfloat16()) == "tensor([1.], dtype=fastcnn.bfloat16)"
    x = fc.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x.reshape(1, 1)) == "tensor([[1.]], grad_fn=<Reshape>)"
    assert repr(fc.zeros((0, 3))) == "tensor([])"
    assert len(repr(fc.zeros((1000, 1000)))) < 1000
    assert f"{fc.tensor([1, 2])}" == "tensor([1, 2])"


def test_identity_is_the_hash() -> None:
    a, b = fc.tensor([1.0]), fc.tensor([1.0])
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


def test_deep_copies_are_independent() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    (x * 2.0).sum().backward()
    y, again = copy.deepcopy([x, x])
    assert y is again
    assert (y.tolist(), y.requires_grad, y.grad.tolist()) == ([1.0, 2.0], True, [2.0, 2.0])
    y.detach()[0] = 9.0
    y.grad[0] = 9.0
    assert (x.tolist(), x.grad.tolist()) == ([1.0, 2.0], [2.0, 2.0])
    parameter = copy.deepcopy(nn.Parameter(fc.tensor([1.0])))
    assert isinstance(parameter, nn.Parameter)
    assert parameter.requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(x * 2.0)


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64, fc.bfloat16, fc.int64, fc.uint8, fc.bool_])
def test_pickles_through_numpy(dtype: Any) -> None:
    x = fc.tensor(image() > 1).to(dtype)
    twin = pickle.loads(pickle.dumps(x))
    assert (twin.dtype, twin.shape, twin.requires_grad, twin._data.layout) == (dtype, x.shape, False, "channels_last")
    assert twin.tolist() == x.tolist()


def test_pickled_leaves_keep_their_kind() -> None:
    parameter = pickle.loads(pickle.dumps(nn.Parameter(fc.tensor([1.0, 2.0]), requires_grad=False)))
    assert (type(parameter), parameter.requires_grad, parameter.tolist()) == (nn.Parameter, False, [1.0, 2.0])
    assert pickle.loads(pickle.dumps(fc.tensor([1.0], requires_grad=True))).requires_grad
    with pytest.raises(RuntimeError, match="leaf"):
        pickle.dumps(fc.tensor([1.0], requires_grad=True) * 2.0)
