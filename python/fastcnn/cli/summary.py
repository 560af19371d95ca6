"""`fastcnn summary`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..models import create_model, list_models, model_entry, summarize
from .saved import load_model

NAME = "summary"
HELP = "list a model's layers, shapes, parameters and multiply-adds"
DESCRIPTION = (
    "List the layers of a model with output shapes (per image), parameters and multiply-adds (MACs, per image)."
)
EXAMPLES = """\
examples:
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
        help=f"a name ({', '.join(list_models())}), or a file or folder written by fastcnn train",
    )
    add("--num-classes", type=int, metavar="N", help="classes (default: the model's)")
    add("--in-channels", type=int, metavar="N", help="channels of the images (default: the model's)")
    add("--image-size", type=int, metavar="N", help="height and width of the images (default: the model's)")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    options = {key: getattr(arguments, key) for key in ("num_classes", "in_channels", "image_size")}
    options = {key: value for key, value in options.items() if value is not None}
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
        name, model = entry.name, create_model(entry.name, **options)
    summary = summarize(model, shape)
    if arguments.json:
        layers = [layer._asdict() for layer in summary.layers]
        print(json.dumps({"model": name, **summary._asdict(), "layers": layers}, indent=2))
        return
    print(f"{name}, input {' x '.join(map(str, shape))}\n\n{summary}")
    print(f"\n{summary.parameters:,} parameters, {summary.parameters * 4 / 1e6:.1f} MB in float32")
