"""The models of bench/models.py in PyTorch: eager and compiled, NCHW and channels_last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.models import LEARNING_RATE, MOMENTUM, TOLERANCE, Job, State, batch
from bench.peer_torch import use_threads
from bench.timing import Contender

_FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def lenet5() -> nn.Sequential:
    """Fastcnn's LeNet-5; its weights are matched by their order."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2450, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


class PaddedShortcut(nn.Module):
    """Option A of the CIFAR networks: every other pixel, and new channels of zeros."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.added = added

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C + added, H / 2, W / 2)."""
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.added))


class Block(nn.Module):
    """A residual block with torchvision's names; in inference batch norms have been folded where they are None."""

    def __init__(self, channels: int, planes: int, stride: int, bottleneck: bool, padded: bool) -> None:
        super().__init__()
        out = planes * 4 if bottleneck else planes
        if bottleneck:
            sizes = ((channels, planes, 1, 1), (planes, planes, 3, stride), (planes, out, 1, 1))
        else:
            sizes = ((channels, planes, 3, stride), (planes, planes, 3, 1))
        self.count = len(sizes)
        for i, (inner, outer, kernel, step) in enumerate(sizes, 1):
            self.add_module(f"conv{i}", nn.Conv2d(inner, outer, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outer))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if padded and channels != out:
            self.downsample = PaddedShortcut(out - channels)
        elif stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = self.relu(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """ResNet-18, ResNet-50, or ResNet-20 for CIFAR."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        small, bottleneck = name == "resnet20", name == "resnet50"
        depths = {"resnet18": (2, 2, 2, 2), "resnet20": (3, 3, 3), "resnet50": (3, 4, 6, 3)}[name]
        channels = 16 if small else 64
        self.conv1 = nn.Conv2d(3, channels, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        self.stages = [f"layer{i + 1}" for i in range(len(depths))]
        width = channels
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(Block(channels, width << i, 2 if i and not j else 1, bottleneck, small))
                channels = (width << i) * (4 if bottleneck else 1)
            self.add_module(self.stages[i], nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def make_model(job: Job, state: State) -> nn.Module:
    """The model with the weights of `state`."""
    model = lenet5() if job.model == "lenet5" else ResNet(job.model, job.classes)
    values = dict(zip(model.state_dict(), state.values(), strict=True)) if job.model == "lenet5" else state
    model.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in values.items()})
    return model


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """For inference: every batch norm folded into the convolution in front of it, as users of PyTorch do it."""
    for module in model.modules():
        names = list(module._modules)
        for first, second in pairwise(names):
            layer, norm = module._modules[first], module._modules[second]
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module._modules[first] = fuse_conv_bn_eval(layer, norm)
                module._modules[second] = nn.Identity()
    return model


def make_call(job: Job, state: State, label: str, compiled: bool) -> Callable[[], Any]:
    """A function that trains one step and returns the loss, or infers and returns the logits."""
    memory_format = _FORMATS[label]
    images, labels = batch(job)
    x = torch.from_numpy(images).contiguous(memory_format=memory_format)
    y = torch.from_numpy(labels)
    if not job.train:
        network: Any = fold_batch_norms(make_model(job, state).eval()).to(memory_format=memory_format)
        forward = torch.compile(network) if compiled else network
        return torch.inference_mode()(lambda: forward(x))
    model: Any = make_model(job, state).to(memory_format=memory_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = criterion(model(inputs), targets)
        return result

    loss_function = torch.compile(loss_of) if compiled else loss_of

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def caller(contender: str) -> Callable[[Job, State], Callable[[], Any]]:
    """`make_call` for a contender's name such as "torch eager NCHW 2t"; sets its number of threads."""
    _, mode, label, threads = contender.split()
    use_threads(int(threads.removesuffix("t")))()
    torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3)).sum()
    return lambda job, state: make_call(job, state, label, mode == "compile")


def contenders(
    job: Job, state: State, threads: tuple[int, ...], expected: np.ndarray, compiled: bool
) -> list[Contender]:
    """Every configuration whose first result equals fastcnn's; a compiler that does not work is left out, with a note.

    Raises:
        SystemExit: eager PyTorch computes something else from the same weights, so that the comparison means nothing.
    """
    found = []
    for mode in ("eager", "compile") if compiled else ("eager",):
        for label in _FORMATS:
            try:
                call = make_call(job, state, label, mode == "compile")
                first = call().detach().numpy()
            except RuntimeError as error:
                if mode == "eager":
                    raise
                print(f"note: torch.compile does not work here and is left out: {str(error)[:200]}", file=sys.stderr)
                break
            difference = float(np.abs(first - expected).max())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise SystemExit(f"torch {mode} {label}, {job.name}: the first result differs by {difference:.2g}")
            found += [Contender(f"torch {mode} {label} {n}t", call, use_threads(n), n) for n in threads]
    return found
