"""Networks written a second time, as plain functions of `torch.nn.functional` over torchvision's state_dicts.

A definition reads its depth off the keys. `Net` notes which entries it used, so that a comparison also shows that the
state_dict holds exactly what torchvision's network of that name reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Net:
    """A state_dict in torch, and the layers that read it by name."""

    def __init__(self, torch: Any, state: dict[str, np.ndarray[Any, Any]], training: bool, dtype: Any) -> None:
        self.torch = torch
        self.F = torch.nn.functional
        self.training = training
        self.used: set[str] = set()
        self.state = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
        for key, value in self.state.items():
            if value.is_floating_point():
                self.state[key] = value.to(dtype).requires_grad_(not key.endswith(("running_mean", "running_var")))

    def __contains__(self, key: str) -> bool:
        return key in self.state

    def get(self, key: str) -> Any:
        self.used.add(key)
        return self.state[key]

    def maybe(self, key: str) -> Any:
        return self.get(key) if key in self.state else None

    def count(self, pattern: str, start: int = 0) -> int:
        """How many consecutive i, from `start`, make `pattern` with {} replaced a prefix of a key."""
        i = start
        while any(key.startswith(pattern.format(i)) for key in self.state):
            i += 1
        return i - start

    def conv(self, name: str, x: Any, stride: Any = 1, padding: Any = 0, groups: int = 1) -> Any:
        weight, bias = self.get(f"{name}.weight"), self.maybe(f"{name}.bias")
        return self.F.conv2d(x, weight, bias, stride, padding, 1, groups)

    def linear(self, name: str, x: Any) -> Any:
        return self.F.linear(x, self.get(f"{name}.weight"), self.maybe(f"{name}.bias"))

    def bn(self, name: str, x: Any, eps: float = 1e-5, momentum: float = 0.1) -> Any:
        self.used.add(f"{name}.num_batches_tracked")
        return self.F.batch_norm(
            x, self.get(f"{name}.running_mean"), self.get(f"{name}.running_var"), self.get(f"{name}.weight"),
            self.get(f"{name}.bias"), self.training, momentum, eps,
        )  # fmt: skip

    def relu(self, x: Any) -> Any:
        return self.F.relu(x)

    def globally(self, x: Any) -> Any:
        return x.mean((2, 3))


Definition = Callable[[Net, Any], Any]


def resnet(groups: int = 1, stride_first: bool = False) -> Definition:
    def block(n: Net, at: str, x: Any, stride: int) -> Any:
        shortcut = x
        if f"{at}.downsample.0.weight" in n:
            shortcut = n.bn(f"{at}.downsample.1", n.conv(f"{at}.downsample.0", x, stride))
        if f"{at}.conv3.weight" in n:
            first, second = (stride, 1) if stride_first else (1, stride)
            y = n.relu(n.bn(f"{at}.bn1", n.conv(f"{at}.conv1", x, first)))
            y = n.relu(n.bn(f"{at}.bn2", n.conv(f"{at}.conv2", y, second, 1, groups)))
            y = n.bn(f"{at}.bn3", n.conv(f"{at}.conv3", y))
        else:
            y = n.relu(n.bn(f"{at}.bn1", n.conv(f"{at}.conv1", x, stride, 1)))
            y = n.bn(f"{at}.bn2", n.conv(f"{at}.conv2", y, 1, 1))
        return n.relu(y + shortcut)

    def forward(n: Net, x: Any) -> Any:
        x = n.F.max_pool2d(n.relu(n.bn("bn1", n.conv("conv1", x, 2, 3))), 3, 2, 1)
        for stage in range(1, 5):
            for i in range(n.count(f"layer{stage}.{{}}.")):
                x = block(n, f"layer{stage}.{i}", x, 2 if stage > 1 and i == 0 else 1)
        return n.linear("fc", n.globally(x))

    return forward


def cifar_resnet(n: Net, x: Any) -> Any:
    x = n.relu(n.bn("bn1", n.conv("conv1", x, 1, 1)))
    for stage in range(1, 4):
        for i in range(n.count(f"layer{stage}.{{}}.")):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = n.relu(n.bn(f"{at}.bn1", n.conv(f"{at}.conv1", x, stride, 1)))
            y = n.bn(f"{at}.bn2", n.conv(f"{at}.conv2", y, 1, 1))
            if f"{at}.downsample.0.weight" in n:
                x = n.bn(f"{at}.downsample.1", n.conv(f"{at}.downsample.0", x, stride))
            elif stride == 2:
                x = x[:, :, ::2, ::2]
                x = n.torch.cat([x, n.torch.zeros_like(x)], 1)
            x = n.relu(x + y)
    return n.linear("fc", n.globally(x))


def cifar_plain(n: Net, x: Any) -> Any:
    x = n.relu(n.bn("bn1", n.conv("conv1", x, 1, 1)))
    for stage in range(1, 4):
        for i in range(n.count(f"layer{stage}.{{}}.")):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            x = n.relu(n.bn(f"{at}.bn1", n.conv(f"{at}.conv1", x, stride, 1)))
            x = n.relu(n.bn(f"{at}.bn2", n.conv(f"{at}.conv2", x, 1, 1)))
    return n.linear("fc", n.globally(x))


def response_norm(n: Net, x: Any) -> Any:
    """x / (2 + 1e-4 sum over 5 maps of x^2)^0.75, as AlexNet's paper prints it."""
    squares = n.F.pad(x.square(), (0, 0, 0, 0, 2, 2))
    total = sum(squares[:, i : i + x.shape[1]] for i in range(5))
    return x / (2 + 1e-4 * total) ** 0.75


def vgg(pools: tuple[int, ...], lrn: bool = False) -> Definition:
    """`pools` counts the convolutions before every pooling."""

    def forward(n: Net, x: Any) -> Any:
        at = 0
        for stage, count in enumerate(pools):
            for i in range(count):
                weight = n.get(f"features.{at}.weight")
                x = n.conv(f"features.{at}", x, 1, weight.shape[2] // 2)
                if f"features.{at + 1}.running_mean" in n:
                    at += 1
                    x = n.bn(f"features.{at}", x)
                x = n.relu(x)
                at += 2
                if lrn and stage == i == 0:
                    x = response_norm(n, x)
                    at += 1
            x = n.F.max_pool2d(x, 2)
            at += 1
        x = n.F.adaptive_avg_pool2d(x, 7).flatten(1)
        x = n.relu(n.linear("classifier.0", x))
        return n.linear("classifier.6", n.relu(n.linear("classifier.3", x)))

    return forward


def alexnet(n: Net, x: Any) -> Any:
    x = n.F.max_pool2d(n.relu(n.conv("features.0", x, 4, 2)), 3, 2)
    x = n.F.max_pool2d(n.relu(n.conv("features.3", x, 1, 2)), 3, 2)
    for i in (6, 8, 10):
        x = n.relu(n.conv(f"features.{i}", x, 1, 1))
    x = n.F.adaptive_avg_pool2d(n.F.max_pool2d(x, 3, 2), 6).flatten(1)
    x = n.relu(n.linear("classifier.1", x))
    return n.linear("classifier.6", n.relu(n.linear("classifier.4", x)))


def alexnet_2012(groups: int = 2) -> Definition:
    def forward(n: Net, x: Any) -> Any:
        x = n.F.max_pool2d(response_norm(n, n.relu(n.conv("conv1", x, 4))), 3, 2)
        x = n.F.max_pool2d(response_norm(n, n.relu(n.conv("conv2", x, 1, 2, groups))), 3, 2)
        for i in (3, 4, 5):
            if f"conv{i}.weight" in n:
                x = n.relu(n.conv(f"conv{i}", x, 1, 1, 1 if i == 3 else groups))
        x = n.F.adaptive_avg_pool2d(n.F.max_pool2d(x, 3, 2), 6).flatten(1)
        for i in (6, 7):
            if f"fc{i}.weight" in n:
                x = n.relu(n.linear(f"fc{i}", x))
        return n.linear("fc8", x)

    return forward


def _mlpconv(n: Net, at: str, x: Any, stride: int, padding: int) -> Any:
    x = n.relu(n.conv(f"{at}.0", x, stride, padding))
    return n.relu(n.conv(f"{at}.4", n.relu(n.conv(f"{at}.2", x))))


def nin_cifar(n: Net, x: Any) -> Any:
    x = n.F.max_pool2d(_mlpconv(n, "block1", x, 1, 2), 3, 2, ceil_mode=True)
    x = n.F.avg_pool2d(_mlpconv(n, "block2", x, 1, 2), 3, 2, ceil_mode=True)
    return n.globally(_mlpconv(n, "block3", x, 1, 1))


def nin_imagenet(n: Net, x: Any) -> Any:
    x = n.F.max_pool2d(_mlpconv(n, "block1", x, 4, 0), 3, 2)
    x = n.F.max_pool2d(_mlpconv(n, "block2", x, 1, 2), 3, 2)
    x = n.F.max_pool2d(_mlpconv(n, "block3", x, 1, 1), 3, 2)
    return n.globally(_mlpconv(n, "block4", x, 1, 1))


def squeezenet(pools: tuple[int, ...]) -> Definition:
    """`pools` are the positions of the poolings in `features`."""

    def forward(n: Net, x: Any) -> Any:
        x = n.relu(n.conv("features.0", x, 2))
        for i in range(2, 13):
            if i in pools:
                x = n.F.max_pool2d(x, 3, 2, ceil_mode=True)
                continue
            x = n.relu(n.conv(f"features.{i}.squeeze", x))
            x = n.torch.cat(
                [n.conv(f"features.{i}.expand1x1", x), n.conv(f"features.{i}.expand3x3", x, 1, 1)], 1
            ).relu()
        return n.globally(n.relu(n.conv("classifier.1", x)))

    return forward


def densenet(small: bool = False) -> Definition:
    def forward(n: Net, x: Any) -> Any:
        if small:
            x = n.conv("features.conv0", x, 1, 1)
        else:
            x = n.relu(n.bn("features.norm0", n.conv("features.conv0", x, 2, 3)))
            x = n.F.max_pool2d(x, 3, 2, 1)
        blocks = n.count("features.denseblock{}.", start=1)
        for b in range(1, blocks + 1):
            maps = [x]
            for i in range(1, n.count(f"features.denseblock{b}.denselayer{{}}.", start=1) + 1):
                at = f"features.denseblock{b}.denselayer{i}"
                y = n.relu(n.bn(f"{at}.norm1", n.torch.cat(maps, 1)))
                if f"{at}.conv2.weight" in n:
                    y = n.conv(f"{at}.conv2", n.relu(n.bn(f"{at}.norm2", n.conv(f"{at}.conv1", y))), 1, 1)
                else:
                    y = n.conv(f"{at}.conv1", y, 1, 1)
                maps.append(y)
            x = n.torch.cat(maps, 1)
            if b < blocks:
                at = f"features.transition{b}"
                x = n.F.avg_pool2d(n.conv(f"{at}.conv", n.relu(n.bn(f"{at}.norm", x))), 2)
        return n.linear("classifier", n.globally(n.relu(n.bn(f"features.norm{blocks + 1}", x))))

    return forward


def _unit(n: Net, at: str, x: Any, act: Any, stride: int = 1, eps: float = 1e-5, momentum: float = 0.1) -> Any:
    """Convolution (depthwise where its weight says so), batch norm, activation."""
    shape = n.get(f"{at}.0.weight").shape
    groups = shape[0] if shape[1] == 1 and x.shape[1] != 1 else 1
    x = n.bn(f"{at}.1", n.conv(f"{at}.0", x, stride, shape[2] // 2, groups), eps, momentum)
    return x if act is None else act(x)


def _squeeze_excite(n: Net, at: str, x: Any, act: Any, gate: Any) -> Any:
    return x * gate(n.conv(f"{at}.fc2", act(n.conv(f"{at}.fc1", x.mean((2, 3), keepdim=True)))))


def mobilenet_v2(strides: tuple[int, ...]) -> Definition:
    def forward(n: Net, x: Any) -> Any:
        x = _unit(n, "features.0", x, n.F.relu6, 2)
        for i, stride in enumerate(strides, 1):
            at, y, j = f"features.{i}.conv", x, 0
            if f"{at}.1.1.weight" in n:
                y, j = _unit(n, f"{at}.0", y, n.F.relu6), 1
            y = _unit(n, f"{at}.{j}", y, n.F.relu6, stride)
            y = n.bn(f"{at}.{j + 2}", n.conv(f"{at}.{j + 1}", y))
            x = x + y if stride == 1 and x.shape == y.shape else y
        x = _unit(n, f"features.{len(strides) + 1}", x, n.F.relu6)
        return n.linear("classifier.1", n.globally(x))

    return forward


def mobilenet_v3(strides: tuple[int, ...], hard_from: int) -> Definition:
    """From block `hard_from` on the activations are hard swishes."""

    def forward(n: Net, x: Any) -> Any:
        hard = n.F.hardswish
        x = _unit(n, "features.0", x, hard, 2, 1e-3, 0.01)
        for i, stride in enumerate(strides, 1):
            act = hard if i > hard_from else n.relu
            y = x
            units = n.count(f"features.{i}.block.{{}}.")
            for j in range(units):
                at = f"features.{i}.block.{j}"
                if f"{at}.fc1.weight" in n:
                    y = _squeeze_excite(n, at, y, n.relu, n.F.hardsigmoid)
                    continue
                depthwise = n.get(f"{at}.0.weight").shape[1] == 1
                y = _unit(n, at, y, None if j == units - 1 else act, stride if depthwise else 1, 1e-3, 0.01)
            x = x + y if stride == 1 and x.shape == y.shape else y
        x = _unit(n, f"features.{len(strides) + 1}", x, hard, 1, 1e-3, 0.01)
        return n.linear("classifier.3", hard(n.linear("classifier.0", n.globally(x))))

    return forward


def efficientnet(eps: float = 1e-5, momentum: float = 0.1) -> Definition:
    strides = (1, 2, 2, 2, 1, 2, 1)

    def forward(n: Net, x: Any) -> Any:
        silu = n.F.silu
        x = _unit(n, "features.0", x, silu, 2, eps, momentum)
        for stage, first in enumerate(strides, 1):
            for i in range(n.count(f"features.{stage}.{{}}.")):
                at, stride, y, j = f"features.{stage}.{i}.block", first if i == 0 else 1, x, 0
                if f"{at}.3.0.weight" in n:
                    y, j = _unit(n, f"{at}.0", y, silu, 1, eps, momentum), 1
                y = _unit(n, f"{at}.{j}", y, silu, stride, eps, momentum)
                y = _squeeze_excite(n, f"{at}.{j + 1}", y, silu, n.torch.sigmoid)
                y = _unit(n, f"{at}.{j + 2}", y, None, 1, eps, momentum)
                x = x + y if stride == 1 and x.shape == y.shape else y
        x = _unit(n, f"features.{len(strides) + 1}", x, silu, 1, eps, momentum)
        return n.linear("classifier.1", n.globally(x))

    return forward


def _conv_norm(n: Net, at: str, x: Any, stride: int = 1, padding: Any = 0) -> Any:
    return n.relu(n.bn(f"{at}.bn", n.conv(f"{at}.conv", x, stride, padding), 1e-3))


def googlenet(n: Net, x: Any) -> Any:
    def pool(x: Any, size: int = 3) -> Any:
        return n.F.max_pool2d(x, size, 2, ceil_mode=True)

    def module(at: str, x: Any) -> Any:
        at = f"inception{at}"
        kernel = n.get(f"{at}.branch3.1.conv.weight").shape[2]
        return n.torch.cat(
            [
                _conv_norm(n, f"{at}.branch1", x),
                _conv_norm(n, f"{at}.branch2.1", _conv_norm(n, f"{at}.branch2.0", x), 1, 1),
                _conv_norm(n, f"{at}.branch3.1", _conv_norm(n, f"{at}.branch3.0", x), 1, kernel // 2),
                _conv_norm(n, f"{at}.branch4.1", n.F.max_pool2d(x, 3, 1, 1)),
            ],
            1,
        )

    def auxiliary(at: str, x: Any) -> Any:
        x = _conv_norm(n, f"{at}.conv", n.F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return n.linear(f"{at}.fc2", n.relu(n.linear(f"{at}.fc1", x)))

    x = pool(_conv_norm(n, "conv1", x, 2, 3))
    x = pool(_conv_norm(n, "conv3", _conv_norm(n, "conv2", x), 1, 1))
    x = module("4a", pool(module("3b", module("3a", x))))
    middle = module("4d", module("4c", module("4b", x)))
    y = module("5b", module("5a", pool(module("4e", middle), 2)))
    logits = n.linear("fc", n.globally(y))
    if n.training and "aux1.fc1.weight" in n:
        return logits, auxiliary("aux2", middle), auxiliary("aux1", x)
    return logits


def inception_v3(n: Net, x: Any) -> Any:
    def conv(at: str, x: Any, stride: int = 1) -> Any:
        """Padded to the same size at stride 1, not padded at stride 2."""
        height, width = n.get(f"{at}.conv.weight").shape[2:]
        return _conv_norm(n, at, x, stride, (height // 2, width // 2) if stride == 1 else 0)

    def chain(at: str, x: Any, names: list[str], last_stride: int = 1) -> Any:
        for name in names[:-1]:
            x = conv(f"{at}.{name}", x)
        return conv(f"{at}.{names[-1]}", x, last_stride)

    def numbered(name: str, count: int) -> list[str]:
        return [f"{name}_{i}" for i in range(1, count + 1)]

    def mean(at: str, x: Any) -> Any:
        return conv(f"{at}.branch_pool", n.F.avg_pool2d(x, 3, 1, 1))

    def keep(at: str, x: Any) -> Any:
        if f"{at}.branch5x5_1.conv.weight" in n:
            chains = [["branch1x1"], numbered("branch5x5", 2), numbered("branch3x3dbl", 3)]
        elif f"{at}.branch7x7_1.conv.weight" in n:
            chains = [["branch1x1"], numbered("branch7x7", 3), numbered("branch7x7dbl", 5)]
        else:
            single, double = ["branch3x3_1"], numbered("branch3x3dbl", 2)
            chains = [["branch1x1"], [*single, "branch3x3_2a"], [*single, "branch3x3_2b"]]
            chains += [[*double, "branch3x3dbl_3a"], [*double, "branch3x3dbl_3b"]]
        if n.training:  # the shared beginnings of module E must count their batch once
            done: dict[tuple[str, ...], Any] = {(): x}
            outputs = []
            for names in chains:
                for i in range(1, len(names) + 1):
                    if tuple(names[:i]) not in done:
                        done[tuple(names[:i])] = conv(f"{at}.{names[i - 1]}", done[tuple(names[: i - 1])])
                outputs.append(done[tuple(names)])
        else:
            outputs = [chain(at, x, names) for names in chains]
        return n.torch.cat([*outputs, mean(at, x)], 1)

    def halve(at: str, x: Any, chains: list[list[str]]) -> Any:
        return n.torch.cat([*(chain(at, x, names, 2) for names in chains), n.F.max_pool2d(x, 3, 2)], 1)

    x = _conv_norm(n, "Conv2d_2a_3x3", _conv_norm(n, "Conv2d_1a_3x3", x, 2))
    x = n.F.max_pool2d(_conv_norm(n, "Conv2d_2b_3x3", x, 1, 1), 3, 2)
    x = n.F.max_pool2d(_conv_norm(n, "Conv2d_4a_3x3", _conv_norm(n, "Conv2d_3b_1x1", x)), 3, 2)
    for name in "bcd":
        x = keep(f"Mixed_5{name}", x)
    x = halve("Mixed_6a", x, [["branch3x3"], numbered("branch3x3dbl", 3)])
    for name in "bcde":
        x = keep(f"Mixed_6{name}", x)
    y = halve("Mixed_7a", x, [numbered("branch3x3", 2), numbered("branch7x7x3", 4)])
    logits = n.linear("fc", n.globally(keep("Mixed_7c", keep("Mixed_7b", y))))
    if n.training and "AuxLogits.fc.weight" in n:
        return logits, inception_auxiliary(n, x, "AuxLogits.")
    return logits


def inception_auxiliary(n: Net, x: Any, at: str = "") -> Any:
    x = _conv_norm(n, f"{at}conv1", _conv_norm(n, f"{at}conv0", n.F.avg_pool2d(x, 5, 3)))
    return n.linear(f"{at}fc", n.globally(x))


def lenet5_sigmoid(n: Net, x: Any) -> Any:
    act = n.torch.sigmoid
    x = n.F.avg_pool2d(act(n.conv("conv1", x, 1, 2)), 2)
    x = n.F.avg_pool2d(act(n.conv("conv2", x)), 2).flatten(1)
    return n.linear("fc3", act(n.linear("fc2", act(n.linear("fc1", x)))))


def lenet5_1998(n: Net, x: Any) -> Any:
    """C3 as sixteen convolutions of the maps that they see."""
    seen = [[i % 6 for i in range(first, first + count)] for count in (3, 4) for first in range(6)]
    seen += [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]

    def act(x: Any) -> Any:
        return 1.7159 * n.torch.tanh(2 * x / 3)

    def subsample(at: str, x: Any) -> Any:
        sums = 4 * n.F.avg_pool2d(x, 2)
        return act(sums * n.get(f"{at}.weight")[:, None, None] + n.get(f"{at}.bias")[:, None, None])

    x = subsample("s2", act(n.conv("c1", x)))
    filters, biases, maps, first = n.get("c3.weight"), n.get("c3.bias"), [], 0
    for i, inputs in enumerate(seen):
        inputs = sorted(inputs)
        rows = filters[first : first + len(inputs)].reshape(1, len(inputs), 5, 5)
        maps.append(n.F.conv2d(x[:, inputs], rows, biases[i : i + 1]))
        first += len(inputs)
    x = subsample("s4", act(n.torch.cat(maps, 1)))
    x = act(n.linear("f6", act(n.conv("c5", x)).flatten(1)))
    return -(x[:, None] - n.get("output.rbf.weight")).square().sum(2)


def multilayer(n: Net, x: Any) -> Any:
    x = x.flatten(1)
    for i in range(1, n.count("fc{}.", start=1) + 1):
        x = n.relu(n.linear(f"fc{i}", x))
    return n.linear("fc", x)


def classic(n: Net, x: Any) -> Any:
    for i in range(1, n.count("conv{}.", start=1) + 1):
        x = n.conv(f"conv{i}", x, 1, 1)
        if f"norm{i}.weight" in n:
            x = n.bn(f"norm{i}", x)
        x = n.F.max_pool2d(n.relu(x), 2)
    return multilayer(n, x)
