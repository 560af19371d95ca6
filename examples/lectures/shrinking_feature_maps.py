"""What convolutions do to the size of feature maps, and how far back their units see.

    output size      (W - K + 2 P) / S + 1, rounded down
    receptive field  1 + L (K - 1) after L layers of stride 1; behind a stride S every further step counts S times

Without padding a map shrinks by K - 1 per layer; P = (K - 1) / 2 keeps its size; a stride or pool of 2 halves it and
doubles how fast the receptive field grows: a large image needs downsampling before its units can see all of it.

    python examples/lectures/shrinking_feature_maps.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import nn
from fastcnn.models import receptive_field

SIZE, LAYERS = 32, 8


def conv(stride=1, padding=0):
    layer = nn.Conv2d(1, 1, 3, stride, padding, bias=False)
    nn.init.ones_(layer.weight)  # every pixel counts, none cancels another
    return layer


NETWORKS = {
    "K=3": [conv() for _ in range(LAYERS)],
    "K=3, P=1": [conv(padding=1) for _ in range(LAYERS)],
    "K=3, P=1, every second S=2": [conv(1 + i % 2, 1) for i in range(LAYERS)],
}


def measure(layers):
    """Sizes of all maps, and for every layer how many pixels in a row have a gradient from the unit in the middle."""
    x = fc.zeros(1, 1, 4 * SIZE + 1, 4 * SIZE + 1, requires_grad=True)  # large: fields shall not end at the border
    sizes, fields, supports = [SIZE], [1], []
    small, y = fc.zeros(1, 1, SIZE, SIZE), x
    for layer in layers:
        small, y = layer(small), layer(y)
        sizes.append(small.shape[2])
        middle = fc.zeros(*y.shape)
        middle[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1.0
        x.grad = None
        y.backward(middle, retain_graph=True)
        supports.append(x.grad.numpy()[0, 0].copy())
        fields.append(int((supports[-1] != 0).any(axis=0).sum()))
    return sizes, fields, supports


def main(out=Path()):
    results = {}
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for i, (name, layers) in enumerate(NETWORKS.items()):
        sizes, fields, supports = measure(layers)
        formula = [receptive_field(layers[:n]).size[0] for n in range(LAYERS + 1)]
        results[name] = {"sizes": sizes, "fields": fields, "formula": formula}
        print(f"{name:27} map sizes {sizes}")
        print(f"{'':27} receptive fields {fields}, by the formula {formula}")
        left.plot(sizes, "os^"[i] + "-", label=name)
        middle.plot(fields, "os^"[i] + "-", label=name)
    left.set(title=f"Size of the feature map of a {SIZE} x {SIZE} image", xlabel="layer", ylabel="pixels", ylim=(0, 36))
    left.legend()
    left.grid(alpha=0.3)
    middle.set(title="Receptive field (measured by gradients)", xlabel="layer", ylabel="pixels")
    middle.grid(alpha=0.3)
    support = supports[-1]
    centre, reach = support.shape[0] // 2, 40
    window = support[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]
    shown = right.imshow(np.where(window > 0, window, np.nan), extent=(-reach, reach, reach, -reach))
    figure.colorbar(shown, ax=right, label="ways from the pixel to the unit")
    right.set(title=f"What one unit of layer {LAYERS} sees, with strides", xlabel="x - centre", ylabel="y - centre")
    figure.savefig(Path(out) / "shrinking_feature_maps.png", dpi=110)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
