"""Neocognitron: S-cells learn without a teacher, C-cells are fixed, shifted patterns are recognised."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn.models import CCells, Neocognitron, SCells, Stage


def bars(size: int, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A horizontal, a vertical and two diagonal bars of 5 pixels, moved from the centre: (4, 1, size, size)."""
    images = np.zeros((4, 1, size, size), np.float32)
    for step in range(-2, 3):
        for image, (dy, dx) in zip(images, ((0, step), (step, 0), (step, step), (step, -step)), strict=True):
            image[0, size // 2 + dy + shift[0], size // 2 + dx + shift[1]] = 1
    return images


def test_bars_are_recognised_wherever_they_are() -> None:
    model = Neocognitron((Stage(4, s_kernel=5, c_kernel=3, stride=2, column=7),))
    model.learn(fc.tensor(bars(15)), repetitions=2)
    planes = model(fc.tensor(bars(15))).numpy().argmax(1)
    assert sorted(planes) == [0, 1, 2, 3]  # a plane for every bar
    for shift in ((3, 0), (0, -4), (-2, 3), (4, 4)):
        np.testing.assert_array_equal(model(fc.tensor(bars(15, shift))).numpy().argmax(1), planes)


def test_two_stages_tell_pairs_of_bars_apart() -> None:
    def pairs(shift: tuple[int, int]) -> np.ndarray:
        flat, upright, down, up = bars(21, shift)
        return np.stack([np.maximum(flat, upright), np.maximum(down, up)])

    model = Neocognitron((Stage(16, 3, 3, 1, 2), Stage(2, 5, 3, 2, 20)))
    model.learn(fc.tensor(pairs((0, 0))), repetitions=3)
    planes = model(fc.tensor(pairs((0, 0)))).numpy().argmax(1)
    assert sorted(planes) == [0, 1]
    for shift in ((2, 4), (-3, 1)):
        np.testing.assert_array_equal(model(fc.tensor(pairs(shift))).numpy().argmax(1), planes)


def test_s_cells_compute_equation_1() -> None:
    rng = np.random.default_rng(0)
    cells = SCells(2, 3, 3, selectivity=2.0)
    a = rng.uniform(0, 2, (3, 2, 3, 3)).astype(np.float32)
    b = rng.uniform(0, 1, 3).astype(np.float32)
    cells.load_state_dict({"excitation": a, "inhibition": b})
    x = rng.uniform(size=(1, 2, 3, 3)).astype(np.float32)
    c = cells.window.numpy()[0]
    v = np.sqrt((c * x[0] ** 2).sum())
    expected = [2 * max(0, (1 + (a[k] * x[0]).sum()) / (1 + 4 / 3 * b[k] * v) - 1) for k in range(3)]
    np.testing.assert_allclose(cells(fc.tensor(x)).numpy()[0, :, 1, 1], expected, rtol=1e-5)
    assert c.sum() == pytest.approx(1)


def test_learned_cells_answer_above_the_cosine_of_their_selectivity() -> None:
    rng = np.random.default_rng(0)
    cells = SCells(1, 1, 3, selectivity=4.0)
    feature = rng.uniform(size=(1, 1, 3, 3)).astype(np.float32)
    cells.inhibition.fill_(0.0)
    pattern = np.zeros((1, 1, 9, 9), np.float32)
    pattern[:, :, 3:6, 3:6] = feature
    assert cells.reinforce(fc.tensor(pattern), 1e5, 3) == 1
    weight = cells.window.numpy()[0, 0]
    learned = cells.excitation.numpy()[0, 0] / weight
    for noise in (0.0, 0.3, 0.6, 1.0, 2.0):
        seen = np.abs(learned / learned.max() + noise * rng.normal(size=(3, 3))).astype(np.float32)
        cosine = (weight * learned * seen).sum() / np.sqrt((weight * learned**2).sum() * (weight * seen**2).sum())
        answer = cells(fc.tensor(seen[None, None])).numpy()[0, 0, 1, 1]
        assert (answer > 0) == (cosine > 0.8)


def test_c_cells_do_not_learn() -> None:
    cells = CCells(3, 5, 2)
    assert list(cells.parameters()) == []
    assert cells(fc.rand(2, 3, 9, 8)).shape == (2, 3, 5, 4)
    model = Neocognitron((Stage(4),))
    before = model.c_layers[0].window.numpy().copy()
    model.learn(fc.tensor(bars(15)))
    np.testing.assert_array_equal(model.c_layers[0].window.numpy(), before)
    assert not any(p.requires_grad for p in model.parameters())
    shown = fc.rand(1, 4, 9, 9)
    scores = model(fc.rand(2, 1, 15, 15)).numpy()
    assert ((scores >= 0) & (scores < 1)).all()
    assert CCells(4, 3)(shown).shape == (1, 4, 9, 9)
