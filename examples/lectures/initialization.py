"""How the scale of the starting weights decides whether a deep network hears anything at all.

x of 16 samples passes through six layers of 4096 units, x = f(W x), W ~ N(0, std^2):

    std 0.01, tanh            activations vanish, and with them the gradients
    std 0.05, tanh            units saturate at -1 and 1, where tanh is flat
    std 1 / sqrt(n), tanh     "Xavier": the width of the distributions stays
    std 1 / sqrt(n), ReLU     half of the inputs are cut off: the power halves with every layer
    std sqrt(2 / n), ReLU     He: twice the variance makes up for it

    python examples/lectures/initialization.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F

WIDTH, LAYERS, SAMPLES = 4096, 6, 16
SETUPS = {
    "tanh, std 0.01": (F.tanh, 0.01),
    "tanh, std 0.05": (F.tanh, 0.05),
    "tanh, std 1/√n": (F.tanh, WIDTH**-0.5),
    "ReLU, std 1/√n": (F.relu, WIDTH**-0.5),
    "ReLU, std √(2/n)": (F.relu, (2 / WIDTH) ** 0.5),
}


def activations():
    """The outputs of every layer of every setup; all setups share the same random numbers."""
    fc.manual_seed(0)
    x = fc.randn(SAMPLES, WIDTH)
    current = dict.fromkeys(SETUPS, x)
    seen = {name: [] for name in SETUPS}
    for _ in range(LAYERS):
        weight = fc.randn(WIDTH, WIDTH)
        for name, (function, std) in SETUPS.items():
            current[name] = function(F.linear(current[name], weight) * std)
            seen[name].append(current[name].numpy().ravel())
    return seen


def main(out=Path()):
    seen = activations()
    sizes = {}
    for name, layers in seen.items():
        relu = name.startswith("ReLU")
        sizes[name] = [float(np.sqrt((a**2).mean()) if relu else a.std()) for a in layers]
        print(f"{name:17} {'rms' if relu else 'std'} per layer: {' '.join(f'{s:.2f}' for s in sizes[name])}")

    figure = Figure(figsize=(13, 9), layout="constrained")
    plots = figure.subplots(len(SETUPS), LAYERS)
    for row, (name, layers) in zip(plots, seen.items(), strict=True):
        relu = name.startswith("ReLU")
        edges = np.linspace(0, 2, 41) if relu else np.linspace(-1, 1, 41)
        for i, (axes, values) in enumerate(zip(row, layers, strict=True)):
            axes.hist(values[values > 0] if relu else values, edges, color="C1" if relu else "C0", density=True)
            axes.set_title(f"layer {i + 1}: {'rms' if relu else 'std'} {sizes[name][i]:.2f}", fontsize=9)
            axes.tick_params(labelsize=7)
            axes.set_yticks([])
        row[0].set_ylabel(name)
    figure.suptitle("Activations of six layers of 4096 units (ReLU: of the units that are on)")
    figure.supxlabel("activation")
    figure.savefig(Path(out) / "initialization.png", dpi=80)
    return sizes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
