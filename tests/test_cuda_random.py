"""Random numbers and dropout on device `cuda`: the CPU's bits, states on the device, seeds, checkpoints, misuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn, random
from fastcnn import functional as F
from fastcnn.train import Trainer

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)

SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 1024, 1027, 2049]
DTYPES = [fc.float32, fc.bfloat16, fc.float64]
ids = str


def values(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return np.array((tensor.float() if tensor.dtype == fc.bfloat16 else tensor).numpy())


def both(draw: Callable[[str], Any]) -> tuple[np.ndarray, np.ndarray]:
    """The same draws on both devices, the second after another one: positions agree, too."""
    results, states = [], []
    for device in ("cpu", "cuda"):
        fc.manual_seed(0x0123456789ABCDEF)
        first, second = draw(device), draw(device)
        results.append(np.concatenate([values(first).reshape(-1), values(second).reshape(-1)]))
        states.append(random.generator_of(device).get_state().numpy().tolist())
    assert states[0] == states[1]
    return results[0], results[1]


@pytest.mark.parametrize("dtype", DTYPES, ids=ids)
@pytest.mark.parametrize("n", SIZES)
def test_uniform_numbers_have_the_cpus_bits(n: int, dtype: fc.dtype) -> None:
    want, got = both(lambda device: fc.rand(n, dtype=dtype, device=device))
    np.testing.assert_array_equal(got, want)
    want, got = both(lambda device: nn.init.uniform_(fc.empty(n, dtype=dtype, device=device), -0.3, 1.7))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=ids)
@pytest.mark.parametrize("n", SIZES)
def test_normal_numbers(n: int, dtype: fc.dtype) -> None:
    want, got = both(lambda device: nn.init.normal_(fc.empty(n, dtype=dtype, device=device), 1.0, 0.5))
    if dtype == fc.float64:
        np.testing.assert_allclose(got, want, rtol=1e-14)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=ids)
@pytest.mark.parametrize("n", [1, 2, 5, 8, 1027])
def test_truncated_normal_numbers(n: int, dtype: fc.dtype) -> None:
    want, got = both(lambda device: nn.init.trunc_normal_(fc.empty(n, dtype=dtype, device=device), 0.2, 1.5, -1, 0.9))
    assert got.min() >= -1
    assert got.max() <= 0.9
    np.testing.assert_allclose(got, want, rtol={fc.float64: 1e-13, fc.float32: 1e-6}.get(dtype, 1e-2))


@pytest.mark.parametrize("dtype", DTYPES, ids=ids)
@pytest.mark.parametrize("n", SIZES)
def test_bernoulli_and_integers_have_the_cpus_bits(n: int, dtype: fc.dtype) -> None:
    p = fc.linspace(0, 1, n) if n > 1 else fc.full((n,), 0.5)
    if dtype != fc.bfloat16:
        want, got = both(lambda device: fc.bernoulli(p.to(dtype).to(device)))
        np.testing.assert_array_equal(got, want)
    want, got = both(lambda device: fc.randint(-5, 1 << 40, (n,), device=device))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1023, 1024, 1025, 1026, 2500])
def test_permutations_are_the_cpus(n: int) -> None:
    want, got = both(lambda device: fc.randperm(n, device=device))
    np.testing.assert_array_equal(got, want)


def test_unaligned_memory() -> None:
    for dtype in (fc.float32, fc.bfloat16):
        whole = fc.zeros(40, dtype=dtype, device="cuda")
        part = fc.Tensor(whole._data.view_at(3, (30,), "row_major"))
        fc.manual_seed(1)
        nn.init.uniform_(part)
        fc.manual_seed(1)
        np.testing.assert_array_equal(values(part), values(fc.rand(30, dtype=dtype)))
        everything = values(whole)
        assert not everything[:3].any()
        assert not everything[33:].any()


@pytest.mark.parametrize("p", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 1023, 2047, 2048, 4096, 4101])
def test_dropout_drops_what_the_cpu_drops(n: int, p: float) -> None:
    x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    results: list[list[np.ndarray]] = []
    for device in ("cpu", "cuda"):
        fc.manual_seed(3)
        input = fc.tensor(x).to(device).requires_grad_(True)
        F.dropout(input.detach(), 0.5)
        y = F.dropout(input, p)
        y.backward(fc.tensor(2 * x).to(device))
        results.append([values(y), values(input.grad)])
        mask = _C.dropout(fc.tensor(x).to(device)._data, p, random.default_state(device))[1]
        results[-1].append(np.array(_C.to_device(mask, _C.device("cpu")).numpy()))
        results[-1].append(values(random.generator_of(device).get_state()))
    for want, got in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 2048, 4099])
def test_bfloat16_dropout_drops_what_float32_drops(n: int) -> None:
    x = fc.ones(n)
    fc.manual_seed(3)
    want = values(F.dropout(x, 0.25))
    fc.manual_seed(3)
    input = x.bfloat16().to("cuda").requires_grad_(True)
    y = F.dropout(input, 0.25)
    y.backward(fc.ones(n).bfloat16().to("cuda"))
    np.testing.assert_array_equal(values(y) != 0, want != 0)
    np.testing.assert_array_equal(values(input.grad), values(y))


def test_replayed_launches_draw_new_numbers() -> None:
    x = fc.ones(1000).to("cuda")
    _C.begin_recording()
    y = F.dropout(x)
    recording = _C.end_recording()
    first = values(y)
    recording.replay()
    assert (values(y) != first).any()


def test_every_generator_is_seeded() -> None:
    def draws() -> list[bytes]:
        return [values(fc.rand(5, device=device)).tobytes() for device in ("cpu", "cuda")]

    fc.manual_seed(11)
    first = draws()
    assert first[0] == first[1]
    second = draws()
    assert second != first
    fc.manual_seed(11)
    assert draws() == first
    fc.cuda.manual_seed(12)
    assert fc.initial_seed() == 11
    assert draws()[0] == second[0]
    fc.cuda.manual_seed_all(11)
    assert draws()[1] == first[1]
    fc.cuda.manual_seed(2)
    drawn = fc.seed()
    assert random.generator_of("cuda").initial_seed() == drawn == fc.initial_seed()


def test_states_are_saved_and_restored() -> None:
    fc.rand(9, device="cuda")
    state = fc.cuda.get_rng_state()
    assert (state.shape, str(state.device)) == ((2,), "cpu")
    want = values(fc.rand(9, device="cuda"))
    fc.cuda.set_rng_state(state)
    np.testing.assert_array_equal(values(fc.rand(9, device="cuda")), want)
    everything = random.all_states()
    assert list(everything) == ["cpu", "cuda:0"]
    want = values(fc.rand(9, device="cuda"))
    random.set_all_states(everything | {"cuda:99": state})  # a GPU that this machine does not have
    np.testing.assert_array_equal(values(fc.rand(9, device="cuda")), want)


def test_generators_of_ones_own() -> None:
    generator = fc.Generator("cuda").manual_seed(4)
    a = values(fc.rand(3, generator=generator, device="cuda"))
    fc.manual_seed(4)
    np.testing.assert_array_equal(a, values(fc.rand(3)))
    assert generator.initial_seed() == 4
    assert fc.randperm(5, generator=generator).is_cuda
    with pytest.raises(ValueError, match=r"generator is on cuda:0, but the tensor is on cpu"):
        fc.rand(3, generator=generator)
    with pytest.raises(ValueError, match=r"generator is on cpu, but the tensor is on cuda:0"):
        fc.rand(3, generator=fc.Generator(), device="cuda")
    with pytest.raises(ValueError, match=r"randperm: device is cpu"):
        fc.randperm(3, generator=generator, device="cpu")


def test_checkpoints_hold_every_generator(tmp_path: Any) -> None:
    fc.manual_seed(3)
    fc.rand(5, device="cuda")
    x = np.zeros((8, 2), np.float32)
    data = (x, np.zeros(8, np.int64))

    def trainer() -> Trainer:
        model = nn.Linear(2, 2)
        return Trainer(model, fc.optim.SGD(model.parameters(), lr=0.1))

    run = trainer()
    run.fit(data, epochs=1, out=tmp_path, batch_size=4)
    want = values(fc.rand(5, device="cuda"))
    fc.manual_seed(99)
    trainer().fit(data, epochs=1, out=tmp_path, batch_size=4, resume=True)
    np.testing.assert_array_equal(values(fc.rand(5, device="cuda")), want)
