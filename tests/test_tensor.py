"""The Tensor class: creation, operators, conversions, text, copies. Values against NumPy."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn


def image(dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 2.0, (2, 3, 4, 5)).astype(dtype)


# Creation


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


# Operators

BINARY: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.floordiv,
    operator.mod,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_binary_operators_agree_with_numpy(op: Callable[[Any, Any], Any]) -> None:
    a, b = image("float64"), np.array([[[1.5]], [[0.75]], [[2.0]]])
    x, y = fc.tensor(a), fc.tensor(b)
    for got, want in [(op(x, y), op(a, b)), (op(y, x), op(b, a)), (op(x, 1.5), op(a, 1.5)), (op(1.5, x), op(1.5, a))]:
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-14)
        assert (got.dtype == fc.bool_) == (want.dtype == bool)


@pytest.mark.parametrize("op", BINARY[:5], ids=lambda op: op.__name__)
def test_operators_are_recorded(op: Callable[[Any, Any], Any]) -> None:
    assert fc.gradcheck(
        op, (fc.tensor(image("float64")[:1], requires_grad=True), fc.tensor([1.5, 0.5, 2, 1, 3.0]).double())
    )
    assert fc.gradcheck(lambda x: op(2.0, x), (fc.tensor(image("float64")[:1], requires_grad=True),))


@pytest.mark.parametrize(
    "op", [operator.iadd, operator.isub, operator.imul, operator.itruediv], ids=lambda op: op.__name__
)
def test_in_place_operators(op: Callable[[Any, Any], Any]) -> None:
    array, other = image(), np.float32(1.5)
    x = fc.tensor(array)
    address, version = x.data_ptr(), x._data.version
    y = op(x, 1.5)
    assert y is x
    assert x.data_ptr() == address
    assert x._data.version > version
    np.testing.assert_allclose(x.numpy(), op(array.copy(), other), rtol=1e-6)

    leaf = fc.tensor(image(), requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        op(leaf, 2.0)
    with fc.no_grad():
        op(leaf, 2.0)

    leaf = fc.tensor([1.0, 2.0], requires_grad=True)
    total = leaf * 3.0
    total = op(total, leaf)
    reference = fc.tensor([1.0, 2.0], requires_grad=True)
    plain = {"iadd": operator.add, "isub": operator.sub, "imul": operator.mul, "itruediv": operator.truediv}[
        op.__name__
    ]
    plain(reference * 3.0, reference).sum().backward()
    total.sum().backward()
    assert leaf.grad.tolist() == reference.grad.tolist()


def test_losses_can_be_summed_in_place() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    total = fc.tensor(0.0)
    for _ in range(3):
        total += (x * x).sum()
    total.backward()
    assert x.grad.tolist() == [6.0, 12.0]
    y = x * 1.0
    with pytest.raises(ValueError, match="in place"):
        y += fc.tensor([[1.0], [2.0]], requires_grad=True)


def test_named_in_place_methods() -> None:
    x = fc.tensor([1.0, -2.0, 3.0])
    assert x.add_(1.0, alpha=2).tolist() == [3.0, 0.0, 5.0]
    assert x.sub_(1.0).tolist() == [2.0, -1.0, 4.0]
    assert x.mul_(2.0).tolist() == [4.0, -2.0, 8.0]
    assert x.div_(2.0).tolist() == [2.0, -1.0, 4.0]
    assert x.clamp_(0.0, 3.0).tolist() == [2.0, 0.0, 3.0]
    assert x.copy_(fc.tensor([7])).tolist() == [7.0, 7.0, 7.0]
    assert x.fill_(2.5).tolist() == [2.5, 2.5, 2.5]
    assert x.zero_().tolist() == [0.0, 0.0, 0.0]


def test_matmul_operator() -> None:
    a, b = image("float64")[0, 0], image("float64")[1, 1].T
    np.testing.assert_allclose((fc.tensor(a) @ fc.tensor(b)).numpy(), a @ b)
    np.testing.assert_allclose(fc.tensor(a).mm(fc.tensor(b)).numpy(), a @ b)
    np.testing.assert_allclose(
        fc.tensor(image("float64")[0]).bmm(fc.tensor(image("float64")[1].transpose(0, 2, 1))).numpy(),
        image("float64")[0] @ image("float64")[1].transpose(0, 2, 1),
    )
    assert fc.tensor([1.0, 2.0]).dot(fc.tensor([3.0, 4.0])).item() == 11.0
    assert fc.tensor([1.0, 2.0]).matmul(fc.tensor([3.0, 4.0])).item() == 11.0


def test_unary_and_logical_operators() -> None:
    x = fc.tensor([1.0, -2.0])
    assert (-x).tolist() == [-1.0, 2.0]
    assert (+x) is x
    assert abs(x).tolist() == [1.0, 2.0]
    a, b = fc.tensor([True, True, False]), fc.tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (a ^ b).tolist() == [False, True, False]
    assert (~a).tolist() == [False, False, True]


ELEMENTWISE = (
    "neg abs exp log sqrt rsqrt reciprocal square sign floor ceil round sin cos log1p expm1 tanh isnan isinf isfinite"
)


@pytest.mark.parametrize("name", ELEMENTWISE.split())
def test_elementwise_methods(name: str) -> None:
    numpy = {
        "neg": np.negative,
        "rsqrt": lambda a: 1 / np.sqrt(a),
        "reciprocal": lambda a: 1 / a,
    }.get(name) or getattr(np, name)
    np.testing.assert_allclose(
        getattr(fc.tensor(image("float64")), name)().numpy(), numpy(image("float64")), rtol=1e-13
    )


def test_other_elementwise_methods() -> None:
    x = fc.tensor([-1.0, 0.5, 2.0])
    assert x.relu().tolist() == [0.0, 0.5, 2.0]
    assert x.clamp(0.0, 1.0).tolist() == x.clip(0.0, 1.0).tolist() == [0.0, 0.5, 1.0]
    assert x.sigmoid()[1].item() == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert x.erf()[0].item() == pytest.approx(-0.8427007929)
    assert x.logical_not().tolist() == [False, False, False]
    assert x.where(x > 0, 9.0).tolist() == [9.0, 0.5, 2.0]
    assert x.masked_fill(x > 0, 9.0).tolist() == [-1.0, 9.0, 9.0]
    other = fc.tensor([0.0, 1.0, 2.0])
    for name in [
        "add",
        "sub",
        "mul",
        "div",
        "pow",
        "maximum",
        "minimum",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "logical_and",
        "logical_or",
        "logical_xor",
    ]:
        numpy = getattr(
            np,
            {
                "sub": "subtract",
                "mul": "multiply",
                "div": "divide",
                "pow": "power",
                "eq": "equal",
                "ne": "not_equal",
                "lt": "less",
                "le": "less_equal",
                "gt": "greater",
                "ge": "greater_equal",
            }.get(name, name),
        )
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(getattr(x, name)(other).numpy(), numpy(x.numpy(), other.numpy()), rtol=1e-6)


REDUCTIONS = ["sum", "mean", "amax", "amin", "prod", "argmax", "argmin"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_methods(name: str) -> None:
    a = image("float64")
    x = fc.tensor(a)
    np.testing.assert_allclose(
        getattr(x, name)().numpy(), getattr(a, name.replace("amax", "max").replace("amin", "min"))()
    )
    got = getattr(x, name)(1, keepdim=True)
    np.testing.assert_allclose(got.numpy(), getattr(np, name)(a, 1, keepdims=True))


def test_other_reduction_methods() -> None:
    a = image("float64")
    x = fc.tensor(a)
    np.testing.assert_allclose(x.var(1).numpy(), a.var(1, ddof=1))
    np.testing.assert_allclose(x.std(1, correction=0).numpy(), a.std(1))
    np.testing.assert_allclose(x.norm().numpy(), np.sqrt((a * a).sum()))
    np.testing.assert_allclose(x.logsumexp(2).numpy(), np.log(np.exp(a).sum(2)))
    values, indices = x.max(3)
    np.testing.assert_array_equal(values.numpy(), a.max(3))
    np.testing.assert_array_equal(indices.numpy(), a.argmax(3))
    assert x.min().item() == a.min()
    assert (x > 0).all().item()
    assert not (x < 0).any().item()
    assert 7 in fc.tensor([1, 7])
    assert 8 not in fc.tensor([1, 7])


def test_shape_methods() -> None:
    a = image()
    x = fc.tensor(a)
    pairs = [
        (x.reshape(2, -1), a.reshape(2, -1)),
        (x.reshape((6, 20)), a.reshape(6, 20)),
        (x.view(-1), a.reshape(-1)),
        (x.view_as(x.flatten()), a.reshape(-1)),
        (x.reshape_as(x.flatten()), a.reshape(-1)),
        (x.flatten(1), a.reshape(2, 60)),
        (x.flatten(1, 2).unflatten(1, (3, -1)), a),
        (x.permute(0, 2, 3, 1), a.transpose(0, 2, 3, 1)),
        (x.permute((3, 2, 1, 0)), a.T),
        (x.transpose(1, -1), a.swapaxes(1, 3)),
        (x[0, 0].T, a[0, 0].T),
        (x[0, 0].t(), a[0, 0].T),
        (x[0, 0, 0].t(), a[0, 0, 0]),
        (x.movedim(1, -1), np.moveaxis(a, 1, -1)),
        (x.movedim((0, 1), (2, 0)), np.moveaxis(a, (0, 1), (2, 0))),
        (x.unsqueeze(1), a[:, None]),
        (x.unsqueeze(-1).squeeze(-1), a),
        (x[:1].squeeze(), a[0]),
        (x.squeeze(1), a),
        (x[:, :1].squeeze((1, 2)), a[:, 0]),
        (x[:1].expand(4, -1, 4, 5), np.broadcast_to(a[:1], (4, 3, 4, 5))),
        (x[:1].expand_as(x), np.broadcast_to(a[:1], a.shape)),
        (x[0, 0].broadcast_to((2, 4, 5)), np.broadcast_to(a[0, 0], (2, 4, 5))),
        (x.repeat(1, 2, 1, 3), np.tile(a, (1, 2, 1, 3))),
        (x.tile(2), np.tile(a, (1, 1, 1, 2))),
        (x.narrow(2, 1, 2), a[:, :, 1:3]),
        (x.narrow(-1, -2, 2), a[..., -2:]),
        (x.select(1, -1), a[:, -1]),
        (x.split(2, 1)[1], a[:, 2:]),
        (x.split([1, 2], 1)[1], a[:, 1:]),
        (x.chunk(2, 3)[1], a[..., 3:]),
        (x.unbind(1)[2], a[:, 2]),
        (x.flip(1, 3), a[:, ::-1, :, ::-1]),
        (x.index_select(2, fc.tensor([3, 0])), a[:, :, [3, 0]]),
        (x.gather(3, fc.tensor(np.zeros((2, 3, 4, 1), np.int64))), a[..., :1]),
    ]
    for i, (got, want) in enumerate(pairs):
        assert got.shape == want.shape, i
        np.testing.assert_array_equal(got.numpy(), want, err_msg=str(i))
    assert [len(part) for part in fc.zeros((7, 2)).chunk(4)] == [2, 2, 2, 1]
    assert [len(part) for part in fc.zeros((0, 2)).chunk(3)] == [0, 0, 0]
    assert fc.concat is fc.cat
    assert fc.broadcast_to(fc.tensor([1.0]), (3,)).tolist() == [1.0, 1.0, 1.0]
    assert fc.tensor(3.0).flatten().shape == (1,)
    assert x.flatten(1, 1) is x
    assert x.transpose(1, 1) is x


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x.transpose(0, 4), "transpose: dim is 4"),
        (lambda x: x.t(), "at most 2"),
        (lambda x: x.unflatten(1, (2, 2)), r"\(2, 2\).*3"),
        (lambda x: x.unflatten(1, (0, -1)), r"\(0, -1\)"),
        (lambda x: x.movedim((0, 0), (1, 2)), "distinct"),
        (lambda x: x.unsqueeze(6), "unsqueeze: dim is 6"),
        (lambda x: x.squeeze(4), "squeeze: dim is 4"),
        (lambda x: x.narrow(0, 0, -1), "length is -1"),
        (lambda x: x.chunk(0), "chunks is 0"),
        (lambda x: x.sum().unbind(), "scalar"),
        (lambda x: fc.stack([]), "at least one"),
        (lambda x: x.sum().index_select(0, fc.tensor([0])), "scalar"),
        (lambda x: fc.functional.one_hot(fc.tensor(np.zeros(0, np.int64))), "cannot be inferred"),
        (lambda x: fc.functional.one_hot(fc.tensor([0]), 0), "num_classes is 0"),
    ],
)
def test_bad_shape_arguments_raise(call: Callable[[fc.Tensor], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(fc.tensor(image()))


def test_positions_outside_raise_index_error() -> None:
    x = fc.tensor(image())
    for call in (lambda: x.select(1, 3), lambda: x.narrow(1, 2, 2), lambda: x.narrow(1, -4, 1)):
        with pytest.raises(IndexError, match="dimension 1 with size 3"):
            call()


def test_merged_memory_orders_are_views() -> None:
    x = fc.tensor(image())
    for view in (
        x.reshape(2, 3, 20),
        x[:, :1].reshape(2, 20),
        x[:, :, :1, :1].flatten(1),
        x.unsqueeze(-1),
        x.flatten(2),
    ):
        base = x if view.numel() == x.numel() else None
        assert base is None or view._data.storage_ptr() == x._data.storage_ptr()
    for shape, flat in [
        ((4, 1, 5, 6), (4, 30)),
        ((4, 7, 1, 1), (4, 7)),
        ((4, 30), (4, 1, 5, 6)),
        ((4, 30), (2, 2, 30, 1)),
    ]:
        y = fc.zeros(shape)
        assert (y.reshape(flat).data_ptr() == y.data_ptr()) == (flat != (2, 2, 30, 1)), (shape, flat)
    assert x.flatten(1).data_ptr() != x.data_ptr()


# Conversions


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


def test_flatten_layers(torch: Any) -> None:
    x = image()
    np.testing.assert_array_equal(nn.Flatten()(fc.tensor(x)).numpy(), torch.nn.Flatten()(torch.tensor(x)).numpy())
    np.testing.assert_array_equal(nn.Flatten(2)(fc.tensor(x)).numpy(), x.reshape(2, 3, 20))
    np.testing.assert_array_equal(nn.Unflatten(1, (3, -1))(fc.tensor(x.reshape(2, 60))).numpy(), x.reshape(2, 3, 20))
    assert repr(nn.Flatten()) == repr(torch.nn.Flatten())
    assert repr(nn.Unflatten(1, (3, -1))) == repr(torch.nn.Unflatten(1, (3, -1)))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_copies_do_not_depend_on_the_isa_or_threads(threads: int, isa: str) -> None:
    from fastcnn import _C

    _C.set_num_threads(threads)
    for dtype in ("uint8", "float32", "float64"):
        a = (np.arange(3 * 37 * 51 * 50) % 251).reshape(3, 37, 51, 50).astype(dtype)
        x = fc.tensor(a)
        np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), a.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(x.flatten(1).numpy(), a.reshape(3, -1))
        np.testing.assert_array_equal(x[:, 3:20, ::-2].numpy(), a[:, 3:20, ::-2])
        np.testing.assert_array_equal(fc.cat([x, x[:, :5]], 1).numpy(), np.concatenate([a, a[:, :5]], 1))
    b = fc.tensor(np.arange(64 * 96.0).reshape(64, 96)).bfloat16()
    np.testing.assert_array_equal(b.t().float().numpy(), b.float().numpy().T)


def test_flatten_of_channels_last_uses_the_copied_order_in_its_gradient() -> None:
    x = fc.tensor(image(), requires_grad=True)
    weight = fc.tensor(np.arange(60, dtype=np.float32))
    (x.flatten(1) * weight).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(np.arange(60).reshape(3, 4, 5), (2, 3, 4, 5)))
    assert x.grad._data.layout == "channels_last"


def test_out_of_memory_leaves_everything_usable() -> None:
    from fastcnn import _C

    x = fc.tensor(image())
    for nth in (1, 2):
        _C.fail_nth_allocation(nth)
        try:
            x.flatten(1).reshape(6, 20).permute(1, 0)
        except MemoryError:
            continue
        finally:
            _C.fail_nth_allocation(0)
        pytest.fail(f"allocation {nth} did not fail")
    np.testing.assert_array_equal(x.flatten(1).numpy(), image().reshape(2, 60))
