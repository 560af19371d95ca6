"""PyTorch + cuDNN on the GPU in its best configuration: channels_last, cudnn.benchmark, eager and CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench import kernels
from bench.gpu import DTYPES, Timed
from tests import walk

torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cuda.matmul.allow_tf32 = True


def contenders(job: kernels.Job, arrays: walk.Arrays, dtype: str, copies: int) -> tuple[list[Timed], Any]:
    """Eager and graph-replayed contenders, and the first results for comparison."""
    if not torch.cuda.is_available():
        raise RuntimeError("this PyTorch has no CUDA device")
    formats = [torch.channels_last] if any(_is_image(leaf) for leaf in walk.leaves(arrays)) else [None]
    found: list[Timed] = []
    first: Any = None
    for memory_format in formats:
        calls = [torch_call(job, arrays, dtype, memory_format) for _ in range(copies)]
        first = calls[0]()
        label = "torch channels_last" if memory_format else "torch"

        def eager(i: int, calls: list[Callable[[], Any]] = calls) -> Any:
            return calls[i % len(calls)]()

        found.append(Timed(label, eager, _event))
        graphs = capture(calls)
        if graphs:

            def replay(i: int, graphs: list[Any] = graphs) -> None:
                graphs[i % len(graphs)].replay()

            found.append(Timed(f"{label} graph", replay, _event))
    return found, first


def capture(calls: list[Callable[[], Any]]) -> list[Any]:
    """One CUDA graph per copy of the inputs; empty if the op cannot be captured."""
    graphs = []
    try:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for call in calls:
                call()
                call()
        torch.cuda.current_stream().wait_stream(side)
        for call in calls:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                graph.fastcnn_outputs = call()  # keeps the outputs' memory
            graphs.append(graph)
    except RuntimeError:
        torch.cuda.synchronize()
        return []
    return graphs


def torch_call(job: kernels.Job, arrays: walk.Arrays, dtype: str, memory_format: Any) -> Callable[[], Any]:
    """A function that does the job once on the GPU; a gradient asks for its argument's alone."""
    kind = getattr(torch, dtype)

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        tensor = torch.from_numpy(leaf.copy()).cuda()
        tensor = tensor.to(kind) if leaf.dtype.kind == "f" else tensor
        return tensor.contiguous(memory_format=memory_format) if memory_format and leaf.ndim == 4 else tensor

    arguments = {
        name: walk.replace(value, convert)
        if dtype != "bfloat16" or name not in job.op.float32_arguments
        else walk.replace(value, lambda leaf: torch.from_numpy(leaf.astype(np.float32)).cuda())
        for name, value in arrays.items()
    }
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
        seed = torch.from_numpy(np.asarray(kernels.cotangent(tuple(out.shape)))).to("cuda", out.dtype)
        seeds.append(seed.contiguous(memory_format=memory_format) if memory_format and out.dim() == 4 else seed)
    return lambda: torch.autograd.grad(outputs, leaves, seeds, retain_graph=True)


def optimizer_contenders(name: str, options: dict[str, Any], shapes: list[tuple[int, ...]]) -> list[Timed]:
    """PyTorch's optimizer, fused and for-each, over float32 parameters of these shapes."""
    found = []
    for variant in ("fused", "foreach"):
        parameters = [torch.randn(shape, device="cuda", requires_grad=True) for shape in shapes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer = getattr(torch.optim, name)(parameters, **options, **{variant: True})
        found.append(Timed(f"torch {variant}", lambda _, o=optimizer: o.step(), _event))
    return found


def measure_ceiling() -> dict[str, float]:
    """Copy in GB/s and 8192^3 matrix products in TFLOP/s, as PyTorch does them."""
    source = torch.zeros(1 << 28, device="cuda")
    destination = torch.empty_like(source)
    result = {"copy": 2 * 4 * source.numel() / _seconds(lambda: destination.copy_(source)) / 1e9}
    for dtype in DTYPES:
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=getattr(torch, dtype)) for _ in range(2))
        result[dtype] = 2 * 8192**3 / _seconds(lambda a=a, b=b: a @ b) / 1e12  # type: ignore[misc]
    return result


def _seconds(run: Callable[[], Any]) -> float:
    timed = Timed("", lambda i: run(), _event)
    timed.sample(5)
    return min(timed.sample(5) for _ in range(5)) * 1e-3


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)


def _is_image(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.ndim == 4
