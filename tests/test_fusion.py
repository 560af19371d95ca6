"""Fused blocks: the same bits as the modules one by one, less memory, and copies for inference without batch norms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, autograd, models, nn
from fastcnn import functional as F


def one_by_one(model: nn.Sequential, x: fc.Tensor) -> fc.Tensor:
    for module in model:
        x = module(x)
    return x


def randomize(model: nn.Module) -> None:
    rng = np.random.default_rng(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            size = module.num_features
            values = {"weight": rng.uniform(0.6, 1.4, size), "bias": rng.normal(0, 0.2, size)}
            values |= {"running_mean": rng.normal(0, 0.2, size), "running_var": rng.uniform(0.6, 1.4, size)}
            module.load_state_dict({key: value.astype(np.float32) for key, value in values.items()}, strict=False)


def convolutional() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, (1, 3)), nn.ReLU())


def linear() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True))


@pytest.mark.parametrize(("make", "shape"), [(convolutional, (2, 3, 7, 8)), (linear, (5, 4))])
@pytest.mark.parametrize("training", [True, False])
def test_sequential_gives_the_bits_of_its_modules_one_by_one(
    make: Callable[[], nn.Sequential], shape: tuple[int, ...], training: bool
) -> None:
    model = make()
    randomize(model)
    other = copy.deepcopy(model)
    x = fc.randn(*shape)
    cotangent = None
    results = []
    for network, call in ((model, lambda m, x: m(x)), (other, one_by_one)):
        network.train(training)
        input = x.clone().requires_grad_(True)
        output = call(network, input)
        cotangent = fc.randn(*output.shape) if cotangent is None else cotangent
        output.backward(cotangent)
        results.append([output.detach(), input.grad, *(p.grad for p in network.parameters()), *network.buffers()])
    for fused, plain in zip(*results, strict=True):
        np.testing.assert_array_equal(fused.numpy(), plain.numpy())


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    apply = autograd.Function.apply.__func__

    def counted(cls: type[autograd.Function], *args: Any) -> Any:
        names.append(cls.name())
        return apply(cls, *args)

    monkeypatch.setattr(autograd.Function, "apply", classmethod(counted))
    return names


def test_sequential_calls_one_kernel_for_a_layer_and_its_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    names = count_calls(monkeypatch)
    convolutional()(fc.randn(2, 3, 7, 8))
    assert names == ["Conv2d", "BatchNorm", "Conv2d"]


@pytest.mark.parametrize("hooked", [1, 2])
def test_sequential_calls_modules_with_hooks_by_themselves(hooked: int) -> None:
    model = convolutional()
    seen = []
    model[hooked].register_forward_hook(lambda module, args, output: seen.append(output.detach().numpy().min()))
    model(fc.randn(2, 3, 7, 8))
    assert (seen[0] < 0) == (hooked == 1)


def test_sequential_leaves_subclasses_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, input: fc.Tensor, *, activation: str | None = None) -> fc.Tensor:
            assert activation is None
            return super().forward(input) * 2

    model = nn.Sequential(Doubled(3, 4), nn.ReLU())
    x = fc.randn(2, 3)
    np.testing.assert_array_equal(model(x).detach().numpy(), one_by_one(model, x).detach().numpy())


def test_conv_bn_act_has_the_keys_and_shapes_of_torchvision() -> None:
    block = nn.ConvBNAct(3, 8, (3, 5), stride=2, dilation=(1, 2), groups=1)
    assert {key: value.shape for key, value in block.state_dict().items()} == {
        "0.weight": (8, 3, 3, 5),
        "1.weight": (8,),
        "1.bias": (8,),
        "1.running_mean": (8,),
        "1.running_var": (8,),
        "1.num_batches_tracked": (),
    }
    assert block(fc.zeros(1, 3, 9, 12)).shape == (1, 8, 5, 6)
    assert block[0].padding == (1, 4)
    bare = nn.ConvBNAct(3, 8, norm_layer=None, activation_layer=None)
    assert list(bare.state_dict()) == ["0.weight", "0.bias"]
    assert len(bare) == 1
    assert [type(module) for module in nn.ConvBNAct(3, 8, activation_layer=nn.SiLU)][2] is nn.SiLU
    assert list(nn.ConvBNAct(3, 8, bias=True).state_dict())[:2] == ["0.weight", "0.bias"]


def test_linear_act_is_a_linear_layer_and_its_activation() -> None:
    layer = nn.LinearAct(4, 3)
    x = fc.randn(5, 4)
    plain = F.linear(x, layer[0].weight, layer[0].bias)
    np.testing.assert_array_equal(layer(x).detach().numpy(), np.maximum(plain.detach().numpy(), 0))
    smooth = nn.LinearAct(4, 3, bias=False, activation_layer=nn.Tanh)
    assert list(smooth.state_dict()) == ["0.weight"]
    np.testing.assert_allclose(smooth(x).detach().numpy(), np.tanh(F.linear(x, smooth[0].weight).detach().numpy()))


NETWORKS = {  # name -> batch norms that stay: those in front of their convolution
    "resnet18": 0,
    "resnet20": 0,
    "vgg11_bn": 0,
    "densenet_bc100": 51,
    "mobilenet_v2": 0,
    "mobilenet_v3_small": 0,
    "googlenet": 0,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_fuse_keeps_the_logits(name: str) -> None:
    entry = models.model_entry(name)
    model = entry.build().eval()
    randomize(model)
    channels, height, _ = entry.input_shape
    size = min(height, 64)
    x = fc.randn(2, channels, size, size)
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    with fc.no_grad():
        fused = model.fuse()
        expected, actual = model(x).numpy(), fused(x).numpy()
        again = fused.fuse()(x).numpy()
    # Folding rounds each weight once: an error of some float32 units, relative to the largest logit.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=64 * 2.0**-24 * np.abs(expected).max())
    assert not np.array_equal(actual, expected)
    np.testing.assert_array_equal(again, actual)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in fused.modules()) == NETWORKS[name]
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])
    assert not any(module.training for module in fused.modules())


def test_fuse_runs_a_convolution_with_batch_norm_and_relu_as_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    block = nn.ConvBNAct(3, 4).eval()
    randomize(block)
    fused = block.fuse()
    names = count_calls(monkeypatch)
    x = fc.randn(1, 3, 5, 6)
    output = fused(x)
    assert names == ["Conv2d"]
    np.testing.assert_allclose(output.detach().numpy(), block(x).detach().numpy(), atol=1e-5)
    assert "activation=relu" in repr(fused)


def test_fuse_adds_the_shortcut_of_a_residual_block_in_its_last_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    block = models.resnet.Bottleneck(16, 4).eval()
    randomize(block)
    fused = block.fuse()
    names = count_calls(monkeypatch)
    x = fc.randn(2, 16, 5, 6, requires_grad=True)
    output = fused(x)
    assert names == ["Conv2d"] * 3
    expected = block(x)
    np.testing.assert_allclose(output.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    with fc.no_grad(), fc.profile() as profile:
        fused(x)
    assert [row.fused for row in profile.rows() if row.op == "conv2d"][-1] == ("bias", "add", "relu")
    got, want = (fc.autograd.grad((y * y).sum(), x)[0].numpy() for y in (output, expected))
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_fuse_in_training_mode_is_an_error_that_names_the_module() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(RuntimeError, match=r"Sequential is in training mode.*call model.eval\(\)"):
        model.fuse()
    model.eval()
    model[1].train()
    with pytest.raises(RuntimeError, match="fuse: 1 is in training mode"):
        model.fuse()
    model.eval()
    fused = model.fuse().train()
    with pytest.raises(RuntimeError, match="fused model is in training mode"):
        fused(fc.zeros(1, 3, 4, 4))


def test_fuse_leaves_alone_what_is_shared_hooked_or_without_statistics() -> None:
    shared = nn.Conv2d(3, 3, 1)
    first, second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    twice = nn.Sequential(shared, first, shared, second).eval()
    randomize(twice)
    hooked = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).eval()
    hooked[0].register_forward_hook(lambda *_: None)
    blind = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    x = fc.randn(2, 3, 4, 5)
    for model in (twice, hooked, blind):
        np.testing.assert_array_equal(model.fuse()(x).detach().numpy(), model(x).detach().numpy())


def test_a_block_keeps_the_output_of_the_convolution_and_its_own_and_never_has_a_third_map() -> None:
    def maps(call: Callable[[nn.Sequential, fc.Tensor], fc.Tensor]) -> tuple[float, float]:
        """Maps that are kept for backward, and the most that there are at a time."""
        block = nn.ConvBNAct(16, 16, kernel_size=1)
        x = fc.randn(4, 16, 32, 32)
        call(block, x)
        _C.reset_max_memory_allocated()
        before = _C.memory_stats()["allocated"]
        output = call(block, x)
        stats = _C.memory_stats()
        return tuple((stats[key] - before) / (output.numel() * 4) for key in ("allocated", "max_allocated"))

    kept, most = maps(lambda block, x: block(x))
    assert 2 <= kept < 2.3
    assert 2 <= most < 2.9
    assert maps(one_by_one)[1] >= 3


def two_blocks() -> tuple[nn.Sequential, fc.Tensor]:
    fc.manual_seed(2)
    blocks = nn.Sequential(nn.ConvBNAct(4, 16), nn.ConvBNAct(16, 16), nn.Conv2d(16, 3, 1))
    randomize(blocks)
    return blocks, fc.randn(4, 4, 32, 32)


def test_the_output_of_a_batch_norm_is_not_kept_for_the_next_convolution() -> None:
    blocks, x = two_blocks()
    blocks(x)
    before = _C.memory_stats()["allocated"]
    output = blocks(x)
    kept = _C.memory_stats()["allocated"] - before - output.numel() * 4
    assert 2 <= kept / (4 * 16 * 32 * 32 * 4) < 2.3  # the outputs of the two convolutions in front of batch norms
    assert output.requires_grad


def test_outputs_computed_again_have_the_same_bits() -> None:
    blocks, x = two_blocks()
    cotangent = fc.randn(4, 3, 32, 32)
    gradients = []
    for keep in (True, False, False):
        blocks.zero_grad()
        middle = [blocks[0](x)]
        middle.append(blocks[1](middle[0]))
        output = blocks[2](middle[1])
        if not keep:
            middle.clear()
        output.backward(cotangent, retain_graph=True)
        gradients.append([p.grad.numpy().copy() for p in blocks.parameters()])
    blocks.zero_grad()
    output.backward(cotangent)  # the graph was retained
    gradients.append([p.grad.numpy() for p in blocks.parameters()])
    for other in gradients[1:]:
        for got, expected in zip(other, gradients[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_outputs_computed_again_do_not_see_what_their_users_wrote_into_them() -> None:
    blocks, x = two_blocks()
    results = []
    for write in (False, True):
        blocks.zero_grad()
        middle = blocks[0](x)
        output = blocks[1](middle)
        if write:
            _C.zero_(middle._data)
        output.sum().backward()
        results.append(blocks[1][0].weight.grad.numpy().copy())
    np.testing.assert_array_equal(*results)


def test_changed_inputs_of_outputs_to_be_computed_again_are_an_error() -> None:
    conv, norm, last = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
    raw = conv(fc.randn(2, 3, 4, 5))
    output = last(norm(raw))
    _C.zero_(raw._data)
    with pytest.raises(RuntimeError, match=r"BatchNorm: a tensor of shape .* was modified in place"):
        output.sum().backward()


def test_a_profile_shows_outputs_computed_again() -> None:
    blocks, x = two_blocks()
    with fc.profile() as p:
        blocks(x).sum().backward()
    passes = [event for event in p.events if event.op == "batch_norm" and event.phase == "backward"]
    assert len(passes) == 4
    again = passes[0]  # the input of the last convolution comes first
    assert again.layer == "1.1"
    assert again.bytes == pytest.approx(2 * 4 * 16 * 32 * 32 * 4, rel=0.01)


def test_fuse_in_place_changes_the_model_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 9, bias=False), nn.BatchNorm2d(64), nn.ReLU()).eval()
    randomize(model)
    x = fc.randn(1, 3, 12, 12)
    expected = model.fuse()(x).detach().numpy()
    assert model.fuse(inplace=True) is model
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(model(x).detach().numpy(), expected)
    with pytest.raises(RuntimeError, match="training mode"):
        model.train().fuse(inplace=True)


def test_fuse_in_place_never_has_the_weights_twice() -> None:
    layers = [layer for _ in range(8) for layer in (nn.Conv2d(96, 96, 3, bias=False), nn.BatchNorm2d(96), nn.ReLU())]
    model = nn.Sequential(*layers).eval()
    del layers
    weights = _C.memory_stats()["allocated"]
    _C.reset_max_memory_allocated()
    model.fuse(inplace=True)
    assert _C.memory_stats()["max_allocated"] - weights < 5 * 96 * 96 * 9 * 4


class Fresh(autograd.Function):
    """Gradients in new memory."""

    fresh_gradients = True
    made: list[int] = []

    @staticmethod
    def forward(ctx: Any, input: Any) -> Any:
        return _C.mul(input, 2.0)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        result = _C.mul(grad_output, 2.0)
        Fresh.made.append(result.storage_ptr())
        return result


def gradient_memory(*branches: Callable[[fc.Tensor], fc.Tensor]) -> tuple[int, np.ndarray]:
    """Where the gradient of a tensor with these uses lies, and its values."""
    Fresh.made.clear()
    leaf = fc.tensor([1.0, -2.0, 3.0], requires_grad=True)
    middle = leaf * 1.0
    where: list[int] = []
    middle.register_hook(lambda grad: where.append(grad._data.storage_ptr()))
    total = branches[0](middle)
    for branch in branches[1:]:
        total = total + branch(middle)
    total.backward(fc.tensor([1.0, 10.0, 100.0]))
    assert leaf.grad is not None
    return where[0], leaf.grad.numpy()


def test_gradients_of_a_shared_input_are_added_in_place_where_nobody_else_has_the_memory() -> None:
    where, values = gradient_memory(Fresh.apply, lambda x: x)
    assert where in Fresh.made
    np.testing.assert_array_equal(values, [3.0, 30.0, 300.0])
    where, values = gradient_memory(Fresh.apply, Fresh.apply, Fresh.apply)
    assert where in Fresh.made
    np.testing.assert_array_equal(values, [6.0, 60.0, 600.0])


def test_gradients_of_a_shared_input_leave_foreign_memory_as_it_is() -> None:
    cotangent = fc.tensor([1.0, 10.0, 100.0])
    kept = fc.tensor([5.0, 5.0, 5.0])

    class Constant(autograd.Function):
        @staticmethod
        def forward(ctx: Any, input: Any) -> Any:
            return _C.mul(input, 5.0)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            return kept._data

    leaf = fc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    middle = leaf * 1.0
    (middle + middle + Constant.apply(middle) + Constant.apply(middle)).backward(cotangent)
    np.testing.assert_array_equal(leaf.grad.numpy(), [12.0, 30.0, 210.0])
    np.testing.assert_array_equal(cotangent.numpy(), [1.0, 10.0, 100.0])
    np.testing.assert_array_equal(kept.numpy(), [5.0, 5.0, 5.0])
