"""Subsampling without a low-pass filter turns high frequencies into low ones: Nyquist's theorem, and BlurPool.

A signal may be sampled every s pixels only if it has no frequency above 1 / (2 s). Strided convolutions and max pools
ignore that, so a shift of the image by one pixel changes their output a lot. BlurPool filters first, with binomials

    Rect-2 [1, 1],  Tri-3 [1, 2, 1],  Bin-5 [1, 4, 6, 4, 1]       (outer products, divided by their sum)

and takes every s-th pixel then; MaxBlurPool is a max pool of stride 1 with a BlurPool behind it.

    python examples/lectures/aliasing.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

POOLS = {
    "MaxPool": nn.MaxPool2d(2),
    "MaxBlurPool, Rect-2": nn.MaxBlurPool2d(2, 2, 2),
    "MaxBlurPool, Tri-3": nn.MaxBlurPool2d(2, 2, 3),
    "MaxBlurPool, Bin-5": nn.MaxBlurPool2d(2, 2, 5),
}


def chirp(size=64):
    """Rings whose frequency rises from the centre to 0.5, the highest there is, at the border."""
    at = np.arange(size) - size / 2
    radius2 = at[:, None] ** 2 + at[None, :] ** 2
    return fc.tensor(np.cos(np.pi * radius2 / size)[None, None].astype(np.float32))


def amplitudes(subsample, frequencies):
    """Size of a sine wave of every frequency behind the subsampling."""
    found = []
    for frequency in frequencies:
        wave = np.sin(2 * np.pi * frequency * np.arange(240) + 0.3)
        image = fc.tensor(np.broadcast_to(wave, (1, 1, 16, 240)).astype(np.float32).copy())
        found.append(float(np.sqrt(2) * subsample(image).numpy()[0, 0, 4, 10:-10].std()))
    return found


def consistency(layer):
    """How much the output keeps when the input moves by one pixel: 1 - mean change / mean size."""
    fc.manual_seed(0)
    x = F.avg_pool2d(fc.randn(8, 4, 34, 34), 3, 1)
    moved = fc.cat([x[:, :, :, 1:], x[:, :, :, :1]], dim=3)
    a, b = layer(x).numpy()[:, :, 2:-2, 2:-2], layer(moved).numpy()[:, :, 2:-2, 2:-2]
    return 1 - float(np.abs(a - b).mean() / np.abs(a).mean())


def main(out=Path()):
    board = fc.tensor((np.indices((8, 8)).sum(0) % 2 * 2.0 - 1.0)[None, None])
    strided, blurred = board[:, :, ::2, ::2], F.blur_pool2d(board, 3)
    print(f"checkerboard of -1 and 1: every second pixel {np.unique(strided.numpy())}, "
          f"behind Tri-3 at most {np.abs(blurred.numpy()).max():.0e}")  # fmt: skip
    kept = {name: consistency(layer) for name, layer in POOLS.items()}
    for name, value in kept.items():
        print(f"{name:20} shift consistency {value:.3f}")
    frequencies = np.linspace(0.005, 0.495, 50)  # not 0.25 itself, where the phase decides
    responses = {
        "every second pixel": amplitudes(lambda x: x[:, :, ::2, ::2], frequencies),
        "BlurPool, Tri-3": amplitudes(lambda x: F.blur_pool2d(x, 3), frequencies),
        "BlurPool, Bin-5": amplitudes(lambda x: F.blur_pool2d(x, 5), frequencies),
    }

    figure = Figure(figsize=(13, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    rings = chirp()
    pictures = {"rings, 64 x 64": rings, "every second pixel": rings[:, :, ::2, ::2],
                "BlurPool, Tri-3": F.blur_pool2d(rings, 3), "BlurPool, Bin-5": F.blur_pool2d(rings, 5)}  # fmt: skip
    for axes, (name, picture) in zip(top.subplots(1, 4), pictures.items(), strict=True):
        axes.imshow(picture.numpy()[0, 0], cmap="gray", vmin=-1, vmax=1)
        axes.set(title=name, xticks=[], yticks=[])
    left, right = bottom.subplots(1, 2)
    for name, response in responses.items():
        left.plot(frequencies, response, label=name)
    left.axvline(0.25, color="0.5", linestyle=":")
    left.text(0.255, 1.08, "beyond Nyquist's limit 1 / (2 s)", color="0.3")
    left.set(title="What is left of a sine wave behind subsampling by s = 2", xlabel="frequency in cycles per pixel",
             ylabel="amplitude", ylim=(0, 1.5))  # fmt: skip
    left.legend(loc="lower left")
    bars = right.barh(list(kept), list(kept.values()), color=["C3", "C0", "C0", "C0"])
    right.bar_label(bars, fmt="%.2f", padding=3)
    right.invert_yaxis()
    right.set(title="Output kept when the image moves by one pixel", xlabel="1 - change / size", xlim=(0, 1))
    figure.savefig(Path(out) / "aliasing.png", dpi=100)
    return {"strided": strided.numpy(), "blurred": blurred.numpy(), "kept": kept, "responses": responses,
            "frequencies": frequencies}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
