"""Which values share a mean and a variance in batch, layer, instance and group normalisation.

All of them compute gamma (x - mu) / sqrt(sigma^2 + eps) + beta; they differ in the axes of (N, C, H, W) that mu and
sigma are taken over: batch norm (N, H, W), layer norm (C, H, W), instance norm (H, W), group norm (H, W) and a group of
channels. Seen from one value, the others of its group are found by experiment: a 1 in a tensor of zeros changes just
the values it shares its statistics with.

    python examples/lectures/normalization_axes.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import nn

N, C, H, W = 4, 6, 3, 3
AT = (1, 2, 1, 1)  # the value that is looked at
LAYERS = {
    "batch norm": nn.BatchNorm2d(C),
    "layer norm": nn.LayerNorm((C, H, W)),
    "instance norm": nn.InstanceNorm2d(C),
    "group norm, 2 groups": nn.GroupNorm(2, C),
}


def main(out=Path()):
    masks = {}
    for name, layer in LAYERS.items():
        x = fc.zeros(N, C, H, W)
        x[AT] = 1.0
        masks[name] = layer(x).detach().numpy() != 0
        print(f"{name:20} {int(masks[name].sum()):3} of {N * C * H * W} values share a mean")

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (name, mask) in zip(figure.subplots(1, 4), masks.items(), strict=True):
        picture = mask.reshape(N, C, H * W).transpose(0, 2, 1).reshape(N * H * W, C)  # rows: samples and their pixels
        axes.imshow(picture, cmap="Blues", vmin=0, vmax=1.4, aspect="auto", extent=(0, C, N * H * W, 0))
        for i in range(C + 1):
            axes.axvline(i, color="0.75", linewidth=0.5)
        for i in range(N * H * W + 1):
            axes.axhline(i, color="0.3" if i % (H * W) == 0 else "0.85", linewidth=1 if i % (H * W) == 0 else 0.4)
        axes.plot(AT[1] + 0.5, AT[0] * H * W + AT[2] * W + AT[3] + 0.5, "C3o", markersize=4)
        axes.set(title=name, xlabel="channel C")
        axes.set_xticks(np.arange(C) + 0.5, range(C))
        axes.set_yticks((np.arange(N) + 0.5) * H * W, [f"n = {n}" for n in range(N)])
    figure.axes[0].set_ylabel("sample N, pixels (H, W) in it")
    figure.suptitle("Blue values share one mean and one variance with the red one")
    figure.savefig(Path(out) / "normalization_axes.png", dpi=110)
    return masks


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
