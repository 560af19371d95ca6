"""PyTorch as the peer: every memory format and number of threads is a contender; the best one counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench import kernels
from bench.timing import Contender
from tests import walk


def contenders(job: kernels.Job, arrays: walk.Arrays, threads: tuple[int, ...]) -> list[Contender]:
    """The job in each memory format (NCHW and channels_last where an argument is an image) and number of threads."""
    images = any(isinstance(leaf, np.ndarray) and leaf.ndim == 4 for leaf in walk.leaves(arrays))
    formats = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last} if images else {"": None}
    found = []
    for label, memory_format in formats.items():
        call = torch_call(job, arrays, memory_format)
        found += [Contender(f"torch {label} {n}t".replace("  ", " "), call, use_threads(n), n) for n in threads]
    return found


def use_threads(threads: int) -> Callable[[], None]:
    """A function that sets PyTorch's number of threads."""
    return lambda: torch.set_num_threads(threads)


def torch_call(job: kernels.Job, arrays: walk.Arrays, memory_format: Any) -> Callable[[], Any]:
    """A function that does the job once. A gradient asks for its argument's alone (oneDNN then computes no other)."""

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        tensor = torch.from_numpy(leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf.copy())
        return tensor.contiguous(memory_format=memory_format) if memory_format and leaf.ndim == 4 else tensor

    arguments = walk.replace(arrays, convert)
    op = job.op.torch
    assert op is not None
    if job.argument is None:

        def forward() -> Any:
            with torch.no_grad():
                return op(**arguments)

        return forward
    leaves = [leaf for leaf in walk.leaves(arguments[job.argument]) if isinstance(leaf, torch.Tensor)]
    for leaf in leaves:
        leaf.requires_grad_(True)
    outputs = [out for out in walk.as_outputs(op(**arguments)) if out.requires_grad]
    seeds = []
    for out in outputs:
        seed = torch.from_numpy(np.asarray(kernels.cotangent(tuple(out.shape))))
        seeds.append(seed.contiguous(memory_format=memory_format) if memory_format and out.dim() == 4 else seed)
    return lambda: torch.autograd.grad(outputs, leaves, seeds, retain_graph=True)
