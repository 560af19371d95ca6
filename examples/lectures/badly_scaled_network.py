"""A network of two units that fits badly because its weights are badly scaled, and what batch norm does about it.

    z = W x,  y = w31 relu(z1) + w32 relu(z2),  target |x1 + 1.1 x2|  on the nine points of {-1, 0, 1}^2.

Start (b): w1 = (-1, -1), w2 = (1, 1), w3 = (1, 1). Start (c): first layer times 100, second divided by 100. Both
compute the same y, with the loss sum (y - t)^2 = 0.06, but (c)'s gradients are 100 times smaller in the first layer and
100 times larger in the second, so no learning rate suits both: (b) fits in 9 steps at 0.1, (c) diverges from 5e-5 on,
and below that only w3 moves. Gradients here are those of half the loss, g_y = y - t, as in the printed table.

Batch norm of z cannot tell 100 z from z. It makes a rate of 0.1 possible for (c), too, and most of the error goes
within ten steps; but a step turns the large first layer by little, and it crawls from there: a help, no cure.

    python examples/lectures/badly_scaled_network.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim

POINTS = np.array([[a, b] for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)])
X, TARGET = fc.tensor(POINTS), fc.tensor(np.abs(POINTS @ [1.0, 1.1]))


class TwoUnits(nn.Module):
    """The network from start (b) with its first layer times `scale` and its second divided by it."""

    def __init__(self, scale=1.0, batch_norm=False):
        super().__init__()
        self.first = nn.Parameter(fc.tensor(scale * np.array([[-1.0, -1.0], [1.0, 1.0]])))
        self.second = nn.Parameter(fc.tensor(np.array([1.0, 1.0]) / scale))
        self.norm = nn.BatchNorm1d(2, dtype=fc.float64) if batch_norm else nn.Identity()

    def forward(self, x):
        return fc.mv(F.relu(self.norm(fc.matmul(x, self.first.t()))), self.second)


def losses(scale, rate, steps, batch_norm=False):
    """Sum of squared errors before every step and after the last, by gradient descent on all nine points."""
    model = TwoUnits(scale, batch_norm)
    optimizer = optim.SGD(model.parameters(), lr=rate)

    def step():
        loss = ((model(X) - TARGET) ** 2).sum()
        optimizer.zero_grad()
        (0.5 * loss).backward()
        optimizer.step()
        return loss

    step = fc.capture(step)  # recorded once, then replayed without Python
    return np.array([step().item() for _ in range(steps + 1)])


def symmetric_losses(rate, steps):
    """`losses` of start (c) for many steps: w2 = -w1 and w31 = w32 stay so, which leaves three numbers a, b and c.

    y = c |a x1 + b x2|, and points x and -x are alike; plain Python is fast enough for that.
    """
    a, b, c = 100.0, 100.0, 0.01
    points = [(x1, x2, abs(x1 + 1.1 * x2)) for x1, x2 in ((0, 1), (1, 0), (1, 1), (1, -1))]
    loss = 0.0
    for _ in range(steps + 1):
        loss = da = db = dc = 0.0
        for x1, x2, t in points:
            z = a * x1 + b * x2
            sign = (z > 0) - (z < 0)
            error = c * abs(z) - t
            loss += 2 * error * error  # both points of a pair
            da += error * c * sign * x1
            db += error * c * sign * x2
            dc += error * abs(z)
        a, b, c = a - rate * da, b - rate * db, c - rate * dc
    return loss


def best_step(scale, rates):
    """The rate whose single step leaves the smallest loss, and that loss."""
    after = [losses(scale, rate, 1)[1] for rate in rates]
    best = int(np.argmin(after))
    return rates[best], after[best]


def main(out=Path()):
    exact = TwoUnits()
    exact.first.detach().copy_(fc.tensor(np.array([[1.0, 1.1], [-1.0, -1.1]])))
    z = fc.matmul(X, TwoUnits().first.t()).detach()
    norm = nn.BatchNorm1d(2, dtype=fc.float64)
    results = {
        "start": [losses(scale, 0.0, 0)[0] for scale in (1.0, 100.0)],
        "guessed fit": ((exact(X) - TARGET) ** 2).sum().item(),
        "best step (b)": best_step(1.0, np.round(np.arange(0.10, 0.14, 0.001), 3)),
        "best step (c)": best_step(100.0, np.arange(1.60e-5, 1.74e-5, 1e-8)),
        "(b) 0.1": losses(1.0, 0.1, 100),
        "(b) 0.25": losses(1.0, 0.25, 100),
        "(c) 2e-5": losses(100.0, 2e-5, 100),
        "(c) 2e-5, 200,000 steps": symmetric_losses(2e-5, 200_000),
        "(c) 2e-5, 100 steps, both ways": (losses(100.0, 2e-5, 100)[-1], symmetric_losses(2e-5, 100)),
        "(c) 5e-5": losses(100.0, 5e-5, 10),
        "(b) with batch norm": losses(1.0, 0.1, 100, batch_norm=True),
        "(c) with batch norm": losses(100.0, 0.1, 20_000, batch_norm=True),
        "batch norm of 100 z and z": np.abs((norm(100 * z) - norm(z)).detach().numpy()).max(),
    }
    steps = int(np.argmax(results["(b) 0.1"] < 1e-4))
    results["(b) steps to 1e-4"] = steps
    print(f"loss at the start: (b) {results['start'][0]:.4f}, (c) {results['start'][1]:.4f}")
    print(f"guessed weights (1, 1.1), (-1, -1.1), (1, 1): loss {results['guessed fit']:.1e}")
    for start in "bc":
        rate, after = results[f"best step ({start})"]
        print(f"({start}) best single step: rate {rate:.4g}, loss {after:.5f}")
    print(f"(b) rate 0.1: {results['(b) 0.1'][1]:.6f} after one step, below 1e-4 after {steps}; rate 0.25 ends at "
          f"{results['(b) 0.25'][-1]:.2f}")  # fmt: skip
    print(f"(c) rate 2e-5: {results['(c) 2e-5, 200,000 steps']:.5f} after 200,000 steps; rate 5e-5: "
          f"{results['(c) 5e-5'][-1]:.3g} after 10")  # fmt: skip
    normed = results["(c) with batch norm"]
    good = results["(b) with batch norm"]
    print(f"with batch norm, rate 0.1: (b) {good[10]:.4f} after 10 steps, (c) {normed[10]:.4f} after 10, "
          f"{normed[-1]:.4f} after 20,000")  # fmt: skip

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for label, style in (("(b) 0.1", "C0-"), ("(c) 2e-5", "C3-"), ("(c) 5e-5", "C3:"), ("(b) with batch norm", "C0--"),
                         ("(c) with batch norm", "C3--")):  # fmt: skip
        text = label if "batch" not in label else f"{label}, 0.1"
        axes.loglog(np.arange(1, len(results[label]) + 1), np.maximum(results[label], 1e-10), style, label=text)
    axes.axhline(0.06, color="0.7", linewidth=0.8)
    axes.set(title="The same function from well scaled (b) and badly scaled (c) weights", xlabel="step",
             ylabel="loss, sum of squared errors", ylim=(1e-10, 1e5))  # fmt: skip
    axes.legend(loc="lower right", title="start and learning rate")
    axes.grid(alpha=0.3)
    figure.savefig(Path(out) / "badly_scaled_network.png", dpi=110)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
