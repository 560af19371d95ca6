"""What a training run or a trained network suffers from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..nn import Module
from ..tensor import Tensor


def diagnose_fit(history: Sequence[Mapping[str, Any]], gap: float = 0.05, goal: float = 0.9) -> str:
    """Says from the last epoch's accuracies whether a model overfits or underfits.

    Args:
        history: what `Trainer.fit` returns, with validation data.
        gap: how far validation may stay behind training, as a share.
        goal: accuracy that training is expected to reach.

    Returns:
        "overfit": training is better than validation by more than `gap`; more regularisation or data would help.
        "underfit": there is no such gap, but training stays below `goal`; more capacity or longer training would help.
        "fit": neither.

    Raises:
        ValueError: no epochs, or records without the accuracies of training and validation.

    Example:
        >>> diagnose_fit([{"train_accuracy": 0.99, "val_accuracy": 0.71}])
        'overfit'
    """
    if not history:
        raise ValueError("diagnose_fit: history is empty, but the records of at least one epoch are expected")
    last = history[-1]
    missing = [key for key in ("train_accuracy", "val_accuracy") if last.get(key) is None]
    if missing:
        raise ValueError(
            f"diagnose_fit: the last record has no {' and no '.join(missing)}; train a classifier with "
            f"Trainer.fit(train, val)"
        )
    if last["train_accuracy"] - last["val_accuracy"] > gap:
        return "overfit"
    return "underfit" if last["train_accuracy"] < goal else "fit"


def dead_units(model: Module, input: Tensor) -> dict[str, float]:
    """The share of units of every ReLU that are 0 for all samples, which therefore do not learn.

    A unit is a feature of (N, features) or a channel of (N, C, H, W). A ReLU that is part of another layer's pass
    (`activation="relu"`) has no module and is not seen.

    Args:
        model: run once in eval mode; its mode is restored.
        input: samples, the more the better.

    Returns:
        Path of the ReLU -> share in [0, 1].

    Raises:
        ValueError: there are no samples.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import nn
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
        >>> _ = nn.init.constant_(model[0].bias, -100.0)
        >>> dead_units(model, fc.randn(50, 2))
        {'1': 1.0}
    """
    if not input.shape[0]:
        raise ValueError(f"dead_units: input has shape {input.shape}, but at least one sample is expected")
    found: dict[str, float] = {}

    def watch(path: str) -> Any:
        def record(module: Module, args: tuple[Any, ...], output: Tensor) -> None:
            values = output.detach().cpu().numpy()
            axes = tuple(axis for axis in range(values.ndim) if axis != 1)
            found[path] = float(np.mean(~(values != 0).any(axis=axes)))

        return record

    modes = [(module, module.training) for module in model.modules()]
    rectifiers = [(path, m) for path, m in model.named_modules() if type(m).__name__ in ("ReLU", "ReLU6", "LeakyReLU")]
    handles = [module.register_forward_hook(watch(path)) for path, module in rectifiers]
    try:
        model.eval()
        with no_grad():
            model(input)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return found
