"""What one perceptron can learn (AND, OR), what it cannot (XOR), and what two hidden units change.

A perceptron answers y = 1 where w x + b > 0 and -1 elsewhere, also at 0. Training looks at one sample after another and
acts on wrong answers y' only: w += alpha (y - y') x, with alpha = 1000 / (1000 + epoch). Its border is a line.

    python examples/lectures/perceptron.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.train import Perceptron, fit_perceptron

CORNERS = fc.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
PROBLEMS = {
    "AND": fc.tensor([-1.0, -1.0, -1.0, 1.0]),
    "OR": fc.tensor([-1.0, 1.0, 1.0, 1.0]),
    "XOR": fc.tensor([-1.0, 1.0, 1.0, -1.0]),
}


def fit_two_layers(target):
    """A 2-2-1 network: tanh(W x + c), then one linear unit, trained on the cross-entropy of its sign."""
    fc.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    labels = ((target + 1) / 2).reshape(4, 1)  # 1 and -1 become 1 and 0
    for _ in range(300):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(CORNERS), labels).backward()
        optimizer.step()
    return model


def draw(axes, answer, target, title):
    """Shades the half planes of both answers and marks the samples."""
    line = np.linspace(-0.5, 1.5, 201)
    x, y = np.meshgrid(line, line)
    grid = fc.tensor(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
    region = np.sign(answer(grid)).reshape(x.shape)
    axes.contourf(x, y, region, levels=[-2, 0, 2], colors=["#fde0d2", "#d3e5f5"])
    axes.contour(x, y, region, levels=[0], colors="0.4")
    for value, marker, color in ((1, "o", "C0"), (-1, "s", "C3")):
        points = CORNERS.numpy()[target.numpy() == value]
        axes.plot(points[:, 0], points[:, 1], marker, color=color, markersize=10, label=f"target {value:+d}")
    axes.set(title=title, xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xticks=[0, 1], yticks=[0, 1])


def main(out=Path()):
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    plots = figure.subplots(1, 4)
    right = {}
    for axes, (name, target) in zip(plots, PROBLEMS.items(), strict=False):
        fc.manual_seed(0)
        model = Perceptron(2)
        errors = fit_perceptron(model, CORNERS, target, epochs=100)
        right[name] = int((model(CORNERS) == target).sum())
        w, b = model.weight.tolist(), model.bias.item()
        print(f"{name:4} perceptron: {right[name]}/4 right, wrong answers per epoch {errors[:8]}", end="")
        print(f"{' ...' if len(errors) > 8 else ''}, border {w[0]:+.2f} x1 {w[1]:+.2f} x2 {b:+.2f} = 0")
        draw(axes, lambda x, model=model: model(x).numpy(), target, f"{name}: one perceptron, {right[name]}/4")

    model = fit_two_layers(PROBLEMS["XOR"])
    scores = model(CORNERS).detach().numpy()[:, 0]
    right["XOR 2-2-1"] = int((np.sign(scores) == PROBLEMS["XOR"].numpy()).sum())
    print(f"XOR  2-2-1 network: {right['XOR 2-2-1']}/4 right, scores {np.round(scores, 2).tolist()}")
    title = f"XOR: two hidden units, {right['XOR 2-2-1']}/4"
    draw(plots[3], lambda x: model(x).detach().numpy()[:, 0], PROBLEMS["XOR"], title)
    plots[3].legend(loc="upper right")
    figure.savefig(Path(out) / "perceptron.png", dpi=110)
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
