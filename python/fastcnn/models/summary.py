"""What a model consists of: layers, shapes, parameters and multiply-adds, found with an empty batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..autograd import no_grad
from ..nn import Conv2d, Linear, Module
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

    Multiply-adds are counted for convolutions and linear layers, per image, and for modules that have a method
    `macs(output_shape)`; everything else counts as none.

    Args:
        model: the model; its mode is restored.
        input_shape: of one image, (C, H, W).

    Raises:
        ValueError: the model does not take such images.

    Example:
        >>> from fastcnn.models import create_model
        >>> summary = summarize(create_model("lenet5"), (1, 28, 28))
        >>> summary.parameters, summary.macs
        (1256080, 6522000)
    """
    layers: list[LayerSummary] = []
    counted: set[int] = set()
    handles = []
    paths = {id(module): path for path, module in model.named_modules()}

    def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        fresh = [p for p in module._parameters.values() if p is not None and id(p) not in counted]
        counted.update(id(p) for p in fresh)
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
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
        with no_grad():
            model(zeros(0, *input_shape, dtype=like.dtype, device=like.device))
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
    )


def _macs(module: Module, output_shape: tuple[int, ...]) -> int:
    if hasattr(module, "macs"):  # layers with arithmetic of their own say it
        return int(module.macs(output_shape))
    if isinstance(module, Conv2d | Linear):  # every output value is a dot product with one filter
        return math.prod(output_shape) * math.prod(module.weight.shape[1:])
    return 0
