"""Why deeper plain networks train worse, and how shortcuts turn that around.

A deeper network could copy a shallower one and let its other layers do nothing, so it should never fit the training
data worse. Plain stacks of layers do: doing nothing is hard to learn. A residual block computes y = F(x) + x, and doing
nothing is F = 0; here the blocks even start so, by scales of 0 in their last batch norms. The networks are those of He
et al., with 20 and 56 layers, on small images of noisy stripes.

    python examples/lectures/depth.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import optim
from fastcnn.models import create_model
from fastcnn.models.resnet import zero_init_residual

CLASSES, STEPS, BATCH = 6, 50, 24


def batches():
    """The same noisy stripes in six directions for every network."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:8, :8]
    for _ in range(STEPS):
        labels = rng.integers(0, CLASSES, BATCH)
        angle = (labels * np.pi / CLASSES)[:, None, None]
        waves = np.sin(1.5 * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 2 * np.pi, (BATCH, 1, 1)))
        yield fc.tensor((waves + rng.normal(0, 0.3, waves.shape)).astype(np.float32)[:, None]), fc.tensor(labels)


def train(name, shortcut):
    """The training loss of every step."""
    fc.manual_seed(0)
    model = create_model(name, num_classes=CLASSES, in_channels=1, shortcut=shortcut)
    if shortcut != "none":
        zero_init_residual(model)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for images, labels in batches():
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def main(out=Path()):
    runs = {
        f"{kind}-{depth}": train(f"resnet{depth}", shortcut)
        for kind, shortcut in (("plain", "none"), ("ResNet", "A"))
        for depth in (20, 56)
    }
    results = {name: (losses, float(losses[-15:].mean())) for name, losses in runs.items()}
    for name, (losses, last) in results.items():
        print(f"{name:9} training loss {losses[0]:.2f} at the start, {last:.3f} over the last 15 steps")

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, (losses, _)), style in zip(results.items(), ("C3-", "C3--", "C0-", "C0--"), strict=True):
        smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")
        axes.plot(np.arange(len(smooth)) + 5, smooth, style, label=name)
    axes.axhline(np.log(CLASSES), color="0.7", linewidth=0.8)
    axes.text(STEPS, np.log(CLASSES) + 0.02, "guessing", ha="right", color="0.4")
    axes.set(title="20 and 56 layers, plain and residual", xlabel="step", ylabel="training loss (mean of 5 steps)")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(Path(out) / "depth.png", dpi=110)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
