"""Backpropagation with every number on the table: two inputs, two sigmoid hidden units, two sigmoid outputs.

Forward:   net_h = W x + b_h,  h = sigmoid(net_h),  net_o = V h + b_o,  o = sigmoid(net_o),  E = sum (t - o)^2 / 2
Backward:  dE/do = o - t
           delta_o = dE/dnet_o = dE/do * o (1 - o)              the "delta" of an output, used by all its weights
           dE/dV[k, j] = delta_o[k] * h[j]                       e.g. dE/dw5 = 0.7469 * 0.1840 * 0.5945
           dE/dh[j] = sum over k of delta_o[k] * V[k, j]         through the OLD weights
           dE/dW[j, i] = dE/dh[j] * h[j] (1 - h[j]) * x[i]
Update:    w -= 0.5 * dE/dw, all together.

The drawing of the network is lost. The forward numbers fit output weights (.40, .50, .45, .55); the printed derivation
of w1 uses 0.50 for w7, which fits (.40, .50, .50, .50). Both are shown; fastcnn's autograd does the arithmetic, and
the formulas above are evaluated next to it.

    python examples/lectures/backprop_step_by_step.py --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcnn as fc
from fastcnn import functional as F

X = fc.tensor([0.05, 0.10], dtype=fc.float64)
TARGET = fc.tensor([0.01, 0.99], dtype=fc.float64)
HIDDEN = [[0.15, 0.25], [0.20, 0.30]]  # W: row = unit, column = input
OUTPUTS = {"forward": [[0.40, 0.50], [0.45, 0.55]], "backward": [[0.40, 0.50], [0.50, 0.50]]}  # V
RATE = 0.5


def parameter(values):
    return fc.tensor(np.array(values), requires_grad=True)


def forward(w, v, b_h, b_o):
    h = F.sigmoid(fc.mv(w, X) + b_h)
    o = F.sigmoid(fc.mv(v, h) + b_o)
    return h, o, 0.5 * (TARGET - o) ** 2


def derive(output_weights):
    """One pass forward and backward, and one update."""
    w, v = parameter(HIDDEN), parameter(output_weights)
    b_h, b_o = parameter([0.35, 0.35]), parameter([0.60, 0.60])
    h, o, errors = forward(w, v, b_h, b_o)
    errors.sum().backward()

    hn, on, vn = h.detach().numpy(), o.detach().numpy(), np.array(output_weights)
    error_slope = on - TARGET.numpy()
    delta_o = error_slope * on * (1 - on)
    through = delta_o * vn[:, 0]  # the two ways from h1 to the outputs
    slope_h1 = hn[0] * (1 - hn[0])
    assert np.isclose(v.grad.numpy()[0, 0], delta_o[0] * hn[0])  # autograd agrees with the formulas
    assert np.isclose(w.grad.numpy()[0, 0], through.sum() * slope_h1 * 0.05)

    with fc.no_grad():  # all gradients are there before the first weight changes
        for p in (w, v, b_h, b_o):
            p -= RATE * p.grad
    after = forward(w, v, b_h, b_o)[2].sum().item()
    return {
        "out_h1": hn[0], "out_o1": on[0], "out_o2": on[1], "E_o1": errors[0].item(), "E_o2": errors[1].item(),
        "E_total": errors.sum().item(), "dE/do1": error_slope[0], "o1 (1 - o1)": on[0] * (1 - on[0]),
        "delta_o1": delta_o[0], "dE/dw5": v.grad.numpy()[0, 0], "new w5": v.detach().numpy()[0, 0],
        "h1 via o1": through[0], "h1 via o2": through[1], "dE/dh1": through.sum(), "h1 (1 - h1)": slope_h1,
        "dE/dw1": w.grad.numpy()[0, 0], "new w1": w.detach().numpy()[0, 0], "E after": after,
    }  # fmt: skip


def train(steps=1500):
    """E over further steps, weights and biases."""
    parameters = [parameter(p) for p in (HIDDEN, OUTPUTS["forward"], [0.35, 0.35], [0.60, 0.60])]
    losses = []
    for _ in range(steps):
        loss = forward(*parameters)[2].sum()
        loss.backward()
        losses.append(loss.item())
        with fc.no_grad():
            for p in parameters:
                p -= RATE * p.grad
                p.grad = None
    return losses


def main(out=Path()):
    results = {name: derive(weights) for name, weights in OUTPUTS.items()}
    print(f"{'quantity':12}  {'w7, w8 = .45, .55':>18}  {'w7, w8 = .50, .50':>18}")
    for key in results["forward"]:
        print(f"{key:12}  {results['forward'][key]:18.8f}  {results['backward'][key]:18.8f}")
    losses = train()
    print(f"E after 1, 100 and 1500 steps: {losses[1]:.6f}, {losses[100]:.6f}, {losses[-1]:.6f}")

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = ["dE/do1", "o1 (1 - o1)", "delta_o1", "dE/dw5", "h1 via o1", "h1 via o2", "dE/dh1", "h1 (1 - h1)", "dE/dw1"]
    values = [results["backward"][name] for name in names]
    left.barh(names, values, color=["C0" if v > 0 else "C3" for v in values])
    for row, value in enumerate(values):
        left.text(max(value, 0.0) + 0.01, row, f"{value:.4g}", va="center")
    left.invert_yaxis()
    left.set(title="The chain rule's factors for w5 and w1", xlabel="value", xlim=(-0.05, 0.9))
    left.axvline(0, color="0.5", linewidth=0.8)
    right.semilogy(losses)
    right.set(title="Going on: error of the same sample", xlabel="step", ylabel="E = ½ Σ (t - o)²")
    right.grid(alpha=0.3)
    figure.savefig(Path(out) / "backprop_step_by_step.png", dpi=110)
    return results | {"losses": losses}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture (default: here)")
    main(parser.parse_args().out)
