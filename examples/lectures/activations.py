"""All activation functions and their derivatives.

    sigmoid   1 / (1 + exp(-x))          f' = f (1 - f), at most 1/4: gradients vanish behind many of them
    tanh      2 sigmoid(2 x) - 1         f' = 1 - f^2
    ReLU      max(0, x)                  f' = 1 where x > 0: no saturation, but units that are never on do not learn
    leaky     max(0.01 x, x)             always learns
    ELU, SELU, GELU, SiLU, Mish, softplus: smooth relatives;  hard ones: cheap imitations by straight pieces

The derivatives come from autograd, with a cotangent of ones: each output depends on its own input only.

    python examples/lectures/activations.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F

FUNCTIONS = {
    "linear": lambda x: x * 1.0, "sigmoid": F.sigmoid, "tanh": F.tanh, "ReLU": F.relu, "leaky ReLU": F.leaky_relu,
    "PReLU, a = 1/4": lambda x: F.prelu(x, fc.tensor([0.25], dtype=fc.float64)), "ReLU6": F.relu6, "ELU": F.elu,
    "SELU": F.selu, "CELU": F.celu, "GELU": F.gelu, "SiLU (swish)": F.silu, "Mish": F.mish, "softplus": F.softplus,
    "softsign": F.softsign, "hardtanh": F.hardtanh, "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "log sigmoid": F.logsigmoid, "sign": fc.sign,
}  # fmt: skip


def main(out=Path()):
    x = np.linspace(-7, 7, 701)
    results = {}
    figure = Figure(figsize=(13, 8), layout="constrained")
    for axes, (name, function) in zip(figure.subplots(4, 5).ravel(), FUNCTIONS.items(), strict=True):
        leaf = fc.tensor(x, requires_grad=True)
        y = function(leaf)
        y.sum().backward()
        results[name] = (y.detach().numpy(), leaf.grad.numpy())
        axes.axhline(0, color="0.8", linewidth=0.8)
        axes.axvline(0, color="0.8", linewidth=0.8)
        axes.plot(x, results[name][0], "C0", label="f(x)")
        axes.plot(x, results[name][1], "C3--", label="f'(x)")
        axes.set(title=name, ylim=(-2, 3), xlim=(-7, 7))
        steepest, middle = results[name][1].max(), results[name][1][350]
        flat = float((np.abs(results[name][1]) < 0.01).mean())
        print(f"{name:15} f'(0) = {middle:.3f}, steepest {steepest:.3f}, flat (|f'| < .01) on {flat:.0%} of [-7, 7]")
    figure.axes[0].legend(loc="lower right", fontsize=8)
    figure.suptitle("Activation functions and their derivatives")
    figure.supxlabel("x")
    figure.savefig(Path(out) / "activations.png", dpi=90)
    return {"x": x, "curves": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
