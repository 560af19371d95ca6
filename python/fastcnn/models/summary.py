"""What a model consists of: layers, shapes, parameters and multiply-adds, found with an empty batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..autograd import enable_grad
from ..nn import Conv1d, Conv2d, Conv3d, Linear, Module
from ..ops.creation import zeros
from ..tensor import Tensor


class LayerSummary(NamedTuple):
    """One leaf module at one call."""

    path: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int  # 0 at the second use of a shared layer
    macs: int  # per image


class ModelSummary(NamedTuple):
    """The layers in the order of execution, and the totals."""

    layers: list[LayerSummary]
    input_shape: tuple[int, ...]
    parameters: int
    trainable: int
    macs: int
    depth: int  # layers with weights on the longest way from input to output, as in "152 layers"

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "MACs")]
        for layer in self.layers:
            output = " x ".join(map(str, layer.output_shape))
            rows.append((layer.path, layer.kind, output, f"{layer.parameters:,}", f"{layer.macs:,}"))
        rows.append(("total", "", "", f"{self.parameters:,}", f"{self.macs:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  ".join(
                text.rjust(width) if i >= 3 else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(model: Module, input_shape: tuple[int, ...]) -> ModelSummary:
    """Lists the leaf modules of `model` as an empty batch passes through them, in eval mode: no arithmetic is done.

    The depth counts layers whose weights have two or more dimensions: no norms, and no projections of shortcuts, which
    run beside more layers. Multiply-adds are counted for convolutions and linear layers, per image, and for modules
    that have a method `macs(output_shape)`; everything else counts as none.

    Args:
        model: the model; its mode is restored.
        input_shape: of one image, (C, H, W).

    Raises:
        ValueError: the model does not take such images.

    Example:
        >>> from fastcnn.models import create_model
        >>> summary = summarize(create_model("lenet5"), (1, 28, 28))
        >>> summary.parameters, summary.macs, summary.depth
        (1256080, 6522000, 4)
    """
    layers: list[LayerSummary] = []
    counted: set[int] = set()
    weighted: set[Any] = set()  # recorded calls that made the outputs of layers with weights
    handles = []
    paths = {id(module): path for path, module in model.named_modules()}

    def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        fresh = [p for p in module._parameters.values() if p is not None and id(p) not in counted]
        counted.update(id(p) for p in fresh)
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        if isinstance(output, Tensor) and any(p is not None and p.ndim >= 2 for p in module._parameters.values()):
            weighted.add(output._node)
        layers.append(
            LayerSummary(
                paths[id(module)] or type(module).__name__,
                type(module).__name__,
                shape,
                sum(p.numel() for p in fresh),
                _macs(module, shape),
            )
        )

    modes = [(module, module.training) for module in model.modules()]
    try:
        leaves = [module for module in model.modules() if not module._modules]
        like = next((p for p in model.parameters()), zeros(0))
        handles += [module.register_forward_hook(record) for module in leaves]
        model.eval()
        with enable_grad():
            image = zeros(0, *input_shape, dtype=like.dtype, device=like.device)
            output = model(image.requires_grad_(image.is_floating_point()))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    parameters = list(model.parameters())
    return ModelSummary(
        layers,
        tuple(input_shape),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(layer.macs for layer in layers),
        _longest_way(output._node if isinstance(output, Tensor) else None, weighted),
    )


def _longest_way(last: Any, weighted: set[Any]) -> int:
    """How many of the recorded calls `weighted` lie on one way to the call `last` at most."""
    if last is None:
        return 0
    nodes, found = [last], {last}
    while nodes:
        for edge in nodes.pop().edges:
            if isinstance(edge, tuple) and edge[0] not in found:
                found.add(edge[0])
                nodes.append(edge[0])
    depth: dict[Any, int] = {}
    for node in sorted(found, key=lambda node: node.sequence):  # what a call reads was made before it
        before = [depth[edge[0]] for edge in node.edges if isinstance(edge, tuple)]
        depth[node] = max(before, default=0) + (node in weighted)
    return depth[last]


def _macs(module: Module, output_shape: tuple[int, ...]) -> int:
    if hasattr(module, "macs"):  # layers with arithmetic of their own say it
        return int(module.macs(output_shape))
    if isinstance(module, Conv1d | Conv2d | Conv3d | Linear):  # every output value is a dot product with one filter
        return math.prod(output_shape) * math.prod(module.weight.shape[1:])
    return 0
