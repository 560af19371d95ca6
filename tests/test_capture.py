"""`fastcnn.capture`: replays are the same steps with the same bits, memory is planned, misuse is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn, optim, random
from fastcnn import functional as F


def model() -> Any:
    fc.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.3) if hasattr(nn, "Dropout2d") else nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 10),
        nn.Dropout(0.5),
        nn.Linear(10, 3),
    )


def batches(steps: int, size: int = 5) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(1)
    return [
        (fc.tensor(rng.standard_normal((size, 2, 8, 8), np.float32)), fc.tensor(rng.integers(0, 3, size)))
        for _ in range(steps)
    ]


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2),
}


def train(captured: bool, optimizer: str, data: list[tuple[Any, Any]], schedule_inside: bool) -> list[bytes]:
    """Losses, outputs, weights and statistics after every step, as bytes."""
    net = model()
    opt = OPTIMIZERS[optimizer](net.parameters())
    schedule = optim.lr_scheduler.StepLR(opt, 7, gamma=0.7)

    def step(x: Any, y: Any) -> Any:
        output = net(x)
        loss = F.cross_entropy(output, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if schedule_inside:
            schedule.step()
        return {"loss": loss, "output": output}

    run = fc.capture(step) if captured else step
    trace = []
    for x, y in data:
        result = run(x, y)
        if not schedule_inside:
            schedule.step()
        trace.append(result["loss"].detach().numpy().tobytes() + result["output"].detach().numpy().tobytes())
    trace += [t.detach().numpy().tobytes() for t in net.state_dict().values()]
    trace.append(repr(opt.param_groups[0]["lr"]).encode())
    return trace


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule_inside", [False, True])
def test_captured_steps_equal_eager_ones_bitwise(optimizer: str, schedule_inside: bool) -> None:
    steps = 100 if optimizer == "sgd" else 20
    data = batches(steps)
    assert train(True, optimizer, data, schedule_inside) == train(False, optimizer, data, schedule_inside)


def test_every_shape_has_its_own_recording() -> None:
    data = [b for pair in zip(batches(12), batches(12, 3), strict=True) for b in pair]
    assert train(True, "sgd", data, False) == train(False, "sgd", data, False)


def test_python_does_not_run_in_replays() -> None:
    calls = []

    def double(x: Any) -> Any:
        calls.append(1)
        return x * 2

    run = fc.capture(double)
    for i in range(6):
        assert run(fc.full((3,), float(i))).numpy().tolist() == [2.0 * i] * 3
    assert len(calls) == 2


def test_results_are_overwritten_and_clones_are_not() -> None:
    run = fc.capture(lambda x: x + 1)
    run(fc.zeros(2))
    first = run(fc.zeros(2))
    kept = first.clone()
    again = run(fc.ones(2))
    assert again is first
    assert first.numpy().tolist() == [2.0, 2.0]
    assert kept.numpy().tolist() == [1.0, 1.0]


def test_memory_of_intermediate_results_is_reused() -> None:
    def chain(x: Any) -> Any:
        for _ in range(20):
            x = fc.relu(x) + 1.0
        return x

    run = fc.capture(chain)
    x = fc.zeros(1 << 16)
    for _ in range(3):
        result = run(x)
    assert result.numpy()[0] == 20.0
    assert run.reserved <= 5 * x.numel() * 4  # the copy of the input, the result and a few in flight
    assert run.requested >= 40 * x.numel() * 4


def test_pieces_that_were_freed_serve_larger_results() -> None:
    def function(x: Any) -> Any:
        parts = [x * 2 for _ in range(8)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        del parts, part
        return fc.cat([total, total, total, total])  # in the memory of the parts

    run = fc.capture(fc.no_grad()(function))
    x = fc.tensor(np.arange(300_000, dtype=np.float32) % 100)
    for _ in range(3):
        result = run(x)
    np.testing.assert_array_equal(result.numpy(), np.tile(x.numpy() * 16, 4))
    assert run.reserved <= 12 * x.numel() * 4


def test_replays_allocate_nothing() -> None:
    conv = nn.Conv2d(32, 48, 3, padding=1)
    run = fc.capture(fc.no_grad()(conv.forward))
    x = fc.rand(2, 32, 20, 20)
    for _ in range(2):
        run(x)
    before = _C.memory_stats()
    _C.reset_max_memory_allocated()
    run(x)
    after = _C.memory_stats()
    assert after["allocations"] == before["allocations"]
    assert after["max_allocated"] == before["allocated"]


def test_replays_with_more_threads_than_at_the_recording() -> None:
    conv = nn.Conv2d(32, 48, 3, padding=1)
    x = fc.rand(2, 32, 20, 20)
    expected = conv(x).detach().numpy()
    threads = _C.num_threads()
    try:
        _C.set_num_threads(1)
        run = fc.capture(fc.no_grad()(conv.forward))
        for _ in range(2):
            run(x)
        for count in (3, 1):
            _C.set_num_threads(count)
            np.testing.assert_array_equal(run(x).numpy(), expected)
    finally:
        _C.set_num_threads(threads)


def test_replays_survive_other_work_on_the_same_memory() -> None:
    net, data = model(), batches(30)
    opt = optim.SGD(net.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    plain = [v.clone() for v in net.state_dict().values()]
    state = random.get_rng_state()
    expected = [step(x, y).item() for x, y in data]
    net.load_state_dict(dict(zip(net.state_dict(), plain, strict=True)))
    random.set_rng_state(state)
    run = fc.capture(step)
    _C.poison_allocations(True)
    try:
        actual = []
        for x, y in data:
            actual.append(run(x, y).item())
            junk = [fc.full((1000 + 77 * i,), float("nan")) for i in range(20)]
            del junk
    finally:
        _C.poison_allocations(False)
    assert actual == expected


def test_replaced_parameters_are_noticed() -> None:
    weight = nn.Parameter(fc.ones(4))
    opt = optim.SGD([weight], lr=0.5)

    def step(x: Any) -> Any:
        loss = (weight * x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    run = fc.capture(step)
    x = fc.ones(4)
    for _ in range(3):
        run(x)
    weight._data = fc.full((4,), 10.0)._data
    assert run(x).item() == 40.0
    assert weight.detach().numpy().tolist() == [9.5] * 4


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("item", lambda x: x.sum().item()),
        ("numpy", lambda x: x.numpy()),
        ("tolist", lambda x: x.tolist()),
        ("if", lambda x: 1 if x.sum() > 0 else 2),
        ("float", lambda x: float(x.sum())),
        ("repr", repr),
        ("mask", lambda x: x[x > 0]),
    ],
)
def test_reading_values_is_refused_at_the_recording(name: str, read: Any) -> None:
    def function(x: Any) -> Any:
        y = x * 2
        read(y)  # this line is the innermost one of the caller's code in the traceback
        return y

    run = fc.capture(function)
    run(fc.ones(3))
    with pytest.raises(fc.CaptureError, match="captured function") as caught:
        run(fc.ones(3))
    lines = [entry.frame.code.name for entry in caught.traceback]
    assert "function" in lines
    assert not _C.is_recording()
    assert (fc.ones(3) * 2).numpy().tolist() == [2.0, 2.0, 2.0]


def test_arguments_that_cannot_be_compared_are_refused() -> None:
    run = fc.capture(lambda x, options: x)
    with pytest.raises(TypeError, match="unhashable"):
        run(fc.ones(3), [1])
    with pytest.raises(ValueError, match="warmup is 0"):
        fc.capture(lambda x: x, warmup=0)


def test_plain_arguments_select_recordings() -> None:
    run = fc.capture(lambda x, scale: x * scale)
    for _ in range(3):
        assert run(fc.ones(2), 2.0).numpy().tolist() == [2.0, 2.0]
        assert run(fc.ones(2), 3.0).numpy().tolist() == [3.0, 3.0]


def test_a_captured_function_inside_another_is_part_of_it() -> None:
    inner = fc.capture(lambda x: x + 1)
    outer = fc.capture(lambda x: inner(x) * 2)
    assert [outer(fc.full((1,), float(i))).item() for i in range(5)] == [2.0, 4.0, 6.0, 8.0, 10.0]


def test_saved_versions_notice_a_replay() -> None:
    weight = nn.Parameter(fc.ones(3))
    opt = optim.SGD([weight], lr=0.1)

    def step() -> Any:
        opt.zero_grad()
        (weight * weight).sum().backward()
        opt.step()

    run = fc.capture(step)
    run()
    run()
    x = fc.ones(3)
    product = x * weight
    x.requires_grad_(True)
    product = x * weight
    run()
    with pytest.raises(RuntimeError, match="modified in place"):
        product.sum().backward()


def test_what_the_host_writes_while_recording_is_out_of_reach_of_earlier_calls() -> None:
    rows, columns = np.arange(50_000) % 1000, np.arange(50_000) % 100  # their offsets are as many bytes as `freed`

    def pick(x: Any) -> Any:
        freed = (x * 2).exp()
        del freed
        return x[rows, columns] + 0

    x = fc.tensor(np.arange(100_000, dtype=np.float32).reshape(1000, 100))
    captured = fc.capture(fc.no_grad()(pick))
    for _ in range(4):
        assert np.array_equal(captured(x).numpy(), x.numpy()[rows, columns])


def test_parameters_that_first_get_a_gradient_while_recording() -> None:
    first, second = nn.Parameter(fc.ones(2, 3)), nn.Parameter(fc.ones(2, 3))
    opt = optim.SGD([first, second], lr=0.5)
    runs = []

    def step(x: Any) -> Any:
        used = [first] if not runs else [first, second]
        runs.append(len(used))
        opt.zero_grad(set_to_none=True)
        for _ in range(40):  # many small blocks are freed
            (x * 3.0).exp()
        sum(((p * x).sum() for p in used), start=fc.zeros(())).backward()
        opt.step()

    captured = fc.capture(step)
    for _ in range(5):
        captured(fc.ones(2, 3))
    assert runs == [1, 2]
    assert first.detach().numpy().tolist() == [[-1.5] * 3] * 2
    assert second.detach().numpy().tolist() == [[-1.0] * 3] * 2
