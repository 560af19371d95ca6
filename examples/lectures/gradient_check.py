"""Always use the analytic gradient, but check its implementation with the numerical one.

    df/dx = lim (f(x + h) - f(x)) / h          one evaluation per number, exact to about h
    (f(x + h) - f(x - h)) / (2 h)              two evaluations, exact to about h^2

Too large an h cuts off the curve, too small an h drowns in rounding; in float64, 1e-5 to 1e-7 is right. Checking all
elements would take two passes each, so `grad_check_sparse` draws a few. It finds the sign bug planted below at once.

    python examples/lectures/gradient_check.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import nn


def make_network():
    fc.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    ).double()


def errors_by_step(steps):
    """|numerical - analytic| of d/dx of a loss, for one-sided and central differences, by h."""
    model = make_network()
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(3, 2, 6, 6)), fc.tensor(rng.integers(0, 5, 3))
    leaf = fc.tensor(x, requires_grad=True)
    loss = fc.functional.cross_entropy(model(leaf), target)
    loss.backward()
    place = (1, 0, 2, 3)

    def f(value):
        moved = x.copy()
        moved[place] = value
        with fc.no_grad():
            return fc.functional.cross_entropy(model(fc.tensor(moved)), target).item()

    here, analytic = x[place], leaf.grad.numpy()[place]
    one_sided = [abs((f(here + h) - f(here)) / h - analytic) for h in steps]
    central = [abs((f(here + h) - f(here - h)) / (2 * h) - analytic) for h in steps]
    return np.array(one_sided), np.array(central)


def check_layers():
    """Largest relative error of grad_check_sparse over the weights of every layer, right and with a planted sign."""
    model = make_network()
    rng = np.random.default_rng(1)
    x, target = fc.tensor(rng.normal(size=(3, 2, 6, 6))), fc.tensor(rng.integers(0, 5, 3))
    fc.functional.cross_entropy(model(x), target).backward()
    found = {}
    for path, p in model.named_parameters():
        kept = p.detach().clone()

        def f(values, p=p):
            p.detach().copy_(values)
            return fc.functional.cross_entropy(model(x), target)

        if path == "0.bias":
            continue  # batch norm takes the mean away again: the gradient is 0, and its numerical value pure rounding
        right = fc.grad_check_sparse(f, kept, p.grad, num_checks=10, h=1e-5).max()
        wrong = fc.grad_check_sparse(f, kept, -p.grad, num_checks=10, h=1e-5).min()
        p.detach().copy_(kept)
        found[path] = (float(right), float(wrong))
        print(f"{path:9} relative error at 10 places: {right:.1e}; with the sign turned: {wrong:.3f}")
    return found


def main(out=Path()):
    steps = np.logspace(-1, -13, 37)
    one_sided, central = errors_by_step(steps)
    found = check_layers()
    best = steps[central.argmin()]
    print(f"central differences are best at h = {best:.0e}: error {central.min():.1e}; one-sided {one_sided.min():.1e}")

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(steps, one_sided, "o-", markersize=3, label="one-sided")
    left.loglog(steps, central, "s-", markersize=3, label="central")
    left.loglog(steps[:14], 0.02 * steps[:14], "0.6", linestyle=":", label="proportional to h and h²")
    left.loglog(steps[:12], 0.02 * steps[:12] ** 2, "0.6", linestyle=":")
    left.set(title="Error of numerical gradients, float64", xlabel="step h", ylabel="|numerical - analytic|")
    left.legend()
    left.grid(alpha=0.3)
    rows = np.arange(len(found))
    right.barh(rows + 0.2, [r for r, _ in found.values()], 0.4, label="right gradient")
    right.barh(rows - 0.2, [w for _, w in found.values()], 0.4, color="C3", label="planted sign bug")
    right.axvline(1e-5, color="0.4", linestyle=":", label="limit 1e-5")
    right.set_xscale("log")
    right.set(title="grad_check_sparse, 10 places per weight", xlabel="relative error", xlim=(1e-13, 20))
    right.set(ylim=(-0.6, len(found) + 0.6), yticks=rows, yticklabels=list(found))
    right.legend(loc="upper center", fontsize=8, ncols=3)
    figure.savefig(Path(out) / "gradient_check.png", dpi=110)
    return {"layers": found, "steps": steps, "one-sided": one_sided, "central": central}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
