"""The tape: order, accumulation, freeing, hooks, and what happens on misuse."""

import threading

import numpy as np
import pytest

import fastcnn as fc
from fastcnn.autograd import Function, backward, check_inplace, grad


def raw(array):
    return fc.from_numpy(np.asarray(array, dtype=np.float64))._data


class _Mul(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return raw(a.numpy() * b.numpy())

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return (
            raw(g.numpy() * b.numpy()) if ctx.needs_input_grad[0] else None,
            raw(g.numpy() * a.numpy()) if ctx.needs_input_grad[1] else None,
        )


class _Add(Function):
    """Returns its incoming gradient twice: the engine must not let the two leaves share it."""

    @staticmethod
    def forward(ctx, a, b):
        return raw(a.numpy() + b.numpy())

    @staticmethod
    def backward(ctx, g):
        return g, g


class _Split(Function):
    @staticmethod
    def forward(ctx, a):
        half = a.shape[0] // 2
        ctx.shape = a.shape
        return raw(a.numpy()[:half]), raw(a.numpy()[half:])

    @staticmethod
    def backward(ctx, first, second):
        result = np.zeros(ctx.shape)
        half = ctx.shape[0] // 2
        if first is not None:
            result[:half] = first.numpy()
        if second is not None:
            result[half:] = second.numpy()
        return raw(result)


def leaf(values):
    return fc.tensor(np.asarray(values, dtype=np.float64), requires_grad=True)


def ones(n):
    return fc.tensor(np.ones(n))


def test_diamond_sums_both_paths():
    x = leaf([2.0, 3.0])
    a = _Mul.apply(x, x)
    b = _Add.apply(a, x)
    c = _Mul.apply(a, b)  # x^2 (x^2 + x) = x^4 + x^3
    c.backward(ones(2))
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.array([8.0, 27.0]) + 3 * np.array([4.0, 9.0]))


def test_gradients_add_up_over_backward_calls():
    x = leaf([2.0])
    for _ in range(3):
        _Mul.apply(x, x).backward()
    assert x.grad.item() == 12.0


def test_leaves_never_share_a_gradient():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    cotangent = ones(2)
    _Add.apply(x, y).backward(cotangent)
    pointers = {t.data_ptr() for t in (x.grad._data, y.grad._data, cotangent._data)}
    assert len(pointers) == 3
    x.grad.numpy()[...] = 100.0
    np.testing.assert_array_equal(y.grad.numpy(), [1.0, 1.0])


def test_same_leaf_twice_in_one_call():
    x = leaf([1.0, 2.0])
    cotangent = ones(2)
    _Add.apply(x, x).backward(cotangent)
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])
    np.testing.assert_array_equal(cotangent.numpy(), [1.0, 1.0])


def test_backward_does_not_change_the_cotangent_of_a_leaf():
    x = leaf([1.0])
    cotangent = ones(1)
    backward([x, x], [cotangent, cotangent])
    assert x.grad.item() == 2.0
    assert cotangent.item() == 1.0


def test_unused_outputs_arrive_as_none():
    x = leaf([1.0, 2.0, 3.0, 4.0])
    first, _ = _Split.apply(x)
    first.backward(ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 0, 0])
    y = leaf([1.0, 2.0, 3.0, 4.0])
    _, second = _Split.apply(y)
    second.backward(ones(2))
    np.testing.assert_array_equal(y.grad.numpy(), [0, 0, 1, 1])


def test_second_backward_raises_unless_the_graph_is_kept():
    x = leaf([2.0])
    y = _Mul.apply(x, x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match=r"Mul has been differentiated already.*retain_graph=True"):
        y.backward()


def test_backward_needs_a_cotangent_for_more_than_one_number():
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*\.sum\(\)"):
        _Mul.apply(leaf([1.0, 2.0]), leaf([1.0, 2.0])).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\)"):
        _Mul.apply(leaf([1.0, 2.0]), leaf([1.0, 2.0])).backward(ones(3))
    with pytest.raises(TypeError, match="float32"):
        _Mul.apply(leaf([1.0, 2.0]), leaf([1.0, 2.0])).backward(fc.tensor(np.ones(2, np.float32)))


def test_backward_without_a_graph_raises():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        ones(1).backward()
    x = leaf([1.0])
    with fc.no_grad():
        y = _Mul.apply(x, x)
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_no_grad_nests_decorates_and_is_per_thread():
    @fc.no_grad()
    def enabled(depth):
        assert not fc.is_grad_enabled()
        if depth:
            enabled(depth - 1)
        with fc.enable_grad():
            assert fc.is_grad_enabled()
        return fc.is_grad_enabled()

    assert enabled(3) is False
    assert fc.is_grad_enabled()
    seen = []
    with fc.no_grad():
        thread = threading.Thread(target=lambda: seen.append(fc.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_saved_tensor_changed_in_place_is_detected():
    x = leaf([2.0])
    y = _Mul.apply(x, x)
    with fc.no_grad():
        x.fill_(5.0)
    with pytest.raises(RuntimeError, match=r"Mul: .*modified in place.*clone\(\)"):
        y.backward()
    assert x.grad is None


def test_in_place_change_of_a_recorded_tensor_is_refused():
    x = leaf([2.0])
    with pytest.raises(RuntimeError, match=r"fill_: .*no_grad"):
        x.fill_(1.0)
    assert x.detach().item() == 2.0
    with fc.no_grad():
        check_inplace(x, "anything")


def test_hooks_see_and_replace_gradients():
    x = leaf([3.0])
    y = _Mul.apply(x, x)
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.item()))
    x.register_hook(lambda g: fc.tensor(g.numpy() * 10))
    z = _Mul.apply(y, leaf([2.0]))
    z.backward(retain_graph=True)
    assert seen == [2.0]
    assert x.grad.item() == 120.0
    handle.remove()
    z.backward()
    assert seen == [2.0]
    with pytest.raises(RuntimeError, match="does not require"):
        ones(1).register_hook(print)
    w = leaf([1.0])
    w.register_hook(lambda g: ones(2))
    product = _Mul.apply(w, w)
    with pytest.raises(ValueError, match="gradient hook"):
        product.backward()


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf([3.0])
    y = _Mul.apply(x, x)
    y.retain_grad()
    _Mul.apply(y, y).backward()
    assert y.grad.item() == 18.0


def test_grad_touches_no_other_leaf():
    x, w = fc.tensor([2.0], requires_grad=True), fc.tensor([3.0], requires_grad=True)
    assert grad((x * w).sum(), x)[0].tolist() == [3.0]
    assert x.grad is None
    assert w.grad is None


def test_grad_returns_gradients_without_touching_the_leaves():
    x, y = leaf([2.0]), leaf([5.0])
    _Mul.apply(x, x).backward()
    dx, dy = grad(_Mul.apply(x, y), [x, y])
    assert (dx.item(), dy.item(), x.grad.item(), y.grad) == (5.0, 2.0, 4.0, None)
    with pytest.raises(RuntimeError, match="allow_unused"):
        grad(_Mul.apply(x, x), [x, y])
    assert grad(_Mul.apply(x, x), [x, y], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="leaf"):
        grad(_Mul.apply(x, x), [_Mul.apply(x, x)])


def test_gradient_slot_receives_the_gradient():
    x = leaf([2.0, 3.0])
    x._grad_slot = raw([0.0, 0.0])
    _Mul.apply(x, x).backward(ones(2))
    assert x.grad._data.data_ptr() == x._grad_slot.data_ptr()
    np.testing.assert_array_equal(x._grad_slot.numpy(), [4.0, 6.0])
    _Mul.apply(x, x).backward(ones(2))
    np.testing.assert_array_equal(x._grad_slot.numpy(), [8.0, 12.0])
    x.grad = fc.tensor(np.array([1.0, 1.0]))
    np.testing.assert_array_equal(x._grad_slot.numpy(), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"value has shape \(3,\)"):
        x.grad = ones(3)


def test_wrong_number_of_gradients_is_reported():
    class _Bad(Function):
        @staticmethod
        def forward(ctx, a):
            return raw(a.numpy())

        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match=r"Bad\.backward returned 2 gradients for 1 arguments"):
        _Bad.apply(leaf([1.0])).backward()


def test_integer_outputs_never_require_a_gradient():
    class _Sign(Function):
        @staticmethod
        def forward(ctx, a):
            return fc.from_numpy(np.sign(a.numpy()).astype(np.int64))._data

    assert not _Sign.apply(leaf([-2.0])).requires_grad
    with pytest.raises(RuntimeError, match="floating-point"):
        fc.tensor([1, 2], requires_grad=True)


def test_a_long_chain_needs_no_deep_recursion():
    x = leaf([1.0])
    y = x
    one = ones(1)
    for _ in range(5000):
        y = _Mul.apply(y, one)
    y.backward()
    assert x.grad.item() == 1.0
