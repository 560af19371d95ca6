"""`fastcnn summary`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..models import create_model, list_models, model_entry, summarize
from ..nn import init
from .saved import load_model

NAME = "summary"
HELP = "list a model's layers, shapes, parameters and multiply-adds"
DESCRIPTION = (
    "List the layers of a model with output shapes (per image), parameters and multiply-adds (MACs, per image)."
)
EXAMPLES = """\
examples:
  fastcnn summary
  fastcnn summary lenet5
  fastcnn summary lenet5 --in-channels 3 --image-size 32
  fastcnn summary runs/lenet5-mnist5k --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a name, or a file or folder written by fastcnn train; all names are listed where it is missing",
    )
    add("--num-classes", type=int, metavar="N", help="classes (default: the model's)")
    add("--in-channels", type=int, metavar="N", help="channels of the images (default: the model's)")
    add("--image-size", type=int, metavar="N", help="height and width of the images (default: the model's)")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    options = {key: getattr(arguments, key) for key in ("num_classes", "in_channels", "image_size")}
    options = {key: value for key, value in options.items() if value is not None}
    if arguments.model is None:
        if options:
            raise ValueError(f"--{next(iter(options)).replace('_', '-')} goes with a MODEL")
        _list(arguments.json)
        return
    if arguments.model not in list_models() and Path(arguments.model).exists():
        if options:
            raise ValueError(f"{arguments.model} is a trained model: its sizes are fixed")
        saved = load_model(arguments.model)
        name, model, shape = saved.about["model"]["name"], saved.model, tuple(saved.about["input_shape"])
    else:
        entry = model_entry(arguments.model)
        channels, height, width = entry.input_shape
        size = options.get("image_size")
        shape = (options.get("in_channels", channels), size or height, size or width)
        if not entry.accepts("image_size"):
            options.pop("image_size", None)
        with init.skip():
            name, model = entry.name, create_model(entry.name, **options)
    summary = summarize(model, shape)
    if arguments.json:
        layers = [layer._asdict() for layer in summary.layers]
        print(json.dumps({"model": name, **summary._asdict(), "layers": layers}, indent=2))
        return
    print(f"{name}, input {' x '.join(map(str, shape))}\n\n{summary}")
    layers_deep = f"{summary.depth} layer{'s' if summary.depth != 1 else ''} with weights deep"
    print(f"\n{summary.parameters:,} parameters, {summary.parameters * 4 / 1e6:.1f} MB in float32, {layers_deep}")


def _list(as_json: bool) -> None:
    """Prints what is known about every registered model."""
    found: dict[str, dict[str, Any]] = {}
    for name in list_models():
        shape = model_entry(name).input_shape
        with init.skip():
            summary = summarize(create_model(name), shape)
        found[name] = {
            "input_shape": shape, "parameters": summary.parameters, "macs": summary.macs, "depth": summary.depth
        }  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=2))
        return
    width = max(len(name) for name in found)
    print(f"{'model':{width}}  {'input':>13}  {'parameters':>11}  {'multiply-adds':>14}  {'depth':>5}")
    for name, row in found.items():
        size = " x ".join(map(str, row["input_shape"]))
        print(f"{name:{width}}  {size:>13}  {row['parameters']:>11,}  {row['macs']:>14,}  {row['depth']:>5}")
