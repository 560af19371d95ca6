"""pad: every mode on asymmetric shapes, crops, empty tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Array, Case, ErrorCase, Op

_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def reference(
    input: np.ndarray, pad: tuple[int, ...], mode: str = "constant", value: float | None = None
) -> np.ndarray:
    """numpy.pad, after cropping where an amount is negative."""
    amounts = [(0, 0)] * (input.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    grow = [(max(a, 0), max(b, 0)) for a, b in amounts]
    if mode == "constant":
        padded = np.pad(input, grow, constant_values=value or 0.0)
    else:
        padded = np.pad(input, grow, mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
    crop = tuple(slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(amounts, padded.shape, strict=True))
    return np.asarray(padded[crop])


def _run(**arguments: Any) -> Any:
    from fastcnn import functional as F

    return F.pad(**arguments)


def _torch(**arguments: Any) -> Any:
    import torch

    return torch.nn.functional.pad(**arguments)


def _case(shape: tuple[int, ...], pad: tuple[int, ...], mode: str = "constant", value: float | None = None) -> Case:
    args: dict[str, Any] = {"input": Array(shape), "pad": pad, "mode": mode}
    if value is not None:
        args["value"] = value
    label = f"{'x'.join(map(str, shape))}-{'_'.join(map(str, pad))}-{mode}" + ("" if value is None else f"-{value}")
    return Case(label, args, terms_grad=int(np.prod(shape)) + 1)


def _bytes(case: Case) -> int:
    size = int(np.prod(case.args["input"].shape))
    return 8 * size


_MODES = ("constant", "reflect", "replicate", "circular")

CASES = (
    *(_case((2, 3, 5, 4), (1, 3, 2, 0), mode) for mode in _MODES),
    *(_case((3, 17, 4, 6), (3, 2, 1, 3), mode) for mode in _MODES),
    *(_case((3, 4, 6), (2, 1, 3, 3), mode) for mode in _MODES),
    *(_case((4, 7), (5, 2), mode) for mode in _MODES),
    *(_case((2, 1, 3, 2), (1, 1, 2, 2), mode) for mode in _MODES),
    *(_case((0, 3, 5, 4), (1, 2, 3, 1), mode) for mode in _MODES),
    _case((2, 1, 1, 1), (2, 3, 1, 4), "replicate"),
    _case((2, 3, 5, 4), (1, -1, -2, 3), "constant", 2.5),
    _case((2, 3, 5, 4), (0, 0, 0, 0, 1, 2), "constant", -1.0),
    _case((2, 3, 5, 4), (1, 0, 0, 1, 2, 0, 1, 1)),
    _case((2, 3, 5, 4), (-2, -2, 1, 1)),
    _case((6,), (2, 3), "constant", 7.0),
    _case((2, 3), ()),
    Case(
        "nan",
        {"input": Array((2, 3, 4, 5), special=(np.nan, np.inf)), "pad": (2, 1, 0, 1), "mode": "reflect"},
        grad=False,
    ),
    Case("lenet", {"input": Array((64, 1, 28, 28)), "pad": (2, 2, 2, 2)}, bench=True),
    Case("resnet", {"input": Array((8, 64, 56, 56)), "pad": (1, 1, 1, 1), "mode": "reflect"}, bench=True),
)


def _error(id: str, pad: Any, *words: str, **options: Any) -> ErrorCase:
    return ErrorCase(id, {"input": Array((2, 3, 5, 4)), "pad": pad, **options}, ValueError, ("pad", *words))


ERRORS = (
    _error("odd", (1, 2, 3), "3 amounts", "even"),
    _error("too-many", (1,) * 10, "10 amounts", "at most 8"),
    _error("mode", (1, 1), "'mirror'", "'reflect'", mode="mirror"),
    _error("value-with-reflect", (1, 1), "value", "constant", mode="reflect", value=1.0),
    _error("reflect-too-far", (4, 0), "amount 4", "size of 4", mode="reflect"),
    _error("circular-too-far", (0, 0, 0, 6), "amount 6", "size of 5", mode="circular"),
    _error("crop-everything", (-3, -2), "leaves nothing"),
)

OPS = (
    Op(
        "pad",
        _run,
        CASES,
        reference=reference,
        torch=_torch,
        differentiable=("input",),
        errors=ERRORS,
        bytes=_bytes,
        exact=True,
    ),
)
