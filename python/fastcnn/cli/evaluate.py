"""`fastcnn eval`."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

from ..data import DATASETS, load_dataset
from ..nn import CrossEntropyLoss
from ..train.trainer import Trainer
from .saved import load_model

NAME = "eval"
HELP = "measure a trained model on test data"
DESCRIPTION = (
    "Measure loss and accuracy of a trained model on the test part of a data set: by default the one it was trained on."
)
EXAMPLES = """\
examples:
  fastcnn eval runs/lenet5-mnist5k
  fastcnn eval runs/lenet5-mnist5k/model.safetensors --data mnist --data-dir data/mnist --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="a file or folder written by fastcnn train")
    add("--data", metavar="NAME", help=f"{', '.join(DATASETS)} or FILE.npz (default: as in training)")
    add("--data-dir", metavar="DIR", help="folder with the data set's files (default: as in training)")
    add("--download", action="store_true", help="fetch missing files of the data set into --data-dir")
    add("--batch-size", type=int, default=256, metavar="N", help="images at a time (default 256)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all this process may use)")
    add("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or cuda:N")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Evaluates."""
    from .. import set_num_threads

    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    saved = load_model(arguments.checkpoint, arguments.device)
    training = saved.about.get("training", {})
    name = arguments.data or training.get("data")
    if name is None:
        raise ValueError(f"{saved.path} does not say what it was trained on; give --data")
    folder = arguments.data_dir or (
        training.get("data_dir") if arguments.data in (None, training.get("data")) else None
    )
    test = load_dataset(name, folder, arguments.download).test
    expected = tuple(saved.about["input_shape"])
    if test.sample_shape != expected or len(test.classes) != len(saved.about["classes"]):
        raise ValueError(
            f"{saved.path} takes {expected} images of {len(saved.about['classes'])} classes, but {test.name} has "
            f"{test.sample_shape} images of {len(test.classes)} classes"
        )
    test = replace(test, mean=saved.about["mean"], std=saved.about["std"])
    start = time.perf_counter()
    loss = CrossEntropyLoss(label_smoothing=training.get("label_smoothing", 0.0))
    result = Trainer(saved.model, None, loss).evaluate(test, arguments.batch_size)
    seconds = time.perf_counter() - start
    report = {
        "checkpoint": str(saved.path),
        "data": test.name,
        "samples": len(test),
        **result,
        "seconds": seconds,
        "images_per_second": len(test) / seconds,
    }
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print(
            f"{test.name}: accuracy {100 * result['accuracy']:.2f} %  loss {result['loss']:.4f}  ({len(test):,} "
            f"images, {report['images_per_second']:,.0f} images/s)"
        )
