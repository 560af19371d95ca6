"""Losses of distributions, of unbalanced classes and of masks; textbook squared losses; penalties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function
from .margin_losses import REDUCTIONS, reduce, signs

UNIT: dict[str, Any] = {"low": 0.05, "high": 0.95}


def _batchmean(losses: Any, reduction: str) -> Any:
    return losses.sum() / len(losses) if reduction == "batchmean" else reduce(losses, reduction)


def _kl(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    if log_target:
        return _batchmean(np.exp(target) * (target - input), reduction)
    return _batchmean(target * (np.log(np.where(target > 0, target, 1.0)) - input), reduction)


def _gaussian(input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    v = np.maximum(var, eps)
    losses = 0.5 * (np.log(v) + (input - target) ** 2 / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)
    return reduce(losses, reduction)


def _poisson(input: Any, target: Any, log_input: bool = True, full: bool = False, reduction: str = "mean") -> Any:
    losses = np.exp(input) - target * input if log_input else input - target * np.log(input + 1e-8)
    if full:
        t = np.maximum(target, 1.0)
        losses = losses + np.where(target > 1, t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t), 0.0)
    return reduce(losses, reduction)


def _soft_margin(input: Any, target: Any, reduction: str = "mean") -> Any:
    return reduce(np.logaddexp(0.0, -target * input), reduction)


def _multilabel(input: Any, target: Any, weight: Any = 1.0, reduction: str = "mean") -> Any:
    losses = target * np.logaddexp(0.0, -input) + (1 - target) * np.logaddexp(0.0, input)
    return reduce((losses * weight).mean(axis=-1), reduction)


def _focal(inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> Any:
    p = 1 / (1 + np.exp(-inputs))
    p_t = p * targets + (1 - p) * (1 - targets)
    entropy = -(targets * np.log(p) + (1 - targets) * np.log1p(-p))
    losses = entropy * (1 - p_t) ** gamma
    return reduce(losses * (alpha * targets + (1 - alpha) * (1 - targets)) if alpha >= 0 else losses, reduction)


def _torch_focal(inputs: Any, targets: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> Any:
    import torch

    p = torch.sigmoid(inputs)
    p_t = p * targets + (1 - p) * (1 - targets)
    losses = torch_function("binary_cross_entropy_with_logits")(inputs, targets, reduction="none") * (1 - p_t) ** gamma
    losses = losses * (alpha * targets + (1 - alpha) * (1 - targets)) if alpha >= 0 else losses
    return reduce(losses, reduction)


def _dice(input: Any, target: Any, smooth: float = 1.0, reduction: str = "mean") -> Any:
    pixels = tuple(range(2, input.ndim))
    overlap = (input * target).sum(pixels)
    return reduce(1 - (2 * overlap + smooth) / (input.sum(pixels) + target.sum(pixels) + smooth), reduction)


def _squares(factor: float) -> Any:
    def loss(input: Any, target: Any, reduction: str = "mean") -> Any:
        return reduce(factor * ((input - target) ** 2).reshape(len(input), -1).sum(1), reduction)

    return loss


def _op(run: Any, reference: Any, torch: Any, cases: tuple[Case, ...], wanted: tuple[str, ...] = ()) -> Op:
    first, second = list(cases[0].args)[:2]
    error = {**cases[0].args, first: Array((4, 3)), second: Array((4, 2))}
    dtype = {**cases[0].args, second: Array(np.shape(np.zeros(cases[0].args[first].shape)), "labels", high=2)}
    errors = (
        ErrorCase("shapes", error, ValueError, (run.__name__, "(4, 2)", "equal")),
        ErrorCase("dtype", dtype, TypeError, (run.__name__, second, "int64")),
    )
    return Op(run.__name__, run, cases, reference, torch, wanted or (first, second), errors)


def _case(title: str, **args: Any) -> Case:
    terms = 8 * max(int(np.prod(a.shape)) for a in args.values() if hasattr(a, "shape"))
    return Case(title, args, terms=terms, terms_grad=terms)


def _list(parameters: Any) -> list[Any]:
    return parameters if isinstance(parameters, list) else [parameters]


NORMAL = Array((5, 7), "normal")

OPS = (
    _op(
        F.kl_div,
        _kl,
        torch_function("kl_div"),
        (
            *(
                _case(r, input=Array((5, 7), low=-3.0, high=-0.1), target=Array((5, 7), "probabilities"), reduction=r)
                for r in (*REDUCTIONS, "batchmean")
            ),
            _case("log", input=NORMAL, target=NORMAL, log_target=True, reduction="sum"),
        ),
    ),
    _op(
        F.gaussian_nll_loss,
        _gaussian,
        torch_function("gaussian_nll_loss"),
        tuple(
            _case(f"{r}-full{full}", input=NORMAL, target=NORMAL, var=Array((5, 7), **UNIT), reduction=r, full=full)
            for r, full in zip(REDUCTIONS, (False, True, False), strict=True)
        ),
        ("input", "target", "var"),
    ),
    _op(
        F.poisson_nll_loss,
        _poisson,
        torch_function("poisson_nll_loss"),
        (
            *(_case(r, input=NORMAL, target=Array((5, 7), low=0.0, high=5.0), reduction=r) for r in REDUCTIONS),
            _case("full", input=NORMAL, target=Array((5, 7), low=1.5, high=5.0), full=True),
            _case("rate", input=Array((9,), **UNIT), target=Array((9,), low=0.0, high=5.0), log_input=False),
        ),
        ("input",),
    ),
    _op(
        F.soft_margin_loss,
        _soft_margin,
        torch_function("soft_margin_loss"),
        tuple(_case(r, input=NORMAL, target=signs(5, 7), reduction=r) for r in REDUCTIONS),
        ("input",),
    ),
    _op(
        F.multilabel_soft_margin_loss,
        _multilabel,
        torch_function("multilabel_soft_margin_loss"),
        (
            *(_case(r, input=NORMAL, target=(signs(5, 7) + 1) / 2, reduction=r) for r in REDUCTIONS),
            _case("weight", input=NORMAL, target=(signs(5, 7) + 1) / 2, weight=np.linspace(0.5, 2.0, 7)),
        ),
        ("input",),
    ),
    _op(
        F.sigmoid_focal_loss,
        _focal,
        _torch_focal,
        (
            *(_case(r, inputs=NORMAL, targets=(signs(5, 7) + 1) / 2, reduction=r) for r in REDUCTIONS),
            _case("gamma", inputs=NORMAL, targets=(signs(5, 7) + 1) / 2, alpha=-1.0, gamma=1.5),
        ),
        ("inputs",),
    ),
    _op(
        F.dice_loss,
        _dice,
        _dice,
        (
            *(
                _case(r, input=Array((2, 3, 4, 5), **UNIT), target=Array((2, 3, 4, 5), **UNIT), reduction=r)
                for r in REDUCTIONS
            ),
            _case("volume", input=Array((2, 1, 2, 3, 4), **UNIT), target=Array((2, 1, 2, 3, 4), **UNIT), smooth=0.0),
        ),
    ),
    _op(
        F.sum_square_loss,
        _squares(1.0),
        _squares(1.0),
        (
            *(_case(r, input=Array((3, 4, 2), "normal"), target=Array((3, 4, 2), "normal"), reduction=r)
              for r in REDUCTIONS),
            _case("vector", input=Array((5,), "normal"), target=Array((5,), "normal")),
        ),
    ),
    _op(
        F.half_square_loss,
        _squares(0.5),
        _squares(0.5),
        tuple(_case(r, input=NORMAL, target=NORMAL, reduction=r) for r in REDUCTIONS),
    ),
    *(
        Op(
            run.__name__,
            run,
            (
                _case("one", parameters=Array((5, 7), "normal"), **options),
                Case(
                    "two",
                    {"parameters": [Array((5, 7), "normal"), Array((3,), "normal")], **options},
                    terms=200,
                    terms_grad=200,
                ),
            ),
            reference,
            reference,
            ("parameters",),
            (ErrorCase("empty", {"parameters": []}, ValueError, (run.__name__, "empty")),),
        )
        for run, options, reference in (
            (F.l2_penalty, {}, lambda parameters: sum((p**2).sum() for p in _list(parameters))),
            (F.l1_penalty, {}, lambda parameters: sum(abs(p).sum() for p in _list(parameters))),
            (
                F.elastic_net_penalty,
                {"beta": 0.3},
                lambda parameters, beta: sum((beta * p**2 + abs(p)).sum() for p in _list(parameters)),
            ),
        )
    ),
)  # fmt: skip
