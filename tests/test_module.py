"""Module: registration, walking, state, hooks, modes."""

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn


class Scale(nn.Module):
    """weight * nothing: a layer without kernels."""

    def __init__(self, n=2):
        super().__init__()
        self.weight = nn.Parameter(fc.tensor(np.ones(n, np.float32)))
        self.register_parameter("bias", None)
        self.register_buffer("count", fc.tensor(0))
        self.register_buffer("scratch", fc.tensor(0), persistent=False)

    def forward(self, x):
        return x


def nested():
    return nn.Sequential(Scale(), nn.ModuleList([Scale(3), Scale(4)]))


def test_parameters_and_buffers_register_by_assignment():
    net = nested()
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "1.0.weight", "1.1.weight"]
    assert [n for n, _ in net.named_buffers()] == [
        f"{p}.{b}" for p in ("0", "1.0", "1.1") for b in ("count", "scratch")
    ]
    assert list(net.state_dict()) == ["0.weight", "0.count", "1.0.weight", "1.0.count", "1.1.weight", "1.1.count"]
    assert [n for n, _ in net.named_modules()] == ["", "0", "1", "1.0", "1.1"]
    assert len(list(net.children())) == 2
    assert net.get_submodule("1.1") is net[1][1]
    assert net.get_parameter("1.0.weight").shape == (3,)
    with pytest.raises(AttributeError, match="no child 'x'"):
        net.get_submodule("1.x")
    with pytest.raises(AttributeError, match="no parameter"):
        net.get_parameter("1.0.bias")


def test_shared_modules_count_once():
    shared = Scale()
    net = nn.Sequential(shared, shared)
    assert len(list(net.parameters())) == 1
    assert len(list(net.modules())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.count", "1.weight", "1.count"]


def test_assignment_rules():
    layer = Scale()
    layer.weight = nn.Parameter(fc.tensor([5.0]))
    assert layer.state_dict()["weight"].item() == 5.0
    with pytest.raises(TypeError, match="Parameter or None expected"):
        layer.weight = fc.tensor([1.0])
    layer.count = fc.tensor(3)
    assert layer.state_dict()["count"].item() == 3
    layer.weight = None
    assert list(layer.parameters()) == []
    layer.child = Scale()
    del layer.child
    assert list(layer.children()) == []
    with pytest.raises(AttributeError, match="has no attribute 'child'"):
        _ = layer.child
    with pytest.raises(KeyError, match="exists already"):
        layer.register_buffer("forward", fc.tensor(0))
    with pytest.raises(KeyError, match=r"without '\.'"):
        layer.register_parameter("a.b", None)
    with pytest.raises(TypeError, match="Tensor or None"):
        layer.register_buffer("b", 3)
    with pytest.raises(TypeError, match="Parameter or None"):
        layer.register_parameter("p", fc.tensor(0.0))
    with pytest.raises(TypeError, match="Module or None"):
        layer.add_module("m", 3)


def test_forgotten_super_init_is_explained():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = Scale()

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) of Forgetful"):
        Forgetful()


def test_missing_forward_is_explained():
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_load_state_dict_copies_into_the_same_memory():
    net = nested()
    pointer = net[0].weight._data.data_ptr()
    state = {k: np.full(v.shape, 7, v.numpy().dtype) for k, v in net.state_dict().items()}
    result = net.load_state_dict(state)
    assert result == ([], [])
    assert net[0].weight._data.data_ptr() == pointer
    assert (net[1][1].weight.detach().numpy() == 7).all()
    other = nested()
    other.load_state_dict(net.state_dict())
    assert (other[0].weight.detach().numpy() == 7).all()


def test_load_state_dict_reports_everything_and_changes_nothing():
    net = nested()
    bad = {"0.weight": np.zeros(5), "1.0.weight": np.zeros(3), "extra": np.zeros(1)}
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(bad)
    message = str(caught.value)
    for part in ("missing keys: 0.count, 1.0.count", "unexpected keys: extra", "0.weight: got shape (5,), but (2,)"):
        assert part in message
    assert (net[1][0].weight.detach().numpy() == 1).all()
    result = net.load_state_dict({"1.0.weight": np.zeros(3), "extra": np.zeros(1)}, strict=False)
    assert result.unexpected_keys == ["extra"]
    assert "0.weight" in result.missing_keys
    assert (net[1][0].weight.detach().numpy() == 0).all()
    with pytest.raises(TypeError, match="mapping"):
        net.load_state_dict([1])


def test_modes_reach_every_module_and_apply_runs_children_first():
    net = nested()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    order = []
    net.apply(lambda m: order.append(type(m).__name__))
    assert order == ["Scale", "Scale", "Scale", "ModuleList", "Sequential"]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_zero_grad_forgets_or_zeroes():
    layer = Scale()
    layer.weight.grad = fc.tensor([1.0, 2.0])
    layer.zero_grad(set_to_none=False)
    assert (layer.weight.grad.numpy() == 0).all()
    layer.zero_grad()
    assert layer.weight.grad is None


def test_hooks_run_in_order_and_can_be_removed():
    layer = Scale()
    calls = []
    first = layer.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] + 1,))
    second = layer.register_forward_hook(lambda m, args, out: calls.append("post") or out * 10)
    assert layer(1) == 20
    first.remove()
    second.remove()
    second.remove()
    assert layer(1) == 1
    assert calls == ["pre", "post"]


def test_sequential_and_lists_index_like_lists():
    net = nn.Sequential({"a": Scale(), "b": Scale()})
    assert net.a is net[0]
    assert net[-1] is net.b
    assert list(net[:1].state_dict()) == ["a.weight", "a.count"]
    with pytest.raises(IndexError, match="out of range for 2 modules"):
        net[2]
    replacement = Scale(9)
    net[0] = replacement
    assert net.a is replacement
    net = nn.Sequential(Scale(1), Scale(2), Scale(3))
    del net[1]
    assert [m.weight.shape[0] for m in net] == [1, 3]
    net.append(Scale(4))
    assert len(net) == 3
    modules = nn.ModuleList([Scale(1), Scale(2)])
    modules.insert(1, Scale(7))
    assert [m.weight.shape[0] for m in modules] == [1, 7, 2]
    assert [m.weight.shape[0] for m in modules[1:]] == [7, 2]
    modules[0] = Scale(8)
    assert modules[0].weight.shape == (8,)
    named = nn.ModuleDict({"x": Scale()})
    named["y"] = Scale(5)
    assert list(named) == ["x", "y"]
    assert "x" in named
    assert len(named) == 2
    assert [n for n, _ in named.items()] == list(named.keys())
    assert named["y"] in list(named.values())


def test_repr_shows_the_tree():
    text = repr(nn.Sequential(Scale(), nn.Sequential(Scale())))
    assert text == "Sequential(\n  (0): Scale()\n  (1): Sequential(\n    (0): Scale()\n  )\n)"
    assert "Parameter containing" in repr(Scale().weight)
    assert "weight" in dir(Scale())


def test_parameter_needs_a_floating_tensor():
    with pytest.raises(TypeError, match="fastcnn Tensor is expected"):
        nn.Parameter(np.ones(3))
    with pytest.raises(RuntimeError, match="floating-point"):
        nn.Parameter(fc.tensor([1, 2]))


def test_to_rejects_integers_and_unknown_devices():
    layer = Scale()
    with pytest.raises(TypeError, match="floating-point dtype"):
        layer.to(fc.int64)
    with pytest.raises(ValueError, match="device is 'tpu'"):
        layer.to("tpu")
