"""CIFAR-10 in a few epochs: the network and the recipe published as airbench94, with fastcnn.

    python examples/cifar10_speedrun.py data/cifar10                        # 9.9 epochs, 94 % in the publication
    python examples/cifar10_speedrun.py data/cifar10 --epochs 2 --runs 3    # a short one, three seeds
    python examples/cifar10_speedrun.py data/cifar10 --optimizer muon --device cuda --precision bf16

The folder holds cifar-10-batches-bin (or -py), as `fastcnn train --data cifar10 --download` leaves it.

Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", 2024, arXiv:2404.00498: a first layer of frozen filters that
whiten 2 x 2 patches; three groups of two convolutions, 64, 256 and 256 wide, that start as the identity; batch norms
with a learned bias only, whose rate is 64 times larger; every image mirrored in every other epoch ("alternating flip")
and moved by up to two pixels; label smoothing; a triangle of learning rates; weights pulled towards their running mean
("lookahead"); at the end a mean over mirrored and moved test images. With Muon for the filters: airbench94_muon in
github.com/KellerJordan/cifar10-airbench.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.data import Dataset, load_cifar10

WIDTHS = (64, 256, 256)
TRANSLATE, LABEL_SMOOTHING, WHITEN_BIAS_EPOCHS, LOOKAHEAD_EVERY = 2, 0.2, 3, 5


# Network ----------------------------------------------------------------------------------------------------------


class Scale(nn.Module):
    """Multiplies the logits by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, input: fc.Tensor) -> fc.Tensor:
        return input * self.factor


def identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3 x 3 filters; the first ones pass their channel on."""
    layer = nn.Conv2d(channels_in, channels_out, 3, padding="same", bias=False)
    with fc.no_grad():
        first = nn.init.dirac_(fc.zeros(channels_in, channels_in, 3, 3))
        layer.weight[:channels_in] = first
    return layer


def norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def group(channels_in: int, channels_out: int) -> nn.Sequential:
    """(N, C_in, H, W) -> (N, C_out, H // 2, W // 2)."""
    return nn.Sequential(
        identity_convolution(channels_in, channels_out),
        nn.MaxPool2d(2),
        norm(channels_out),
        nn.GELU(),
        identity_convolution(channels_out, channels_out),
        norm(channels_out),
        nn.GELU(),
    )


def make_network(optimizer: str = "sgd", widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    """(N, 3, 32, 32) -> (N, 10)."""
    whiten = nn.Conv2d(3, 24, 2)
    whiten.weight.requires_grad_(False)
    head = nn.Linear(widths[-1], 10, bias=False)
    if optimizer == "muon":
        with fc.no_grad():
            head.weight.div_(head.weight.std())
    return nn.Sequential(
        whiten,
        nn.GELU(),
        group(24, widths[0]),
        group(widths[0], widths[1]),
        group(widths[1], widths[2]),
        nn.MaxPool2d(3),
        nn.Flatten(),
        head,
        Scale(1 / 9 if optimizer == "sgd" else 1 / widths[-1]),
    )


def whitening_filters(images: np.ndarray, eps: float = 5e-4) -> np.ndarray:
    """Filters (24, 3, 2, 2) whose outputs on 2 x 2 patches of the images are uncorrelated; and their negatives."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(2, 3))  # (N, 3, 31, 31, 2, 2)
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 12).astype(np.float64)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / np.sqrt(values + eps)).T[::-1].reshape(12, 3, 2, 2)
    return np.concatenate([filters, -filters]).astype(np.float32)


# Data -------------------------------------------------------------------------------------------------------------


class AugmentedImages:
    """All images on the device, normalised and reflected at the borders; batches are gathered, moved, mirrored there.

    Every image is mirrored in every other epoch; a random half begins with it.
    """

    def __init__(self, data: Dataset, batch_size: int, device: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        images = normalised(data)
        mirrored = self.rng.random(len(images)) < 0.5
        images[mirrored] = images[mirrored, :, :, ::-1]
        self.size = images.shape[2]
        margins = (TRANSLATE,) * 4
        self.images = fc.cat([F.pad(part, margins, "reflect") for part in fc.tensor(images).split(1000)]).to(device)
        self.labels = fc.tensor(data.labels).to(device)
        self.batch_size, self.device = batch_size, device

    def __len__(self) -> int:
        """Batches in an epoch; what is left over waits for another epoch."""
        return len(self.labels) // self.batch_size

    def epoch(self, number: int) -> Iterator[tuple[fc.Tensor, fc.Tensor]]:
        order = self.rng.permutation(len(self.labels))
        for i in range(len(self)):
            index = fc.tensor(order[i * self.batch_size : (i + 1) * self.batch_size]).to(self.device)
            images = self.moved(fc.index_select(self.images, 0, index))
            yield fc.flip(images, 3) if number % 2 else images, fc.index_select(self.labels, 0, index)

    def moved(self, images: fc.Tensor) -> fc.Tensor:
        """Random crops. The images stand in random order, so neighbours may share a position: one slice for each."""
        steps = 2 * TRANSLATE + 1
        counts = self.rng.multinomial(len(images), [1 / steps**2] * steps**2)
        ends = np.cumsum(counts)
        parts = []
        for place, (count, end) in enumerate(zip(counts.tolist(), ends.tolist(), strict=True)):
            y, x = divmod(place, steps)
            if count:
                parts.append(images[end - count : end, :, y : y + self.size, x : x + self.size])
        return fc.cat(parts)


def normalised(data: Dataset) -> np.ndarray:
    """(N, 3, H, W) float32 with mean 0 and standard deviation 1."""
    scale, shift = (values.reshape(1, -1, 1, 1) for values in data.affine)
    return (data.images * scale + shift).astype(np.float32)


def test_logits(model: nn.Module, images: fc.Tensor) -> fc.Tensor:
    """Half from an image and its mirror image, half from both moved by a pixel up-left and down-right."""

    def both(x: fc.Tensor) -> fc.Tensor:
        return (model(x) + model(fc.flip(x, 3))) * 0.5

    size = images.shape[2]
    wide = F.pad(images, (1, 1, 1, 1), "reflect")
    moved = [both(wide[:, :, shift : shift + size, shift : shift + size]) for shift in (0, 2)]
    return both(images) * 0.5 + (moved[0] + moved[1]) * 0.25


def accuracy(model: nn.Module, images: fc.Tensor, labels: fc.Tensor, logits: Callable[..., fc.Tensor]) -> float:
    model.eval()
    right = 0
    with fc.no_grad():
        for x, y in zip(images.split(1000), labels.split(1000), strict=True):
            right += int((logits(model, x).argmax(1) == y).sum().item())
    model.train()
    return right / len(labels)


# Recipe -----------------------------------------------------------------------------------------------------------


class Lookahead:
    """A running mean of the model's state, to which the model is set back at times."""

    def __init__(self, model: nn.Module) -> None:
        self.state = {key: value.clone() for key, value in model.state_dict().items() if value.is_floating_point()}

    def update(self, model: nn.Module, decay: float) -> None:
        with fc.no_grad():
            for key, value in model.state_dict().items():
                if key in self.state:
                    mean = self.state[key]
                    mean.mul_(decay).add_(value, alpha=1 - decay)
                    value.copy_(mean)


@dataclass
class Recipe:
    """An optimizer or two, what the learning rate does, and whether there is a lookahead."""

    optimizers: list[Any]
    schedulers: list[Any]
    filters: list[nn.Parameter]  # that are kept at a norm
    lookahead: Lookahead | None


def triangle(step: int, steps: int) -> float:
    """From 0.2 up to 1 within 23 % of the steps, then down to 0.07."""
    top = int(steps * 0.23)
    if step < top:
        return 0.2 + 0.8 * step / top
    return 1.0 - 0.93 * (step - top) / max(steps - top, 1)


def sgd_recipe(model: nn.Sequential, batch_size: int, steps: int) -> Recipe:
    """Nesterov SGD; rates and decays are given per 1024 images, independent of the momentum."""
    momentum = 0.85
    scale = 1024 * (1 + 1 / (1 - momentum))
    lr, decay = 11.5 / scale, 0.0153 * batch_size / scale
    biases = [m.bias for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    known = {id(p) for p in biases}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    optimizer = optim.SGD(
        [
            {"params": biases, "lr": lr * 64, "weight_decay": decay / (lr * 64)},
            {"params": others, "lr": lr, "weight_decay": decay / lr},
        ],
        momentum=momentum,
        nesterov=True,
    )
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: triangle(step, steps))
    return Recipe([optimizer], [scheduler], [], Lookahead(model))


def muon_recipe(model: nn.Sequential, batch_size: int, steps: int, whiten_steps: int) -> Recipe:
    """Muon for filters, SGD for the rest; rates fall linearly to 0."""
    decay = 2e-6 * batch_size
    filters = [p for p in model.parameters() if p.ndim == 4 and p.requires_grad]
    biases = [m.bias for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    rest = optim.SGD(
        [
            {"params": [params], "lr": lr, "weight_decay": decay / lr}
            if isinstance(params, fc.Tensor)
            else {"params": params, "lr": lr, "weight_decay": decay / lr}
            for params, lr in ((model[0].bias, 0.053), (biases, 0.053), (model[7].weight, 0.67))
        ],
        lr=0.053,
        momentum=0.85,
        nesterov=True,
    )
    muon = optim.Muon(filters, lr=0.24, momentum=0.6, weight_decay=0.0, ns_steps=3)

    def falling(total: int) -> Callable[[int], float]:
        return lambda step: max(1 - step / total, 0.0)

    shapes = [falling(whiten_steps), falling(steps), falling(steps)]
    schedulers = [optim.lr_scheduler.LambdaLR(rest, shapes), optim.lr_scheduler.LambdaLR(muon, falling(steps))]
    return Recipe([rest, muon], schedulers, filters, None)


def train(
    data: Any,
    *,
    optimizer: str = "sgd",
    epochs: float = 9.9,
    batch_size: int = 1024,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "float32",
    widths: Sequence[int] = WIDTHS,
    report: Callable[[str], None] = print,
) -> dict[str, float]:
    """Trains once.

    Args:
        data: `train` and `test` splits.
        optimizer: "sgd" or "muon".
        epochs: may be a fraction.
        batch_size: images in a step.
        seed: of weights, order and augmentation.
        device: where everything is.
        precision: "float32" or "bf16".
        widths: of the three groups.
        report: is given a line per epoch.

    Returns:
        {"accuracy": on the test images, "accuracy_tta": with test-time augmentation, "loss": of the last batch per
        image, "seconds": of training}.
    """
    fc.manual_seed(seed)
    start = time.perf_counter()
    images = AugmentedImages(data.train, batch_size, device, seed)
    if not len(images):
        raise ValueError(f"{len(data.train)} training images give no batch of {batch_size}")
    steps = math.ceil(len(images) * epochs)
    model = make_network(optimizer, widths)
    with fc.no_grad():
        sample = fc.tensor(whitening_filters(normalised(Dataset(
            data.train.images[:5000], data.train.labels[:5000], data.train.classes, data.train.mean, data.train.std
        ))))  # fmt: skip
        model[0].weight.copy_(sample)
    kind = fc.bfloat16 if precision == "bf16" else fc.float32
    model.to(device).to(kind)
    recipe = (
        sgd_recipe(model, batch_size, steps)
        if optimizer == "sgd"
        else muon_recipe(model, batch_size, steps, WHITEN_BIAS_EPOCHS * len(images))
    )

    def step(x: fc.Tensor, y: fc.Tensor, _trains_whiten_bias: bool) -> tuple[fc.Tensor, fc.Tensor]:
        logits = model(x.to(kind)).float()
        loss = F.cross_entropy(logits, y, label_smoothing=LABEL_SMOOTHING, reduction="sum")
        for part in recipe.optimizers:
            part.zero_grad()
        loss.backward()
        with fc.no_grad():
            for filters in recipe.filters:
                filters.mul_(math.sqrt(filters.shape[0]) / filters.norm())
        for part in (*recipe.optimizers, *recipe.schedulers):
            part.step()
        return loss, (logits.argmax(1) == y).float().mean()

    run = fc.capture(step)
    test_images = fc.tensor(normalised(data.test)).to(device).to(kind)
    test_labels = fc.tensor(data.test.labels).to(device)
    done, spent = 0, 0.0
    loss = right = fc.zeros(1)
    for epoch in range(math.ceil(epochs)):
        model[0].bias.requires_grad_(epoch < WHITEN_BIAS_EPOCHS)
        for x, y in images.epoch(epoch):
            loss, right = run(x, y, epoch < WHITEN_BIAS_EPOCHS)
            done += 1
            last = done >= steps
            if recipe.lookahead is not None and (last or done % LOOKAHEAD_EVERY == 0):
                if done % LOOKAHEAD_EVERY == 0:
                    recipe.lookahead.update(model, 0.95**5 * (done / steps) ** 3)
                if last:
                    recipe.lookahead.update(model, 1.0)
            if last:
                break
        per_image = loss.item() / batch_size
        spent += time.perf_counter() - start
        plain = accuracy(model, test_images, test_labels, lambda network, x: network(x))
        report(
            f"epoch {epoch + 1:2d}  loss {per_image:.4f}  training {right.item():.4f}  test {plain:.4f}  {spent:7.1f} s"
        )
        if not math.isfinite(per_image):
            raise FloatingPointError(f"the loss is {per_image} in epoch {epoch + 1}")
        start = time.perf_counter()
    augmented = accuracy(model, test_images, test_labels, test_logits)
    report(f"test with mirrored and moved images {augmented:.4f}")
    return {"accuracy": plain, "accuracy_tta": augmented, "loss": per_image, "seconds": spent}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, float]]:
    """The command line; returns the results of all runs."""
    parser = argparse.ArgumentParser(description="CIFAR-10 in a few epochs: airbench94's network and recipe.")
    parser.add_argument("data_dir", help="folder with cifar-10-batches-bin or cifar-10-batches-py")
    parser.add_argument(
        "--optimizer", choices=("sgd", "muon"), default="sgd", help="default sgd, with Nesterov momentum"
    )
    parser.add_argument("--epochs", type=float, help="default 9.9; 8 with muon")
    parser.add_argument("--batch-size", type=int, help="default 1024; 2000 with muon")
    parser.add_argument("--train-images", type=int, metavar="N", help="use the first N only")
    parser.add_argument("--test-images", type=int, metavar="N", help="use the first N only")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="with seeds from --seed on (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    options = parser.parse_args(arguments)
    data = load_cifar10(options.data_dir)
    data = data._replace(train=first(data.train, options.train_images), test=first(data.test, options.test_images))
    results = [
        train(
            data,
            optimizer=options.optimizer,
            epochs=options.epochs or (9.9 if options.optimizer == "sgd" else 8.0),
            batch_size=options.batch_size or (1024 if options.optimizer == "sgd" else 2000),
            seed=options.seed + run,
            device=options.device,
            precision=options.precision,
        )
        for run in range(options.runs)
    ]
    values = [result["accuracy_tta"] for result in results]
    print(f"mean of {len(values)}: {np.mean(values):.4f}, standard deviation {np.std(values):.4f}")
    return results


def first(data: Dataset, count: int | None) -> Dataset:
    return Dataset(data.images[:count], data.labels[:count], data.classes, data.mean, data.std, data.name)


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, FloatingPointError, ValueError) as error:
        sys.exit(f"cifar10_speedrun: error: {error}")
