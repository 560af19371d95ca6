"""RAdam, Adamax, Adadelta, NAdam, Lion, LAMB and Muon against torch or formulas; states, masters, recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter
from fastcnn.optim.muon import orthogonalize

ANY_SHAPE = [optim.RAdam, optim.Adamax, optim.Adadelta, optim.NAdam, optim.Lion, optim.LAMB]  # Muon takes no vectors
SHAPES = ((3, 5), (4, 2, 3, 3), (7,))


def values(seed: int, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def run(make: Callable[[list[Any]], Any], steps: int = 8, shapes: Any = SHAPES) -> tuple[list[np.ndarray], Any]:
    """Parameters after steps with random gradients; parameter 1 has none in step 2."""
    params = [Parameter(fc.tensor(v)) for v in values(0, shapes)]
    optimizer = make(params)
    for step in range(steps):
        for i, (p, g) in enumerate(zip(params, values(step + 1, shapes), strict=True)):
            p.grad = None if (step, i) == (2, 1) else fc.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in params], optimizer


def run_torch(torch: Any, make: Callable[[list[Any]], Any], steps: int = 8, shapes: Any = SHAPES) -> list[np.ndarray]:
    params = [torch.nn.Parameter(torch.from_numpy(v)) for v in values(0, shapes)]
    optimizer = make(params)
    for step in range(steps):
        for i, (p, g) in enumerate(zip(params, values(step + 1, shapes), strict=True)):
            p.grad = None if (step, i) == (2, 1) else torch.from_numpy(g)
        optimizer.step()
    return [p.detach().numpy() for p in params]


def formula(update: Callable[..., np.ndarray], **state: float) -> list[np.ndarray]:
    """Parameters after 8 steps of update(p, g, state, t), in NumPy."""
    params = values(0)
    states: list[dict[str, Any]] = [{k: np.full_like(p, v) for k, v in state.items()} | {"t": 0} for p in params]
    for step in range(8):
        for i, g in enumerate(values(step + 1)):
            if (step, i) != (2, 1):
                states[i]["t"] += 1
                params[i] = update(params[i], g, states[i])
    return params


@pytest.mark.parametrize(
    "options",
    [{}, {"lr": 0.05, "weight_decay": 0.1}, {"decoupled_weight_decay": True, "weight_decay": 0.1}, {"maximize": True}],
)
def test_nadam_equals_torch(options: dict[str, Any], torch: Any) -> None:
    expected = run_torch(torch, lambda p: torch.optim.NAdam(p, **options))
    for got, want in zip(run(lambda p: optim.NAdam(p, **options))[0], expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)  # torch keeps a product in float32


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RAdam", {}),
        ("RAdam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
        ("RAdam", {"lr": 0.05, "betas": (0.8, 0.5)}),  # too short an average to rectify: steps of plain momentum
        ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
        ("Adamax", {}),
        ("Adamax", {"lr": 0.05, "betas": (0.8, 0.6), "eps": 1e-2, "weight_decay": 0.1}),
        ("Adamax", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
        ("Adadelta", {}),
        ("Adadelta", {"lr": 0.5, "rho": 0.6, "eps": 1e-2, "weight_decay": 0.1}),
        ("Adadelta", {"lr": 0.5, "eps": 1e-2, "weight_decay": 0.1, "maximize": True}),
    ],
)
def test_parameters_and_states_equal_torchs(name: str, options: dict[str, Any], torch: Any) -> None:
    """12 steps, so that RAdam's defaults reach rectified steps; then the states, by name, in the other library."""
    peers: list[Any] = []

    def peer(params: list[Any]) -> Any:
        peers.append(getattr(torch.optim, name)(params, **options))
        return peers[0]

    expected = run_torch(torch, peer, 12)
    got, optimizer = run(lambda p: getattr(optim, name)(p, **options), 12)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)
    mine, theirs = optimizer.state_dict()["state"], peers[0].state_dict()["state"]
    assert {k: set(v) for k, v in mine.items()} == {k: set(v) for k, v in theirs.items()}
    for i in theirs:
        for key, value in theirs[i].items():
            np.testing.assert_allclose(np.asarray(mine[i][key]), value.numpy(), rtol=1e-11)
    named = {k: v for k, v in optimizer.defaults.items() if k != "betas"}
    assert named == {k: peers[0].defaults[k] for k in named}


@pytest.mark.parametrize("kind", ANY_SHAPE)
def test_groups_have_their_options_and_bfloat16_is_stepped_through_masters(kind: Any) -> None:
    def alone(dtype: Any, **options: Any) -> np.ndarray:
        p = Parameter(fc.tensor([1.0, -2.0]).to(dtype))
        optimizer = kind([p], **options)
        for _ in range(8):
            p.grad = fc.tensor([0.5, 0.25]).to(dtype)
            optimizer.step()
        return p.detach().float().numpy()

    params = [Parameter(fc.tensor([1.0, -2.0]).to(dtype)) for dtype in (fc.float32, fc.float32, fc.bfloat16)]
    optimizer = kind([{"params": params[:1], "lr": 0.01}, {"params": params[1:], "weight_decay": 0.3}], lr=0.5)
    for _ in range(8):
        for p in params:
            p.grad = fc.tensor([0.5, 0.25]).to(p.dtype)
        optimizer.step()
    got = [p.detach().float().numpy() for p in params]
    np.testing.assert_array_equal(got[0], alone(fc.float32, lr=0.01))
    np.testing.assert_array_equal(got[1], alone(fc.float32, lr=0.5, weight_decay=0.3))
    assert params[2].dtype == fc.bfloat16
    np.testing.assert_array_equal(got[2], fc.tensor(got[1]).bfloat16().float().numpy())


def trained(kind: Any, dtype: Any, captured: bool, **options: Any) -> list[bytes]:
    """Loss and parameters over 100 steps with a schedule and, half way, another loss that leaves out a parameter."""
    rng = np.random.default_rng(5)
    first = Parameter(fc.tensor(rng.standard_normal((6, 4)).astype(np.float32)).to(dtype))
    second = Parameter(fc.tensor(rng.standard_normal((4, 3)).astype(np.float32)).to(dtype))
    optimizer = kind([{"params": [first]}, {"params": [second], "lr": 0.01}], lr=0.02, **options)
    schedule = optim.lr_scheduler.StepLR(optimizer, 30, gamma=0.5)

    def step(x: fc.Tensor, both: bool) -> fc.Tensor:
        optimizer.zero_grad()
        hidden = (x @ first).tanh()
        loss = ((hidden @ second if both else hidden) ** 2).float().mean()
        loss.backward()
        optimizer.step()
        return loss

    run = fc.capture(step) if captured else step
    trace = []
    for i in range(100):
        x = fc.tensor(rng.standard_normal((5, 6)).astype(np.float32)).to(dtype)
        trace.append(run(x, i % 7 != 3).detach().numpy().tobytes())
        schedule.step()
        trace += [p.detach().float().numpy().tobytes() for p in (first, second)]
    state = optimizer.state_dict()["state"]
    trace += [value.float().numpy().tobytes() for number in state for value in state[number].values()]
    return trace


@pytest.mark.parametrize("kind", [*ANY_SHAPE, optim.Muon])
@pytest.mark.parametrize("dtype", [fc.float32, fc.float64, fc.bfloat16], ids=str)
def test_captured_steps_are_the_eager_ones_bit_for_bit(kind: Any, dtype: Any) -> None:
    assert trained(kind, dtype, True) == trained(kind, dtype, False)
    assert trained(kind, dtype, True, weight_decay=0.1) == trained(kind, dtype, False, weight_decay=0.1)


def test_a_momentum_that_changes_reaches_captured_steps() -> None:
    def final(captured: bool) -> np.ndarray:
        p = Parameter(fc.ones(4, 3))
        optimizer = optim.Muon([p], lr=0.1)

        def step(x: fc.Tensor) -> fc.Tensor:
            optimizer.zero_grad()
            loss = (p * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        run = fc.capture(step) if captured else step
        for i in range(6):
            optimizer.param_groups[0]["momentum"] = 0.9 - 0.1 * i
            run(fc.arange(12, dtype=fc.float32).reshape(4, 3))
        return p.detach().numpy()

    np.testing.assert_array_equal(final(True), final(False))


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw"}])
def test_muon_equals_torch(options: dict[str, Any], torch: Any) -> None:
    """torch iterates in bfloat16: the directions agree to its precision."""
    shapes = ((6, 4), (3, 8))
    expected = run_torch(torch, lambda p: torch.optim.Muon(p, lr=0.02, **options), 3, shapes)
    got = run(lambda p: optim.Muon(p, lr=0.02, **options), 3, shapes)[0]
    for a, b, start in zip(got, expected, values(0, shapes), strict=True):
        assert np.abs(a - b).max() < 0.03 * np.abs(b - start).max()


def test_orthogonalize_keeps_singular_vectors_and_evens_out_singular_values() -> None:
    rng = np.random.default_rng(0)
    for shape in ((5, 9), (9, 5), (4, 4)):
        matrix = rng.standard_normal(shape)
        result = orthogonalize(fc.tensor(matrix)).numpy()
        u, _, v = np.linalg.svd(matrix, full_matrices=False)
        core = u.T @ result @ v.T
        assert np.abs(core - np.diag(np.diag(core))).max() < 1e-6
        assert np.diag(core).min() > 0.6
        assert np.diag(core).max() < 1.25


def test_muon_takes_filters_and_rejects_vectors() -> None:
    filters, matrices = (run(lambda p: optim.Muon(p, lr=0.1), 2, (shape,))[0][0] for shape in ((4, 2, 3, 3), (4, 18)))
    np.testing.assert_allclose(filters.reshape(4, 18), matrices, rtol=1e-12)
    with pytest.raises(ValueError, match=r"\(7,\)"):
        optim.Muon([Parameter(fc.zeros(7))])
    with pytest.raises(ValueError, match="'rms'"):
        optim.Muon([Parameter(fc.zeros(2, 2))], adjust_lr_fn="rms")


def test_lion_follows_its_formula() -> None:
    def update(p: np.ndarray, g: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        direction = np.sign(0.9 * s["m"] + 0.1 * g)
        s["m"] = 0.99 * s["m"] + 0.01 * g
        return p - 0.01 * (direction + 0.2 * p)

    got = run(lambda p: optim.Lion(p, lr=0.01, weight_decay=0.2))[0]
    for a, b in zip(got, formula(update, m=0.0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_lamb_follows_its_formula() -> None:
    def update(p: np.ndarray, g: np.ndarray, s: dict[str, Any]) -> np.ndarray:
        s["m"] = 0.9 * s["m"] + 0.1 * g
        s["v"] = 0.99 * s["v"] + 0.01 * g * g
        r = s["m"] / (1 - 0.9 ** s["t"]) / (np.sqrt(s["v"] / (1 - 0.99 ** s["t"])) + 1e-6) + 0.1 * p
        return p - 0.02 * np.linalg.norm(p) / np.linalg.norm(r) * r

    got = run(lambda p: optim.LAMB(p, lr=0.02, betas=(0.9, 0.99), weight_decay=0.1))[0]
    for a, b in zip(got, formula(update, m=0.0, v=0.0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    zero = Parameter(fc.zeros(3))
    zero.grad = fc.tensor([1.0, -1.0, 2.0])
    optim.LAMB([zero], lr=0.1).step()  # |p| is 0: no scaling
    np.testing.assert_allclose(zero.detach().numpy(), [-0.1, 0.1, -0.1], rtol=1e-4)


@pytest.mark.parametrize("kind", ANY_SHAPE)
def test_saving_and_resuming(kind: Any) -> None:
    expected, _ = run(lambda p: kind(p, lr=0.1), 8)
    params = [Parameter(fc.tensor(v)) for v in values(0)]
    optimizer = kind(params, lr=0.1)
    for step in range(8):
        if step == 4:
            saved = optimizer.state_dict()
            params = [Parameter(p.detach().clone()) for p in params]
            optimizer = kind(params, lr=123.0)
            optimizer.load_state_dict(saved)
        for i, (p, g) in enumerate(zip(params, values(step + 1), strict=True)):
            p.grad = None if (step, i) == (2, 1) else fc.tensor(g)
        optimizer.step()
    for p, want in zip(params, expected, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), want)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.NAdam(p, lr=-1.0), "NAdam: lr is -1"),
        (lambda p: optim.NAdam(p, betas=(1.0, 0.9)), r"NAdam: betas\[0\] is 1"),
        (lambda p: optim.RAdam(p, weight_decay=-1.0), "RAdam: weight_decay is -1"),
        (lambda p: optim.RAdam(p, betas=(0.9, 1.0)), r"RAdam: betas\[1\] is 1"),
        (lambda p: optim.Adamax(p, eps=-1.0), "Adamax: eps is -1"),
        (lambda p: optim.Adamax(p, betas=(-0.1, 0.9)), r"Adamax: betas\[0\] is -0.1"),
        (lambda p: optim.Adadelta(p, lr=-1.0), "Adadelta: lr is -1"),
        (lambda p: optim.Adadelta(p, rho=1.5), r"Adadelta: rho is 1.5, but must be in \[0, 1\]"),
        (lambda p: optim.Adadelta([{"params": p, "rho": float("nan")}]), "Adadelta: rho is nan"),
        (lambda p: optim.Lion(p, weight_decay=-1.0), "Lion: weight_decay"),
        (lambda p: optim.LAMB(p, betas=(0.9, 2.0)), r"LAMB: betas\[1\]"),
    ],
)
def test_options_are_checked(make: Callable[[list[Any]], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make([Parameter(fc.ones(2, 2))])
