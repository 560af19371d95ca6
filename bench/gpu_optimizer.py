"""Optimizer steps over a network's parameters on a GPU, against PyTorch's fused ones and the copy bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcnn as fc
from bench.gpu import Timed, timed_row
from bench.kernels import Settings
from fastcnn import models, nn, optim

# Name, ours, PyTorch's (options for both), floats that a step must read and write per parameter.
OPTIMIZERS: tuple[tuple[str, Callable[..., optim.Optimizer], str, dict[str, Any], int], ...] = (
    ("sgd momentum", optim.SGD, "SGD", {"lr": 1e-6, "momentum": 0.9}, 5),
    ("adamw", optim.AdamW, "AdamW", {"lr": 1e-6}, 7),
)


def rows(settings: Settings, ceiling: dict[str, float]) -> Iterator[dict[str, Any]]:
    """One row per optimizer that matches the filter; float32 parameters of ResNet-50 (tiny: LeNet-5)."""
    network = "lenet5" if settings.tiny else "resnet50"
    with nn.init.skip():
        shapes = [p.shape for p in models.create_model(network).parameters()]
    count = sum(int(np.prod(shape)) for shape in shapes)
    for name, ours, theirs, options, floats in OPTIMIZERS:
        case = f"{name} {network} float32"
        if not settings.pattern.search(f"optimizer[{case}] step"):
            continue
        rng = np.random.default_rng(0)

        def random(shape: Any, rng: np.random.Generator = rng) -> fc.Tensor:
            return fc.tensor(rng.standard_normal(shape, np.float32)).to("cuda")

        parameters = [nn.Parameter(random(shape)) for shape in shapes]
        for parameter in parameters:
            parameter.grad = random(parameter.shape)
        optimizer = ours(parameters, **options)
        contender = Timed("fastcnn", lambda _, o=optimizer: o.step(), lambda: fc.cuda.Event(enable_timing=True))
        peers = []
        if settings.peer == "torch":
            from bench import gpu_peer_torch

            peers = gpu_peer_torch.optimizer_contenders(theirs, options, shapes)
        row = {"op": "optimizer", "case": case, "pass": "step", "flops": 0, "bytes": 4 * floats * count, "wrong": ""}
        yield timed_row(row, contender, peers, 1, settings, 4 * floats * count / ceiling["copy"] / 1e9)
