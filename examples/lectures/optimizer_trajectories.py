"""Five optimizers on one surface, and one that jumps out of a local minimum.

Left: the valley f = (x^2 + 50 y^2) / 2, whose condition number is 50, from (-1, 0.35):

    SGD        w -= lr g
    momentum   v = rho v + g,  w -= lr v                      rolls on, and over the minimum
    Nesterov   the same, with g taken at w - lr rho v         looks ahead, overshoots less
    RMSProp    s = .9 s + .1 g^2,  w -= lr g / (sqrt(s) + eps)      equal steps along both axes
    Adam       momentum and RMSProp, both corrected for their start at 0

Right: f = (x^2 - 1)^2 + 0.3 x has a poor minimum near x = 0.96 and a better one near -1.04. Exact gradients end in
whichever is downhill; the noise of small batches, fading out, can carry a run across the ridge.

    python examples/lectures/optimizer_trajectories.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import nn, optim

CURVATURE = np.array([1.0, 50.0])
START = np.array([-1.0, 0.35])
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.015),
    "momentum": lambda p: optim.SGD(p, lr=0.005, momentum=0.9),
    "Nesterov": lambda p: optim.SGD(p, lr=0.005, momentum=0.9, nesterov=True),
    "RMSProp": lambda p: optim.RMSprop(p, lr=0.02, alpha=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.05),
}


def valley(w):
    return 0.5 * (fc.tensor(CURVATURE) * w * w).sum()


def trajectory(make, steps=150):
    """All positions (steps + 1, 2) and losses on the way."""
    w = nn.Parameter(fc.tensor(START))
    optimizer = make([w])
    positions, losses = [START], [valley(w).item()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(w).backward()
        optimizer.step()
        positions.append(w.detach().numpy().copy())
        losses.append(valley(w).item())
    return np.array(positions), np.array(losses)


def double_well(x):
    return (x * x - 1) ** 2 + 0.3 * x


def descend(noise, seed, steps=600):
    """Positions after every step of SGD whose gradients have noise that fades out linearly."""
    rng = np.random.default_rng(seed)
    x = nn.Parameter(fc.tensor([1.3], dtype=fc.float64))
    optimizer = optim.SGD([x], lr=0.02)
    path = [x.item()]
    for step in range(steps):
        optimizer.zero_grad()
        double_well(x).sum().backward()
        x.grad.add_(noise * (1 - step / steps) * rng.normal())
        optimizer.step()
        path.append(x.item())
    return np.array(path)


def main(out=Path()):
    paths = {name: trajectory(make) for name, make in OPTIMIZERS.items()}
    print("final loss, smallest first:")
    for name, (positions, losses) in sorted(paths.items(), key=lambda item: item[1][1][-1]):
        print(f"  {name:9} {losses[-1]:.2e}, farthest beyond the minimum x = {positions[:, 0].max():+.3f}")
    exact = descend(0.0, seed=0)
    noisy = [descend(12.0, seed) for seed in range(12)]
    escaped = sum(path[-1] < 0 for path in noisy)
    print(f"double well: exact gradients end at x = {exact[-1]:.3f}; with noise {escaped} of {len(noisy)} runs end in "
          f"the better minimum")  # fmt: skip

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x, y = np.meshgrid(np.linspace(-1.1, 0.6, 160), np.linspace(-0.4, 0.4, 160))
    left.contour(x, y, 0.5 * (x**2 + 50 * y**2), levels=np.logspace(-2, 1, 9), colors="0.8")
    for i, (name, (positions, losses)) in enumerate(paths.items()):
        left.plot(positions[:, 0], positions[:, 1], ".-", color=f"C{i}", markersize=3, linewidth=1, label=name)
        middle.semilogy(np.maximum(losses, 1e-16), color=f"C{i}", label=name)
    left.plot(0, 0, "k*", markersize=10)
    left.set(title="Trajectories on f = (x² + 50 y²) / 2", xlabel="x", ylabel="y")
    middle.set(title="Loss", xlabel="step", ylabel="f", ylim=(1e-10, 10))
    middle.legend(loc="lower left")
    middle.grid(alpha=0.3)
    right.plot(exact, "C0", label="exact gradients")
    for i, path in enumerate(noisy[:5]):
        right.plot(path, "C3", alpha=0.5, linewidth=0.8, label="noise that fades out" if i == 0 else None)
    for position, text in ((0.96, "poor minimum"), (-1.04, "better minimum")):
        right.axhline(position, color="0.6", linestyle=":", linewidth=1)
        right.text(600, position + 0.3, text, ha="right", color="0.3")
    right.set(title="f = (x² - 1)² + 0.3 x, from x = 1.3", xlabel="step", ylabel="x")
    right.legend(loc="center right")
    figure.savefig(Path(out) / "optimizer_trajectories.png", dpi=110)
    return {"paths": paths, "exact": exact, "escaped": escaped, "runs": len(noisy)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
