"""`fastcnn profile`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..autograd import no_grad
from ..models import create_model, list_models, model_entry
from ..nn import CrossEntropyLoss, Module
from ..ops.creation import randint, randn
from ..optim import SGD
from ..profiling import profile
from .saved import check_device, load_model

NAME = "profile"
HELP = "show where a model's time goes, layer by layer"
DESCRIPTION = """\
Run a model on random images and list for every layer and op: time, operations, bytes (every tensor read or written
once), share of the roofline (the shortest time in which this machine could do that, measured in the same run), and what
was fused into the kernel. Inference runs the model as fuse() makes it.
"""
EXAMPLES = """\
examples:
  fastcnn profile resnet50 --batch 8
  fastcnn profile resnet18 --batch 16 --train --sort time
  fastcnn profile mobilenet_v2 --size 160 --trace trace.json        open it in https://ui.perfetto.dev
  fastcnn profile runs/lenet5-mnist5k --unfused
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name, or a file or folder written by fastcnn train")
    add("--batch", type=int, default=1, metavar="N", help="images in the batch (default 1)")
    add("--size", type=int, metavar="N", help="height and width of the images (default: the model's)")
    add("--train", action="store_true", help="a training step: forward, loss, backward and SGD with momentum")
    add("--unfused", action="store_true", help="inference without folding batch norms and ReLUs into the layers")
    add("--precision", choices=("float32", "bf16"), default="float32", help="of weights and images (default float32)")
    add("--repeats", type=int, default=3, metavar="N", help="runs to take the mean of, after a first one (default 3)")
    add("--sort", choices=("order", "time"), default="order", help="of the rows: of execution (default), or by time")
    add("--trace", metavar="FILE", help="also write a Chrome trace")
    add("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or cuda:N")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all this process may use)")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    from .. import bfloat16, set_num_threads

    for option in ("batch", "size", "repeats"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise ValueError(f"--{option} is {value}, but at least 1 is expected")
    if arguments.train and arguments.unfused:
        raise ValueError("--unfused goes with inference: training never folds batch norms")
    check_device(arguments.device)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    name, model, shape = _model(arguments.model, arguments.size)
    model.to(arguments.device)
    images = randn(arguments.batch, *shape, device=arguments.device)
    if arguments.precision == "bf16":
        model.to(bfloat16)
        images = images.bfloat16()
    step = _train_step(model, images) if arguments.train else _inference(model, images, arguments.unfused)
    step()
    with profile() as measured:
        for _ in range(arguments.repeats):
            step()
    if arguments.json:
        rows = [asdict(row) for row in measured.rows(arguments.repeats)]
        print(json.dumps({"model": name, "seconds": measured.seconds / arguments.repeats, "layers": rows}, indent=2))
    else:
        kind = "training step" if arguments.train else "inference"
        size = " x ".join(map(str, images.shape))
        print(f"{name}, {kind}, input {size}, {arguments.precision}, mean of {arguments.repeats}\n")
        print(measured.table(arguments.repeats, sort=arguments.sort))
    if arguments.trace:
        measured.save_chrome_trace(arguments.trace)
        if not arguments.json:
            print(f"\nwrote {arguments.trace}: open it in https://ui.perfetto.dev or chrome://tracing")


def _model(name: str, size: int | None) -> tuple[str, Module, tuple[int, ...]]:
    """The model, its name and the shape of its images."""
    if name not in list_models() and Path(name).exists():
        if size is not None:
            raise ValueError(f"{name} is a trained model: its sizes are fixed")
        saved = load_model(name)
        return saved.about["model"]["name"], saved.model, tuple(saved.about["input_shape"])
    entry = model_entry(name)
    channels, height, width = entry.input_shape
    options: dict[str, Any] = {"image_size": size} if size is not None and entry.accepts("image_size") else {}
    return entry.name, create_model(entry.name, **options), (channels, size or height, size or width)


def _inference(model: Module, images: Any, unfused: bool) -> Callable[[], Any]:
    model.eval()
    network = model if unfused else model.fuse()
    return no_grad()(lambda: network(images))


def _train_step(model: Module, images: Any) -> Callable[[], Any]:
    model.train()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss = CrossEntropyLoss()
    labels: Any = None

    def step() -> None:
        nonlocal labels
        output = model(images)
        scores = output[0] if isinstance(output, tuple) else output
        if labels is None:
            labels = randint(0, scores.shape[1], (images.shape[0],), device=images.device)
        value = loss(scores.float(), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step
