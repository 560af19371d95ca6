"""State of optimizers: its structure, saving and resuming bit by bit, float32 masters of bfloat16 parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, optim
from fastcnn.nn import Parameter
from tests.optimizer_runs import (
    assert_near,
    every_option,
    gradients,
    leaf,
    parameters,
    run,
    set_grads,
    set_torch_grads,
    snapshot,
    start,
)


@every_option
def test_state_dict_has_torchs_structure_and_loads_from_torch(name: str, options: dict[str, Any], torch: Any) -> None:
    theirs = [torch.nn.Parameter(torch.from_numpy(a)) for a in start()]
    other = getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(1)
    for step in range(5):
        set_torch_grads(torch, theirs, gradients(rng, step))
        other.step()
    params = [Parameter(fc.tensor(p.detach().numpy())) for p in theirs]
    optimizer = getattr(optim, name)(params, **options)
    optimizer.load_state_dict(other.state_dict())
    ours = optimizer.state_dict()
    expected = other.state_dict()
    assert ours["state"].keys() == expected["state"].keys()
    for number, state in expected["state"].items():
        assert ours["state"][number].keys() == state.keys()
        for key, value in state.items():
            np.testing.assert_array_equal(ours["state"][number][key].numpy(), value.numpy())
    for group, wanted in zip(ours["param_groups"], expected["param_groups"], strict=True):
        assert all(group[key] == value for key, value in wanted.items())
    for step in range(5, 8):
        grads = gradients(rng, step)
        set_grads(params, grads, "float64")
        optimizer.step()
        set_torch_grads(torch, theirs, grads)
        other.step()
    assert_near([p.detach().numpy() for p in params], [p.detach().numpy() for p in theirs], "float64")


@every_option
def test_saving_and_resuming_continues_with_the_same_bits(name: str, options: dict[str, Any]) -> None:
    undisturbed = run(name, options, "float32", steps=9)
    params = parameters("float32")
    optimizer = getattr(optim, name)(params, **options)
    rng = np.random.default_rng(1)
    for step in range(9):
        if step == 5:  # a new process: fresh parameters and an optimizer with default options
            params = [Parameter(fc.tensor(p.detach().numpy())) for p in params]
            saved = snapshot(optimizer.state_dict())
            optimizer = getattr(optim, name)(params)
            optimizer.load_state_dict(saved)
        set_grads(params, gradients(rng, step), "float32")
        optimizer.step()
    for p, want in zip(params, undisturbed, strict=True):
        assert p.detach().numpy().tobytes() == want.tobytes()


def test_resuming_restores_every_option() -> None:
    p = Parameter(fc.tensor([1.0]))
    saved = optim.AdamW([p], lr=0.5, betas=(0.5, 0.6), eps=0.1, weight_decay=0.7, amsgrad=True).state_dict()
    saved["param_groups"][0]["betas"] = [0.5, 0.6]  # as JSON stores a tuple
    optimizer = optim.AdamW([p])
    optimizer.load_state_dict(saved)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.5, 0.6), 0.1)
    assert (group["weight_decay"], group["amsgrad"]) == (0.7, True)
    assert group["params"] == [p]


def test_states_that_do_not_fit_are_rejected() -> None:
    saved = optim.Adam([leaf(), leaf()]).state_dict()
    with pytest.raises(ValueError, match="2 parameters, but the optimizer's has 1"):
        optim.Adam([leaf()]).load_state_dict(saved)
    two = optim.Adam([{"params": [leaf()]}, {"params": [leaf()]}])
    with pytest.raises(ValueError, match="1 parameter groups, but the optimizer has 2"):
        two.load_state_dict(saved)
    p = leaf()
    p.grad = fc.tensor([1.0])
    other = optim.Adam([p])
    other.step()
    with pytest.raises(ValueError, match=r"exp_avg .* \(1,\), but the parameter has \(2,\)"):
        optim.Adam([Parameter(fc.tensor([1.0, 2.0]))]).load_state_dict(other.state_dict())


def test_skipped_parameters_do_not_advance() -> None:
    a, b = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0]))
    optimizer = optim.Adam([a, b], lr=0.1)
    for _ in range(3):
        a.grad = fc.tensor([1.0])
        optimizer.step()
    assert b.item() == 1.0
    assert list(optimizer.state_dict()["state"]) == [0]
    b.grad = fc.tensor([1.0])
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert (state[0]["step"].item(), state[1]["step"].item()) == (4.0, 1.0)
    assert b.item() == pytest.approx(0.9)


def test_state_is_keyed_by_parameter() -> None:
    p, q = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0]))
    optimizer = optim.RMSprop([p, q], alpha=0.75)
    p.grad = fc.tensor([2.0])
    optimizer.step()
    assert list(optimizer.state) == [p]
    assert optimizer.state[p]["square_avg"].item() == 1.0


# bfloat16 parameters ------------------------------------------------------------------------------------------------


def bfloat16_parameter(*values: float) -> Parameter:
    p = Parameter(fc.tensor(list(values)).bfloat16())
    p.grad = fc.ones(len(values)).bfloat16()
    return p


def test_bfloat16_parameters_add_up_what_rounds_away() -> None:
    p = bfloat16_parameter(1.0, -2.0)
    optimizer = optim.SGD([p], lr=2.0**-12)
    for _ in range(64):
        optimizer.step()
    assert p.detach().float().numpy().tolist() == [1 - 2.0**-6, -2 - 2.0**-6]
    master = optimizer.state_dict()["state"][0]["master"]
    assert (master.dtype, p.dtype, p.grad.dtype) == (fc.float32, fc.bfloat16, fc.bfloat16)


def test_writing_to_a_bfloat16_parameter_replaces_its_master() -> None:
    p = bfloat16_parameter(1.0, 1.0)
    optimizer = optim.SGD([p], lr=2.0**-12)
    optimizer.step()
    with fc.no_grad():
        _C.copy_(p._data, fc.tensor([3.0, 1.0]).bfloat16()._data)
    optimizer.step()
    assert optimizer.state[p]["master"].numpy().tolist() == [3 - 2.0**-12, 1 - 2 * 2.0**-12]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_resuming_bfloat16_parameters_continues_with_the_same_bits(name: str) -> None:
    results = []
    for stop in (None, 7):
        p = bfloat16_parameter(1.0, -0.3)
        optimizer = getattr(optim, name)([p], lr=1e-3)
        for step in range(20):
            if step == stop:
                saved = snapshot(optimizer.state_dict())
                p = bfloat16_parameter(*p.detach().float().numpy().tolist())
                optimizer = getattr(optim, name)([p], lr=1e-3)
                optimizer.load_state_dict(saved)
            optimizer.step()
        results.append((p.detach().float().numpy().tobytes(), optimizer.state[p]["master"].numpy().tobytes()))
    assert results[0] == results[1]
