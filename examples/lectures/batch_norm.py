"""One network with and without batch norm: how fast it learns, and how far its inner inputs drift.

    mu = mean over the batch,  sigma^2 = mean of (x - mu)^2
    y = gamma (x - mu) / sqrt(sigma^2 + eps) + beta

stands between a layer and its nonlinearity. While the layers below learn, the inputs of the layers above move: the
"internal covariate shift". Batch norm holds their mean and variance, so larger rates are possible, and the same
accuracy takes a fraction of the steps. Some newer networks do without; `norm=None` is one argument away.

    python examples/lectures/batch_norm.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import optim
from fastcnn.data import DataLoader
from fastcnn.models import create_model

CLASSES, GOAL = 6, 0.9


def gratings(count, seed):
    """Noisy images of stripes in six directions, of any phase."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    y, x = np.mgrid[:12, :12]
    angle = (labels * np.pi / CLASSES)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    waves = np.sin(1.3 * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return (waves + rng.normal(0, 0.8, waves.shape)).astype(np.float32)[:, None], labels


def run(norm, rate, steps=160):
    """Validation accuracy every ten steps, and mean and variance of what enters each ReLU behind a convolution."""
    fc.manual_seed(0)
    model = create_model(
        "classic_cnn", num_classes=CLASSES, in_channels=1, image_size=12, channels=(12, 16, 16), hidden=(32,), norm=norm
    )
    entering = {}
    for i in (1, 2, 3):
        layer = getattr(model, f"norm{i}" if norm else f"conv{i}")
        layer.register_forward_hook(lambda module, args, output, i=i: entering.update({i: output.detach()}))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    loader = DataLoader(gratings(1280, 0), batch_size=32, shuffle=True, seed=0)
    images, labels = (fc.tensor(part) for part in gratings(300, 1))
    accuracy, drift = [], []
    step = 0
    while step <= steps:
        for x, y in loader:
            if step % 10 == 0:
                with fc.no_grad():
                    accuracy.append(float((model.eval()(images).argmax(1) == labels).float().mean()))
            loss = F.cross_entropy(model.train()(x), y)
            seen = [entering[i].numpy() for i in (1, 2, 3)]
            drift.append([(float(s.mean((0, 2, 3)).std() + abs(s.mean())), float(s.var())) for s in seen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step > steps:
                break
    return np.array(accuracy), np.array(drift)


def main(out=Path()):
    runs = {
        "without, rate 0.01": run(None, 0.01),
        "without, rate 0.1": run(None, 0.1),
        "batch norm, rate 0.01": run("batch", 0.01),
        "batch norm, rate 0.1": run("batch", 0.1),
    }
    results = {}
    for name, (accuracy, drift) in runs.items():
        reached = np.nonzero(accuracy >= GOAL)[0]
        steps = int(reached[0]) * 10 if len(reached) else None
        variance = drift[:, 2, 1]
        results[name] = {"accuracy": accuracy, "steps": steps, "variance": variance, "mean": drift[:, 2, 0]}
        print(f"{name:22} {GOAL:.0%} after {steps} steps, finally {accuracy[-1]:.1%}; inputs of the last ReLU:")
        print(f"{'':22} variance {variance[0]:.3f} to {variance[-1]:.3f}, means {drift[0, 2, 0]:.3f} to", end="")
        print(f" {drift[-1, 2, 0]:.3f}")

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    styles = ["C3-", "C3:", "C0-", "C0--"]
    for style, (name, found) in zip(styles, results.items(), strict=True):
        left.plot(10 * np.arange(len(found["accuracy"])), found["accuracy"], style, label=name)
        middle.plot(found["mean"], style)
        right.semilogy(found["variance"], style)
    left.axhline(GOAL, color="0.7", linewidth=0.8)
    left.set(title="Validation accuracy", xlabel="step", ylabel="share right", ylim=(0, 1))
    left.legend(loc="lower right", fontsize=7)
    middle.set(
        title="Drift of the means of the last ReLU's inputs", xlabel="step", ylabel="|mean| + spread over channels"
    )
    right.set(title="Variance of the last ReLU's inputs", xlabel="step", ylabel="variance")
    figure.savefig(Path(out) / "batch_norm.png", dpi=110)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
