"""Devices: tensors, modules, files, memory, events and errors on device `cuda`, a GPU or the emulated one."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn, optim
from fastcnn import functional as F
from fastcnn.train import Trainer
from tests.test_package import run_python

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)

emulated = fc.cuda.is_emulated()


def on_cuda(*shape: int, **more: Any) -> fc.Tensor:
    return fc.tensor(np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32), device="cuda", **more)


# Tensors


def test_names_of_devices() -> None:
    x = fc.tensor([1.0, 2.0], device="cuda")
    assert x.is_cuda
    assert x.device == "cuda" == fc.device("cuda:0")
    assert x.device.type == "cuda"
    assert x.device.index == 0
    assert str(x.device) == "cuda:0"
    assert not x.cpu().is_cuda
    assert x.cuda() is x.cuda(0) is x.cuda("cuda:0") is x.to("cuda") is x.to(x.device) is x
    assert fc.tensor([1]).cuda(0).device == "cuda"
    with pytest.raises(ValueError, match="'cpu', but 'cuda'"):
        x.cuda("cpu")
    with pytest.raises(ValueError, match="numbered from 0"):
        x.cuda(-1)
    count = fc.cuda.device_count()
    with pytest.raises(ValueError, match=f"device cuda:{count}: this machine has {count} usable GPU"):
        x.cuda(count)


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64, fc.bfloat16, fc.int64, fc.uint8, fc.bool_], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3, 4), (2, 3, 4, 5)], ids=str)
def test_values_survive_the_way_to_the_gpu_and_back(dtype: Any, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape).astype(np.float32)
    here = fc.tensor(values).to(dtype)
    there = here.to("cuda")
    assert (there.device, there.dtype, there.shape) == ("cuda", dtype, shape)
    assert there._data.layout == here._data.layout
    back = there.cpu()
    assert back.device == "cpu"
    assert back.tolist() == here.tolist() == there.tolist()


def test_large_copies_pass_through_the_staging_buffers() -> None:
    values = np.arange((5 << 20) + 3, dtype=np.int64)  # 40 MB: several rounds of the double buffer
    np.testing.assert_array_equal(fc.tensor(values, device="cuda").cpu().numpy(), values)


def test_row_major_tensors_keep_their_layout() -> None:
    row_major = fc.from_dlpack(np.arange(24.0).reshape(2, 3, 4))
    assert row_major._data.layout == row_major.cuda()._data.layout == row_major.cuda().cpu()._data.layout == "row_major"
    assert row_major.cuda().tolist() == row_major.tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda **d: fc.zeros(2, 3, **d),
        lambda **d: fc.ones(2, 3, **d),
        lambda **d: fc.full((2, 3), 7, **d),
        lambda **d: fc.full((2,), 0.5, dtype=fc.bfloat16, **d),
        lambda **d: fc.arange(2, 8, 3, **d),
        lambda **d: fc.arange(0, 1, 0.25, **d),
        lambda **d: fc.linspace(0, 1, 5, **d),
        lambda **d: fc.eye(3, 4, **d),
        lambda **d: fc.tensor([[1, 2], [3, 4]], **d),
        lambda **d: fc.tensor([0.5, 1.5], dtype=fc.bfloat16, **d),
        lambda **d: fc.tensor(fc.tensor([1.0]), **d),
        lambda **d: fc.from_numpy(np.arange(3, dtype=np.int16), **d),
    ],
)
def test_creation_on_a_device(make: Callable[..., fc.Tensor]) -> None:
    here, there = make(), make(device="cuda")
    assert there.device == "cuda"
    assert there.dtype == here.dtype
    assert there.tolist() == here.tolist()


def test_new_tensors_like_others_stay_on_their_device() -> None:
    x = on_cuda(2, 3)
    for y in (fc.empty_like(x), fc.zeros_like(x), fc.ones_like(x), fc.full_like(x, 2)):
        assert y.device == "cuda"
    assert fc.zeros_like(x, device="cpu").device == "cpu"


def test_moving_casts_where_fewer_bytes_travel_and_gives_the_same_values() -> None:
    x = fc.tensor(np.linspace(-3, 3, 12))
    for dtype in (fc.float32, fc.bfloat16, fc.int64):
        assert x.to("cuda", dtype).tolist() == x.to(dtype).tolist()
    pixels = fc.tensor(np.arange(6, dtype=np.uint8))
    assert pixels.to(device="cuda", dtype=fc.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert x.to(fc.tensor([1.0], device="cuda")).dtype == fc.float32


def test_gradients_move_back() -> None:
    x = fc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x.to("cuda")
    assert not y.is_leaf
    (y * fc.tensor([1.0, 10.0, 100.0], device="cuda")).sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [1.0, 10.0, 100.0]
    leaf = fc.tensor([2.0], device="cuda", requires_grad=True)
    (leaf.cpu() * 3.0).backward()
    assert leaf.grad is not None
    assert leaf.grad.device == "cuda"
    assert leaf.grad.item() == 3.0


def test_values_are_read_through_item_tolist_and_print() -> None:
    x = fc.tensor([[1.0, 2.5]], device="cuda")
    assert x[0, 1].item() == 2.5
    assert float(x[0, 1]) == 2.5
    assert int(fc.tensor(3, device="cuda")) == 3
    assert bool(fc.tensor(True, device="cuda"))
    assert x.tolist() == [[1.0, 2.5]]
    assert repr(x) == "tensor([[1. , 2.5]], device='cuda:0')"
    assert "device='cuda:0', requires_grad=True" in repr(x.requires_grad_())
    assert f"{fc.tensor(1.5, device='cuda'):.2f}" == "1.50"
    assert [value.item() for value in fc.tensor([1.0, 2.0], device="cuda")] == [1.0, 2.0]


def test_numpy_needs_the_cpu() -> None:
    x = on_cuda(3)
    for read in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.add(x.numpy(), 1)):
        with pytest.raises(TypeError, match=r"cuda:0; move it with \.cpu\(\)"):
            read()


def test_copies_and_pickles_stay_on_their_device() -> None:
    x = on_cuda(2, 3, requires_grad=True)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.device == "cuda"
        assert twin.requires_grad
        assert twin.tolist() == x.tolist()
    assert x.detach().clone().device == "cuda"


# Mixed devices

HERE, THERE = fc.tensor(np.ones((2, 3), np.float32)), on_cuda(2, 3)
IMAGE_HERE, IMAGE_THERE = fc.ones(2, 3, 6, 5), on_cuda(2, 3, 6, 5)
WEIGHT_HERE = fc.ones(4, 3, 3, 3)
LABELS_HERE, LABELS_THERE = fc.tensor([0, 1]), fc.tensor([0, 1], device="cuda")
MIXED: dict[str, Callable[[], Any]] = {
    "add": lambda: THERE + HERE,
    "sub": lambda: HERE - THERE,
    "compare": lambda: THERE > HERE,
    "inplace": lambda: THERE.add_(HERE),
    "where-condition": lambda: fc.where(HERE > 0, THERE, THERE),
    "where-value": lambda: fc.where(THERE > 0, THERE, HERE),
    "matmul": lambda: THERE @ HERE.T,
    "bmm": lambda: fc.bmm(IMAGE_THERE[0], IMAGE_HERE[0].transpose(1, 2)),
    "cat": lambda: fc.cat([THERE, HERE]),
    "stack": lambda: fc.stack([HERE, THERE]),
    "gather": lambda: fc.gather(THERE, 1, fc.tensor([[0], [1]])),
    "index_select": lambda: fc.index_select(THERE, 0, LABELS_HERE),
    "assign": lambda: THERE.__setitem__(0, HERE[0]),
    "linear": lambda: F.linear(THERE, fc.ones(4, 3)),
    "linear-bias": lambda: F.linear(THERE, on_cuda(4, 3), fc.ones(4)),
    "conv2d": lambda: F.conv2d(IMAGE_THERE, WEIGHT_HERE),
    "conv2d-bias": lambda: F.conv2d(IMAGE_THERE, WEIGHT_HERE.cuda(), fc.ones(4)),
    "batch_norm": lambda: F.batch_norm(IMAGE_THERE, fc.zeros(3), fc.ones(3), training=True),
    "batch_norm-weight": lambda: F.batch_norm(IMAGE_THERE, None, None, fc.ones(3), fc.ones(3), training=True),
    "cross_entropy": lambda: F.cross_entropy(THERE, LABELS_HERE),
    "cross_entropy-weight": lambda: F.cross_entropy(THERE, LABELS_THERE, fc.ones(3)),
    "nll_loss": lambda: F.nll_loss(THERE, LABELS_HERE),
    "mse_loss": lambda: F.mse_loss(THERE, HERE),
    "prelu": lambda: F.prelu(IMAGE_THERE, fc.ones(3)),
    "copy_": lambda: _C.copy_(THERE._data, HERE._data),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_devices_are_refused(name: str) -> None:
    before = THERE.tolist()
    with pytest.raises(ValueError, match=r"cpu.*cuda:0|cuda:0.*cpu"):
        MIXED[name]()
    assert THERE.tolist() == before


def test_gradients_must_be_on_the_tensors_device() -> None:
    x = on_cuda(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"gradient is on cpu, but the tensor is on cuda:0"):
        (x * 2).backward(fc.ones(3))
    with pytest.raises(ValueError, match=r"grad: value is on cpu, but the tensor is on cuda:0"):
        x.grad = fc.ones(3)


# Modules, optimizers and files


def small_model() -> nn.Sequential:
    fc.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))


def test_module_moves_parameters_buffers_and_gradients() -> None:
    model = small_model()
    model(fc.ones(2, 1, 6, 6)).sum().backward()
    assert model.to("cuda") is model
    tensors = [*model.parameters(), *model.buffers()]
    assert {str(t.device) for t in tensors} == {"cuda:0"}
    assert {str(p.grad.device) for p in model.parameters() if p.grad is not None} == {"cuda:0"}
    assert model.cpu().cuda().cuda(0)[0].weight.device == "cuda"
    assert {str(t.device) for t in model.cpu().state_dict().values()} == {"cpu"}


def test_state_moves_between_devices(tmp_path: Path) -> None:
    model, twin = small_model().cuda(), small_model()
    for p in model.parameters():
        p.data.fill_(0.5)
    twin.load_state_dict(model.state_dict())
    assert twin[0].weight.device == "cpu"
    assert set(twin[0].weight.flatten().tolist()) == {0.5}
    model.load_state_dict({name: np.zeros(t.shape, np.float32) for name, t in model.state_dict().items()})
    assert model[0].weight.device == "cuda"
    assert set(model[0].weight.flatten().tolist()) == {0.0}

    fc.save({"w": on_cuda(2, 3), "b": on_cuda(3).bfloat16()}, tmp_path / "x.safetensors")
    assert fc.load(tmp_path / "x.safetensors")["w"].device == "cpu"
    for loaded in (
        fc.load(tmp_path / "x.safetensors", "cuda"),
        fc.load(tmp_path / "x.safetensors", map_location="cuda:0"),
    ):
        assert loaded["w"].device == loaded["b"].device == "cuda"
        assert loaded["b"].dtype == fc.bfloat16
        assert loaded["w"].tolist() == on_cuda(2, 3).tolist()


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
def test_optimizer_follows_the_parameters_and_its_state_can_be_loaded(make: Any) -> None:
    def trained(device: str, moved_after: bool) -> tuple[list[Any], Any]:
        w = fc.tensor(np.linspace(-1, 1, 7).astype(np.float32), requires_grad=True)
        holder = nn.Module()
        holder.w = nn.Parameter(w.detach())
        if not moved_after:
            holder.to(device)
        optimizer = make(holder.parameters(), lr=0.1)
        holder.to(device)
        for _ in range(3):
            optimizer.zero_grad()
            (holder.w * holder.w).sum().backward()
            optimizer.step()
        assert holder.w.device == device
        return holder.w.tolist(), optimizer

    expected, reference = trained("cpu", False)
    for moved_after in (False, True):
        values, optimizer = trained("cuda", moved_after)
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    optimizer.load_state_dict(reference.state_dict())
    reference.load_state_dict(optimizer.state_dict())


def test_trainer_trains_where_the_model_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (24, 1, 6, 6), dtype=np.uint8)
    y = (x.mean((1, 2, 3)) > 127).astype(np.int64)
    records = {}
    for device in ("cpu", "cuda"):
        model = small_model().to(device)
        trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.05))
        assert trainer.device == device
        history = trainer.fit((x, y), test=(x, y), epochs=2, batch_size=8, out=tmp_path / device, progress=False)
        records[device] = history[-1]
        assert trainer.predict(x[:5]).shape == (5, 3)
    assert records["cuda"]["train_loss"] == pytest.approx(records["cpu"]["train_loss"], rel=1e-3)
    # a checkpoint made on one device continues on the other
    model = small_model()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.05))
    trainer.fit((x, y), epochs=3, batch_size=8, resume=tmp_path / "cuda" / "checkpoint.safetensors", progress=False)
    assert len(trainer.history) == 3
    assert Trainer(small_model(), None, device="cuda").device == "cuda"


# The device itself


def test_properties() -> None:
    properties = fc.cuda.get_device_properties()
    assert properties == fc.cuda.get_device_properties("cuda:0")
    assert fc.cuda.get_device_name(0) == properties.name
    assert fc.cuda.get_device_capability() == (properties.major, properties.minor)
    assert properties.total_memory > 1 << 20
    assert properties.multi_processor_count > 0
    assert fc.cuda.current_device() == 0


def test_memory_statistics() -> None:
    fc.cuda.synchronize()
    before = fc.cuda.memory_allocated()
    x = fc.empty(1 << 18, device="cuda")
    assert fc.cuda.memory_allocated() == before + (1 << 20)
    assert fc.cuda.memory_reserved() >= fc.cuda.memory_allocated()
    assert fc.cuda.memory_stats()["allocations"] > 0
    del x
    assert fc.cuda.memory_allocated() == before
    assert fc.cuda.max_memory_allocated() >= before + (1 << 20)
    fc.cuda.reset_peak_memory_stats()
    assert fc.cuda.max_memory_allocated() == before
    fc.cuda.empty_cache()


def test_out_of_memory_is_a_memory_error_and_leaves_nothing_behind() -> None:
    before = fc.cuda.memory_allocated()
    with pytest.raises(MemoryError, match=r"cuda:0 is out of memory: \d+ bytes"):
        fc.empty(1 << 45, device="cuda")
    _C.fail_nth_allocation(1)
    with pytest.raises(MemoryError, match="cuda"):
        fc.empty(5, device="cuda")
    assert fc.cuda.memory_allocated() == before
    assert fc.empty(5, device="cuda").shape == (5,)


def test_events_measure_time() -> None:
    start, end = fc.cuda.Event(enable_timing=True), fc.cuda.Event(enable_timing=True)
    start.synchronize()
    with pytest.raises(ValueError, match="must have been recorded"):
        start.elapsed_time(end)
    start.record()
    fc.zeros(1000, device="cuda")
    end.record()
    end.synchronize()
    assert 0 <= start.elapsed_time(end) < 10_000
    with pytest.raises(ValueError, match="enable_timing"):
        fc.cuda.Event().elapsed_time(end)


def wait_for(function: Any, *args: Any) -> None:
    function(*args)
    fc.cuda.synchronize()


def test_labels_out_of_range_are_reported_when_waiting() -> None:
    scores = on_cuda(3, 4)
    for labels, row, value in (([0, 4, 1], 1, 4), ([-1, 0, 1], 0, -1)):
        with pytest.raises(ValueError, match=rf"target\[{row}\].* is {value}, but labels from 0 to 3"):
            wait_for(F.cross_entropy, scores, fc.tensor(labels, device="cuda"))  # at a later launch, or when waiting
        fc.cuda.synchronize()  # reported once
        with pytest.raises(ValueError, match="target"):
            F.cross_entropy(scores, fc.tensor(labels, device="cuda")).item()
    assert F.cross_entropy(scores, fc.tensor([0, 3, 1], device="cuda")).item() > 0  # the device works on


LOST = """
import fastcnn as fc
from fastcnn import _C
x = fc.ones(3, device="cuda")
event = fc.cuda.Event()
event.record()
_C.cuda_fail_next_call()
calls = [lambda: x + 1, lambda: x.cpu(), lambda: fc.zeros(2, device="cuda"), fc.cuda.synchronize, event.record,
         fc.cuda.empty_cache, lambda: print(x), lambda: fc.tensor([1.0]).cuda()]
for call in calls:
    try:
        call()
    except fc.cuda.DeviceLostError as error:
        assert isinstance(error, RuntimeError)
        assert "restart it from a checkpoint" in str(error), error
    else:
        raise SystemExit("not refused")
assert fc.ones(3).sum().item() == 3  # the CPU works on
x + 1
"""


def test_after_a_sticky_error_everything_is_refused() -> None:
    done = run_python(LOST)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("fastcnn.cuda.DeviceLostError: the GPU was lost by an earlier error (")


# Sharing


@pytest.mark.skipif(not emulated, reason="a GPU's memory can be shared")
def test_the_emulated_device_is_never_shared_as_a_gpu() -> None:
    x = on_cuda(3)
    with pytest.raises(BufferError, match="emulated"):
        x.__dlpack_device__()
    with pytest.raises(BufferError, match="emulated"):
        x.__dlpack__()
    with pytest.raises(ValueError, match="emulated"):
        _C.cuda_stream(0)
    np.testing.assert_array_equal(np.from_dlpack(x.cpu()), x.cpu().numpy())

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(ValueError, match="only the CPU can be shared"):
        fc.from_dlpack(Elsewhere())


@pytest.mark.skipif(emulated, reason="the emulated device cannot be shared")
def test_torch_shares_gpu_memory_both_ways() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA")
    x = on_cuda(2, 3, 4, 5)
    theirs = torch.from_dlpack(x)
    assert theirs.data_ptr() == x.data_ptr()
    np.testing.assert_array_equal(theirs.cpu().numpy(), x.cpu().numpy())
    ours = fc.from_dlpack(theirs * 2)
    assert ours.device == "cuda"
    np.testing.assert_array_equal(ours.cpu().numpy(), 2 * x.cpu().numpy())
    strided = torch.arange(12.0, device="cuda").reshape(3, 4).T
    assert fc.from_dlpack(strided).tolist() == strided.tolist()
    del theirs, ours


@pytest.mark.skipif(not fc.cuda.is_emulated(), reason="the emulated device can be of any architecture")
def test_gpu_without_bfloat16_tensor_cores_computes_in_float32_and_says_why_not_in_bfloat16() -> None:
    code = """
import fastcnn as fc
from fastcnn import functional as F

def gradients(dtype, groups):
    x = fc.ones(2, 8, 5, 6).to("cuda").to(dtype).requires_grad_()
    weight = fc.ones(8, 8 // groups, 3, 3).to("cuda").to(dtype).requires_grad_()
    F.conv2d(x, weight, padding=1, groups=groups).sum().backward()
    return float(weight.grad.sum().item())

for precision in ("highest", "high", "medium"):
    fc.set_precision(precision)
    print(gradients(fc.float32, 1))
print(gradients(fc.bfloat16, 8))
try: gradients(fc.bfloat16, 1)
except TypeError as error: print(error)
"""
    environment = os.environ | {"FASTCNN_EMULATED_ARCH": "75"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    pixels = (3 * 5 - 2) * (3 * 6 - 2)  # pairs of a tap and an output pixel
    assert [float(line) for line in lines[:3]] == [2 * 64 * pixels] * 3
    assert float(lines[3]) == pytest.approx(2 * 8 * pixels, rel=2**-7)
    assert "bfloat16 products need a GPU of compute capability 8.0" in lines[4]
    assert "has 7.5; use float32" in lines[4]
