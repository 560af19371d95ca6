"""The models of bench/models.py in PyTorch: eager and compiled, NCHW and channels_last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.models import LEARNING_RATE, MOMENTUM, State
from bench.peer_torch import use_threads
from bench.timing import Contender


def lenet5(state: State) -> nn.Sequential:
    """Fastcnn's LeNet-5 with the weights of `state`, matched by their order."""
    model = nn.Sequential(
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
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), state.values(), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return model


def step_function(
    images: np.ndarray, labels: np.ndarray, state: State, memory_format: torch.memory_format, compiled: bool
) -> Callable[[], Any]:
    """A function that trains one step and returns the loss."""
    model: Any = lenet5(state).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    x = torch.from_numpy(images).contiguous(memory_format=memory_format)
    y = torch.from_numpy(labels)

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = criterion(model(inputs), targets)
        return result

    forward = torch.compile(loss_of) if compiled else loss_of

    def step() -> Any:
        optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def contenders(
    images: np.ndarray, labels: np.ndarray, state: State, threads: tuple[int, ...], expected_loss: float, compiled: bool
) -> list[Contender]:
    """Every configuration whose first loss equals fastcnn's; a compiler that does not work is left out, with a note.

    Raises:
        SystemExit: eager PyTorch computes another loss from the same weights, so that the comparison means nothing.
    """
    found = []
    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    for mode in ("eager", "compile") if compiled else ("eager",):
        for label, memory_format in formats.items():
            try:
                step = step_function(images, labels, state, memory_format, mode == "compile")
                loss = step().item()
            except RuntimeError as error:
                if mode == "eager":
                    raise
                print(f"note: torch.compile does not work here and is left out: {str(error)[:200]}", file=sys.stderr)
                break
            if abs(loss - expected_loss) > 1e-4 * max(1.0, abs(expected_loss)):
                raise SystemExit(f"torch {mode} {label}: the first loss is {loss}, fastcnn's {expected_loss}")
            found += [Contender(f"torch {mode} {label} {n}t", step, use_threads(n), n) for n in threads]
    return found
