"""Accuracy and time of short trainings on CIFAR-10 in fastcnn and PyTorch: the same recipe, seed by seed.

    python -m bench.accuracy data/cifar10 speedrun --epochs 2 --train-images 10000 --runs 3
    python -m bench.accuracy data/cifar10 resnet20 --epochs 3 --train-images 10000 --runs 3

"speedrun" is examples/cifar10_speedrun.py (SGD) beside the same network and recipe in plain eager PyTorch, "resnet20"
is ResNet-20 with SGD, mirrored and moved images and a falling rate. Seeds choose weights, order and augmentation in
each library by its own generators: accuracies agree within their spread over seeds, not digit by digit. The runs take
turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import fastcnn as fc
from bench.models import Job
from bench.peer_torch_models import ResNet
from fastcnn import models, optim
from fastcnn.data import load_cifar10

Result = tuple[float, float]  # accuracy on the test images, seconds of training
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, MARGIN = 0.1, 0.9, 1e-4, 4  # of "resnet20"


def load_example() -> Any:
    """examples/cifar10_speedrun.py as a module."""
    path = Path(__file__).parent.parent / "examples" / "cifar10_speedrun.py"
    spec = importlib.util.spec_from_file_location("cifar10_speedrun", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# The speedrun in PyTorch -------------------------------------------------------------------------------------------


def identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3 x 3 filters; the first ones pass their channel on."""
    layer = nn.Conv2d(channels_in, channels_out, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:channels_in])
    return layer


def speedrun_group(channels_in: int, channels_out: int) -> list[nn.Module]:
    """(N, C_in, H, W) -> (N, C_out, H // 2, W // 2)."""
    layers: list[nn.Module] = []
    for i, inner in enumerate((channels_in, channels_out)):
        norm = nn.BatchNorm2d(channels_out, eps=1e-12, momentum=0.4)
        norm.weight.requires_grad_(False)
        pool = [] if i else [nn.MaxPool2d(2)]
        layers += [identity_convolution(inner, channels_out), *pool, norm, nn.GELU()]
    return layers


def speedrun_network(filters: np.ndarray, widths: Sequence[int]) -> nn.Sequential:
    """(N, 3, 32, 32) -> (N, 10), to be divided by 9."""
    whiten = nn.Conv2d(3, 24, 2)
    whiten.weight.data.copy_(torch.from_numpy(filters))
    whiten.weight.requires_grad_(False)
    layers: list[nn.Module] = [whiten, nn.GELU()]
    for inner, outer in zip((24, *widths), widths, strict=False):
        layers += speedrun_group(inner, outer)
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(widths[-1], 10, bias=False))


def moved(images: torch.Tensor, padded: torch.Tensor, reach: int, rng: np.random.Generator) -> torch.Tensor:
    """Random crops of padded images, one slice per position."""
    size, steps = images.shape[2], 2 * reach + 1
    place = torch.from_numpy(rng.integers(0, steps**2, len(images)))
    result = torch.empty_like(images)
    for p in range(steps**2):
        chosen = place == p
        result[chosen] = padded[chosen][:, :, p // steps : p // steps + size, p % steps : p % steps + size]
    return result


def torch_speedrun(example: Any, data: Any, epochs: float, batch_size: int, seed: int, widths: Sequence[int]) -> Result:
    """The recipe of the example, eager, in the memory format that is faster here."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    array = example.normalised(data.train)
    filters = example.whitening_filters(array[:5000])
    flipped = rng.random(len(array)) < 0.5
    array[flipped] = array[flipped, :, :, ::-1]
    images, labels = torch.from_numpy(array), torch.from_numpy(np.asarray(data.train.labels))
    reach = example.TRANSLATE
    padded = F.pad(images, (reach,) * 4, "reflect")
    model = speedrun_network(filters, widths).to(memory_format=torch.channels_last)
    per_epoch = len(images) // batch_size
    steps = math.ceil(per_epoch * epochs)
    scale = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = 11.5 / scale, 0.0153 * batch_size / scale
    biases = [m.bias for m in model if isinstance(m, nn.BatchNorm2d)]
    others = [p for p in model.parameters() if p.requires_grad and all(p is not b for b in biases)]
    optimizer = torch.optim.SGD(
        [
            {"params": biases, "lr": lr * 64, "weight_decay": decay / (lr * 64)},
            {"params": others, "lr": lr, "weight_decay": decay / lr},
        ],
        momentum=0.85,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: example.triangle(step, steps))
    mean = {key: value.clone() for key, value in model.state_dict().items() if value.is_floating_point()}
    done = 0
    for epoch in range(math.ceil(epochs)):
        model[0].bias.requires_grad_(epoch < example.WHITEN_BIAS_EPOCHS)
        order = torch.from_numpy(rng.permutation(len(images)))
        for i in range(per_epoch):
            index = order[i * batch_size : (i + 1) * batch_size]
            x = moved(images[index], padded[index], reach, rng)
            x = (x.flip(3) if epoch % 2 else x).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(
                model(x) / 9, labels[index], label_smoothing=example.LABEL_SMOOTHING, reduction="sum"
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            last = done >= steps
            pulls = [0.95**5 * (done / steps) ** 3] if done % example.LOOKAHEAD_EVERY == 0 else []
            for pull in [*pulls, 1.0] if last else pulls:
                with torch.no_grad():
                    for key, value in model.state_dict().items():
                        if key in mean:
                            value.copy_(mean[key].mul_(pull).add_(value, alpha=1 - pull))
            if last:
                break
    seconds = time.perf_counter() - start
    return torch_accuracy(model.eval(), example.normalised(data.test), data.test.labels, example.test_logits), seconds


def torch_accuracy(model: nn.Module, images: np.ndarray, labels: Any, logits: Callable[..., Any] | None) -> float:
    """On the test images; with test-time augmentation where `logits` is the example's."""

    def both(x: torch.Tensor) -> torch.Tensor:
        return (model(x) + model(x.flip(3))) * 0.5

    right, size = 0, images.shape[2]
    with torch.no_grad():
        for begin in range(0, len(images), 1000):
            x = torch.from_numpy(images[begin : begin + 1000])
            if logits is None:
                scores = model(x)
            else:
                wide = F.pad(x, (1, 1, 1, 1), "reflect")
                scores = both(x) * 0.5 + sum(both(wide[:, :, s : s + size, s : s + size]) for s in (0, 2)) * 0.25
            right += int((scores.argmax(1).numpy() == np.asarray(labels[begin : begin + 1000])).sum())
    return right / len(images)


# ResNet-20 in both -------------------------------------------------------------------------------------------------


def resnet20_batches(data: Any, example: Any, epochs: int, batch_size: int, seed: int) -> Any:
    """Mirrored and moved batches (images, labels, learning rate); the same for both libraries."""
    rng = np.random.default_rng(seed)
    images, labels = example.normalised(data.train), np.asarray(data.train.labels)
    size = images.shape[2]
    padded = np.pad(images, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    per_epoch = len(images) // batch_size
    for step in range(epochs * per_epoch):
        if step % per_epoch == 0:
            order = rng.permutation(len(images))
        index = order[step % per_epoch * batch_size :][:batch_size]
        batch = np.empty((batch_size, *images.shape[1:]), np.float32)
        for row, i in enumerate(index):
            y, x = rng.integers(0, 2 * MARGIN + 1, 2)
            crop = padded[i, :, y : y + size, x : x + size]
            batch[row] = crop[:, :, ::-1] if rng.random() < 0.5 else crop
        yield batch, labels[index], LEARNING_RATE * (1 + math.cos(math.pi * step / (epochs * per_epoch))) / 2


def fastcnn_resnet20(data: Any, example: Any, epochs: int, batch_size: int, seed: int) -> tuple[Result, Any]:
    """Trained and tested; also the weights that it began with."""
    fc.manual_seed(seed)
    model = models.create_model("resnet20", num_classes=10)
    begin = {name: np.array(t.detach().numpy()) for name, t in model.state_dict().items()}
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def step(x: fc.Tensor, y: fc.Tensor) -> fc.Tensor:
        optimizer.zero_grad()
        loss = fc.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run, spent = fc.capture(step), 0.0
    for images, labels, lr in resnet20_batches(data, example, epochs, batch_size, seed):
        start = time.perf_counter()
        optimizer.param_groups[0]["lr"] = lr
        run(fc.tensor(images), fc.tensor(labels))
        spent += time.perf_counter() - start
    test = fc.tensor(example.normalised(data.test)), fc.tensor(data.test.labels)
    return (example.accuracy(model, *test, lambda network, x: network(x)), spent), begin


def torch_resnet20(data: Any, example: Any, epochs: int, batch_size: int, seed: int, begin: Any) -> Result:
    """From the same weights on the same batches."""
    model = ResNet("resnet20", Job("resnet20", batch_size, size=32).classes)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in begin.items()})
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    spent = 0.0
    for images, labels, lr in resnet20_batches(data, example, epochs, batch_size, seed):
        start = time.perf_counter()
        optimizer.param_groups[0]["lr"] = lr
        x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        F.cross_entropy(model(x), torch.from_numpy(labels)).backward()
        optimizer.step()
        spent += time.perf_counter() - start
    return torch_accuracy(model.eval(), example.normalised(data.test), data.test.labels, None), spent


# Command line ------------------------------------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> list[tuple[Result, Result]]:
    """(fastcnn, PyTorch) for every seed."""
    example = load_example()
    data = load_cifar10(options.data_dir)
    data = data._replace(
        train=example.first(data.train, options.train_images), test=example.first(data.test, options.test_images)
    )
    pairs = []
    for seed in range(options.runs):
        if options.what == "speedrun":
            settings = {"epochs": options.epochs, "batch_size": options.batch_size, "seed": seed}
            result = example.train(data, **settings, widths=options.widths, report=lambda line: None)
            mine = result["accuracy_tta"], result["seconds"]
            peer = torch_speedrun(example, data, **settings, widths=options.widths)
        else:
            settings = {"epochs": math.ceil(options.epochs), "batch_size": options.batch_size, "seed": seed}
            mine, begin = fastcnn_resnet20(data, example, **settings)
            peer = torch_resnet20(data, example, **settings, begin=begin)
        pairs.append((mine, peer))
        print(
            f"seed {seed}: fastcnn {mine[0]:.4f} in {mine[1]:.1f} s, PyTorch {peer[0]:.4f} in {peer[1]:.1f} s",
            flush=True,
        )
    return pairs


def main(arguments: Sequence[str] | None = None) -> list[tuple[Result, Result]]:
    """Prints a line per seed and the means."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data_dir", help="folder with cifar-10-batches-bin or cifar-10-batches-py")
    parser.add_argument("what", choices=("speedrun", "resnet20"))
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--train-images", type=int, metavar="N", help="use the first N only")
    parser.add_argument("--test-images", type=int, metavar="N", help="use the first N only")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="seeds (default 3)")
    parser.add_argument("--threads", type=int, help="of both libraries; default: the CPUs of this process")
    parser.add_argument("--widths", type=int, nargs=3, default=(64, 256, 256), help="of the speedrun's groups")
    options = parser.parse_args(arguments)
    threads = options.threads or fc._C.num_threads()
    fc.set_num_threads(threads)
    torch.set_num_threads(threads)
    pairs = compare(options)
    mine, peers = (np.array(side) for side in zip(*pairs, strict=True))
    print(f"{options.what}, {options.epochs:g} epochs, {options.train_images or 'all'} images, {threads} threads:")
    for name, side in (("fastcnn", mine), ("PyTorch", peers)):
        print(f"  {name}: accuracy {side[:, 0].mean():.4f} +- {side[:, 0].std():.4f}, {side[:, 1].mean():.1f} s")
    print(f"  PyTorch's time / fastcnn's: {(peers[:, 1] / mine[:, 1]).mean():.2f}")
    return pairs


if __name__ == "__main__":
    main()
