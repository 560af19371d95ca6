"""conv2d: shapes chosen so that no two sizes agree by accident, and the layers of well-known networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cases import Array, Case, ErrorCase, Op


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _amounts(
    padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)
    height, width = (0, 0) if padding == "valid" else _pair(padding)
    return (height, height), (width, width)


def reference(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
    residual: np.ndarray | None = None,
) -> np.ndarray:
    """The definition, one tap and one group at a time."""
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    filters, channels, kh, kw = weight.shape
    rows, columns = _amounts(padding, (kh, kw), (dh, dw))
    padded = np.pad(input, ((0, 0), (0, 0), rows, columns))
    height = (padded.shape[2] - dh * (kh - 1) - 1) // sh + 1
    width = (padded.shape[3] - dw * (kw - 1) - 1) // sw + 1
    output = np.zeros((input.shape[0], filters, height, width))
    per_group = filters // groups
    for g in range(groups):
        image = padded[:, g * channels : (g + 1) * channels]
        bank = weight[g * per_group : (g + 1) * per_group]
        for i in range(kh):
            for j in range(kw):
                window = image[:, :, i * dh :, j * dw :][
                    :, :, : (height - 1) * sh + 1 : sh, : (width - 1) * sw + 1 : sw
                ]
                output[:, g * per_group : (g + 1) * per_group] += np.einsum("nchw,oc->nohw", window, bank[:, :, i, j])
    if bias is not None:
        output += bias[None, :, None, None]
    if residual is not None:
        output += residual
    return np.where(output < 0, 0.0, output) if activation == "relu" else output


def _run(**arguments: Any) -> Any:
    from fastcnn import functional as F

    return F.conv2d(**arguments)


def _torch(activation: str | None = None, residual: Any = None, **arguments: Any) -> Any:
    import warnings

    import torch

    with warnings.catch_warnings():  # torch tells that 'same' with an even kernel costs it a copy
        warnings.simplefilter("ignore", UserWarning)
        output = torch.nn.functional.conv2d(**arguments)
    if residual is not None:
        output = output + residual
    return torch.relu(output) if activation == "relu" else output


def _case(
    n: int,
    c: int,
    h: int,
    w: int,
    o: int,
    k: Any,
    s: Any = 1,
    p: Any = 0,
    d: Any = 1,
    g: int = 1,
    bias: bool = True,
    activation: str | None = None,
    residual: bool = False,
    bench: bool = False,
    name: str = "",
) -> Case:
    (kh, kw), (sh, sw), (dh, dw) = _pair(k), _pair(s), _pair(d)
    rows, columns = _amounts(p, (kh, kw), (dh, dw))
    args: dict[str, Any] = {"input": Array((n, c, h, w)), "weight": Array((o, c // g, kh, kw))}
    if bias:
        args["bias"] = Array((o,))
    args |= {"stride": s, "padding": p, "dilation": d, "groups": g}
    if activation:
        args["activation"] = activation
    height = (h + sum(rows) - dh * (kh - 1) - 1) // sh + 1
    width = (w + sum(columns) - dw * (kw - 1) - 1) // sw + 1
    if residual:
        args["residual"] = Array((n, o, height, width))
    text = "x".join(map(str, p)) if isinstance(p, tuple) else p
    label = f"n{n}-c{c}-h{h}w{w}-o{o}-k{kh}x{kw}-s{sh}x{sw}-p{text}-d{dh}x{dw}-g{g}"
    if activation:
        label += f"-{activation}"
    if residual:
        label += "-residual"
    terms = c // g * kh * kw + 1 + residual
    return Case(
        name or (label if bias else f"{label}-nobias"),
        args,
        terms=terms,
        terms_grad=max(n * height * width, o // g * kh * kw, terms),
        bench=bench,
    )


def _layer(name: str, n: int, c: int, h: int, o: int, k: int, s: int = 1, p: int = 0, g: int = 1) -> Case:
    return _case(n, c, h, h, o, k, s, p, 1, g, bench=True, name=name)


def _output_numel(case: Case) -> tuple[int, int]:
    """(output elements, products behind each)."""
    args = case.args
    n, _, h, w = args["input"].shape
    o, c, kh, kw = args["weight"].shape
    (sh, sw), (dh, dw) = _pair(args["stride"]), _pair(args["dilation"])
    rows, columns = _amounts(args["padding"], (kh, kw), (dh, dw))
    height = (h + sum(rows) - dh * (kh - 1) - 1) // sh + 1
    width = (w + sum(columns) - dw * (kw - 1) - 1) // sw + 1
    return n * o * height * width, c * kh * kw


def _flops(case: Case) -> int:
    numel, products = _output_numel(case)
    return 2 * numel * products


def _bytes(case: Case) -> int:
    arrays = [a for a in case.args.values() if isinstance(a, Array)]
    return 4 * (_output_numel(case)[0] + sum(int(np.prod(a.shape)) for a in arrays))


CASES = (
    _case(2, 3, 9, 7, 5, (3, 5), (2, 1), (1, 0)),
    _case(2, 3, 7, 11, 4, (5, 2), (1, 3), (0, 2)),
    _case(1, 2, 12, 9, 3, (3, 2), (1, 2), (2, 1), (2, 3)),
    _case(3, 4, 5, 6, 6, (2, 3), 1, 1, (2, 1), 2, bias=False),
    _case(2, 6, 8, 5, 9, (3, 1), (3, 2), (2, 0), 1, 3),  # strided and grouped: gradient of the skipped rows is 0
    _case(2, 4, 10, 8, 4, 3, (3, 2), (1, 2)),  # stride does not divide: the last rows are seen by no output
    _case(1, 2, 9, 10, 2, (1, 2), 3, 0),  # stride larger than the kernel
    _case(2, 3, 11, 8, 4, (2, 3), (2, 4), 1, (2, 3)),  # stride and dilation share a factor, or not
    _case(1, 3, 4, 3, 2, 3, 1, (4, 5)),  # more padding than the kernel reaches
    _case(1, 2, 6, 5, 3, 2, 7, 1),  # one output, stride larger than the image
    _case(2, 5, 1, 1, 7, 1),
    _case(1, 3, 1, 1, 4, 3, 1, 1),
    _case(0, 3, 6, 5, 4, 3, 1, 1),
    _case(0, 4, 6, 5, 4, 3, 1, 1, 1, 4),
    _case(2, 1, 8, 9, 3, 3, 1, 1),
    _case(4, 1, 14, 13, 20, 5, 1, 2),
    _case(3, 20, 7, 6, 50, 5, 1, 2),
    _case(2, 3, 23, 19, 17, 7, 2, 3),
    _case(2, 130, 5, 4, 33, 3, 1, 1),
    _case(1, 140, 4, 5, 40, 1),
    _case(1, 512, 3, 4, 130, 1),
    _case(2, 40, 6, 7, 8, 1, 2),
    *(_case(2, c, 5, 6, o, (3, 2), 1, 1) for c, o in ((1, 16), (7, 15), (8, 17), (15, 1), (16, 33), (17, 8), (33, 7))),
    # GPU tiles: pixels, filters and taps around 32, 64 and 128, and channels that fill 16, 8, 4 or 2 bytes.
    _case(1, 64, 7, 9, 64, 3, 1, 1),
    _case(3, 8, 5, 9, 65, 3, (2, 1), 1),
    _case(2, 66, 5, 6, 31, (2, 3), 1, 1),
    _case(2, 12, 7, 6, 20, 3, 2, 1),
    _case(1, 4, 13, 10, 128, 3, 1, 1),
    _case(2, 16, 8, 7, 32, 3, (3, 2), 1, 1, 2),
    _case(1, 48, 6, 7, 24, (3, 2), (2, 3), 2, (2, 1), 3),
    _case(1, 8, 3, 2, 8, 5, 1, 2),  # kernel larger than the image
    # A residual: with whole and part vectors, by Winograd of both sizes, per channel and per group. With a ReLU only
    # where no sum lies so close to 0 that bfloat16 rounds it across.
    _case(2, 5, 6, 7, 19, 1, residual=True),
    _case(1, 12, 5, 9, 8, 3, 2, 1, activation="relu", residual=True),
    _case(2, 32, 13, 12, 34, 3, 1, 1, residual=True),
    _case(2, 32, 9, 10, 17, 5, 1, 2, residual=True),
    _case(2, 6, 5, 7, 6, 3, 1, 1, 1, 6, activation="relu", residual=True),
    _case(1, 16, 6, 5, 16, 3, 1, 1, 1, 4, bias=False, residual=True),
    _case(1, 8, 2, 65, 16, (1, 3), 1, (0, 1)),
    _case(2, 3, 6, 9, 4, (4, 3), 1, "same", (1, 2)),  # same padding of an even kernel: one more row below
    _case(2, 3, 6, 9, 4, (4, 3), 2, "valid"),
    _case(2, 3, 7, 6, 5, 3, 2, 1, activation="relu"),
    _case(2, 6, 7, 6, 6, 3, 1, 1, 1, 6, activation="relu"),
    _case(2, 5, 6, 9, 5, (3, 5), 1, (1, 2), 1, 5),  # depthwise
    _case(2, 17, 9, 8, 17, (5, 3), (2, 1), (2, 0), (1, 2), 17),
    _case(2, 33, 6, 11, 33, (3, 4), (2, 3), (1, 3), 1, 33),
    _case(1, 40, 12, 14, 40, 7, 1, 3, 1, 40),
    _case(2, 3, 6, 5, 12, 3, 1, 1, 1, 3),  # depthwise, four filters per channel
    _case(2, 5, 7, 9, 10, (2, 3), (2, 1), 1, (1, 2), 5, bias=False),
    # Depthwise tiles: 8 x 8 pixels and 32 words of channels, or 16 x 8 and 16; packs of 8 channels; both strides.
    _case(2, 64, 8, 8, 64, 3, 1, 1, 1, 64),
    _case(2, 72, 17, 9, 72, 3, 1, 1, 1, 72),
    _case(1, 24, 19, 7, 24, 3, 2, 1, 1, 24),
    _case(1, 40, 9, 18, 40, 3, 2, (0, 1), 1, 40, activation="relu"),
    _case(1, 33, 9, 10, 33, 3, 1, 2, 1, 33, bias=False),
    _case(3, 16, 7, 7, 16, 5, 1, 2, 1, 16),
    _case(1, 32, 12, 11, 32, 5, 2, (2, 1), 1, 32),
    _case(1, 6, 6, 5, 6, 5, 2, 4, 1, 6),
    _case(1, 48, 9, 8, 48, 7, 1, 3, 1, 48),
    _case(1, 8, 13, 17, 8, 7, 2, (3, 2), 1, 8),
    _case(2, 3, 9, 9, 3, 7, 2, 0, 1, 3),
    _case(1, 4, 10, 9, 4, 3, 1, "same", 1, 4),
    _case(2, 16, 9, 7, 48, 3, 1, 1, 1, 16),  # three filters per channel
    _case(1, 12, 9, 7, 12, 3, 1, 2, 2, 12),
    _case(1, 36, 8, 9, 36, (1, 7), 1, (0, 3), 1, 36),
    _layer("resnet-conv1 7x7s2 3-64 at 224", 8, 3, 224, 64, 7, 2, 3),
    _layer("resnet-layer1 3x3 64 at 56", 8, 64, 56, 64, 3, 1, 1),
    _layer("resnet-expand 1x1 64-256 at 56", 8, 64, 56, 256, 1),
    _layer("resnet-reduce 1x1 256-64 at 56", 8, 256, 56, 64, 1),
    _layer("resnet-down 3x3s2 128 at 56", 8, 128, 56, 128, 3, 2, 1),
    _layer("resnet-layer2 3x3 128 at 28", 8, 128, 28, 128, 3, 1, 1),
    _layer("resnet-reduce 1x1 512-128 at 28", 8, 512, 28, 128, 1),
    _layer("resnet-layer3 3x3 256 at 14", 8, 256, 14, 256, 3, 1, 1),
    _layer("resnet-reduce 1x1 1024-256 at 14", 8, 1024, 14, 256, 1),
    _layer("resnet-layer4 3x3 512 at 7", 8, 512, 7, 512, 3, 1, 1),
    _layer("resnet-layer3 3x3 256 at 14, batch 1", 1, 256, 14, 256, 3, 1, 1),
    _layer("resnet-layer4 3x3 512 at 7, batch 1", 1, 512, 7, 512, 3, 1, 1),
    _layer("cifar 3x3 64 at 32", 64, 64, 32, 64, 3, 1, 1),
    _layer("lenet-conv1 5x5 1-20 at 28", 64, 1, 28, 20, 5, 1, 2),
    _layer("lenet-conv2 5x5 20-50 at 14", 64, 20, 14, 50, 5, 1, 2),
    _layer("vgg 3x3 64 at 224", 4, 64, 224, 64, 3, 1, 1),
    _layer("depthwise 3x3 64 at 56", 8, 64, 56, 64, 3, 1, 1, 64),
    _layer("depthwise 3x3s2 64 at 56", 8, 64, 56, 64, 3, 2, 1, 64),
    _layer("depthwise 3x3 512 at 14", 8, 512, 14, 512, 3, 1, 1, 512),
    _layer("depthwise 5x5 240 at 28", 8, 240, 28, 240, 5, 1, 2, 240),
    _layer("depthwise 7x7 192 at 28", 8, 192, 28, 192, 7, 1, 3, 192),
    _layer("grouped 3x3 128 in 32 groups at 56", 8, 128, 56, 128, 3, 1, 1, 32),
    _layer("grouped 3x3 256 in 32 groups at 28", 8, 256, 28, 256, 3, 1, 1, 32),
    _layer("grouped 3x3 512 in 32 groups at 14", 8, 512, 14, 512, 3, 1, 1, 32),
)


def _error(id: str, input: tuple[int, ...], weight: tuple[int, ...], *words: str, **options: Any) -> ErrorCase:
    return ErrorCase(id, {"input": Array(input), "weight": Array(weight), **options}, ValueError, ("conv2d", *words))


ERRORS = (
    _error("channel-mismatch", (2, 3, 8, 8), (4, 5, 3, 3), "3 channels", "(4, 5, 3, 3)", "expects 5", "(2, 3, 8, 8)"),
    _error("nhwc-input", (2, 8, 8, 3), (4, 3, 3, 3), "8 channels", "did you mean input.permute(0, 3, 1, 2)?"),
    _error("kernel-too-large", (1, 2, 4, 9), (3, 2, 5, 5), "height", "covers 5", "has 4", "more padding"),
    _error("dilated-kernel-too-wide", (1, 2, 9, 4), (3, 2, 3, 3), "width", "covers 5", "has 4", dilation=2),
    _error("stride-zero", (1, 2, 4, 4), (3, 2, 3, 3), "stride is (0, 1)", stride=(0, 1)),
    _error("stride-negative", (1, 2, 4, 4), (3, 2, 3, 3), "stride is (-1, -1)", stride=-1),
    _error("dilation-zero", (1, 2, 4, 4), (3, 2, 3, 3), "dilation is (0, 0)", dilation=0),
    _error("padding-negative", (1, 2, 4, 4), (3, 2, 3, 3), "padding is (-1, -1)", padding=-1),
    _error("padding-word", (1, 2, 4, 4), (3, 2, 3, 3), "'full'", "'same'", padding="full"),
    _error("same-with-stride", (1, 2, 4, 4), (3, 2, 3, 3), "'same'", "stride 1", padding="same", stride=2),
    _error("groups-zero", (1, 2, 4, 4), (3, 2, 3, 3), "groups is 0", groups=0),
    _error("groups-do-not-divide-filters", (1, 4, 4, 4), (3, 2, 3, 3), "3 output channels", "groups=2", groups=2),
    _error("groups-do-not-fit-input", (1, 4, 4, 4), (6, 2, 3, 3), "4 channels", "groups=3 expects 6", groups=3),
    _error("rank-2-input", (4, 4), (3, 2, 3, 3), "2 dimensions", "(N, C, H, W)"),
    _error("rank-3-weight", (1, 2, 4, 4), (3, 2, 3), "weight", "3 dimensions"),
    _error("bias-shape", (1, 2, 4, 4), (3, 2, 3, 3), "bias", "(2,)", "(3,)", bias=Array((2,))),
    _error("activation", (1, 2, 4, 4), (3, 2, 3, 3), "'gelu'", "'relu'", activation="gelu"),
    _error("padding-three-numbers", (1, 2, 4, 4), (3, 2, 3, 3), "padding has 3 values", padding=(1, 2, 3)),
    _error("absurd-padding", (1, 2, 4, 4), (3, 2, 3, 3), "padding", padding=2**62),
    _error("absurd-stride", (1, 2, 4, 4), (3, 2, 3, 3), "stride", stride=2**62),
    _error("absurd-dilation", (1, 2, 4, 4), (3, 2, 3, 3), "dilation", dilation=2**62),
    ErrorCase(
        "labels-as-input",
        {"input": Array((1, 2, 4, 4), kind="labels", high=3), "weight": Array((3, 2, 3, 3))},
        TypeError,
        ("conv2d", "int64"),
    ),
)

OPS = (
    Op(
        "conv2d",
        _run,
        CASES,
        reference=reference,
        torch=_torch,
        differentiable=("input", "weight", "bias"),
        errors=ERRORS,
        flops=_flops,
        bytes=_bytes,
    ),
)
