"""safetensors files and checkpoints: every damage detected or harmless, the old file or the new one, never a pickle."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import serialization
from fastcnn.train import load_checkpoint, save_checkpoint

ARRAYS = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "count": np.array(7),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3)),
}
STATE = {
    "model": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "optimizer": {"state": {0: {"step": 3, "buffer": np.ones(2)}, 1: {}}, "param_groups": [{"betas": (0.9, 0.999)}]},
    "scheduler": None,
    "run": {"loss_sum": 0.1 + 0.2, "best": float("-inf"), "names": ["a", "b"], "flag": True, "score": np.float32(0.5)},
}


def same(a: Any, b: Any) -> bool:
    """Equality of nested states, types included; tensors compare with arrays."""
    if isinstance(a, fc.Tensor | np.ndarray):
        a, b = (x.numpy() if isinstance(x, fc.Tensor) else x for x in (a, b))
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


# Weights ------------------------------------------------------------------------------------------------------


def test_save_and_load_return_the_same_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    fc.save(ARRAYS, path, {"note": "é", "sizes": (1, 2)})
    assert same(dict(sorted(ARRAYS.items())), fc.load(path))
    assert serialization.read(path).metadata == {"note": "é", "sizes": [1, 2]}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_equal_states_give_equal_files(tmp_path: Path) -> None:
    fc.save(ARRAYS, tmp_path / "a", {"x": 1, "y": 2})
    fc.save(dict(reversed(ARRAYS.items())), tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bfloat16_keeps_its_bits(tmp_path: Path) -> None:
    tensor = fc.tensor([1.0, -2.5, float("inf"), 3.140625, float("nan")]).to(fc.bfloat16)
    fc.save({"x": tensor}, tmp_path / "x")
    loaded = fc.load(tmp_path / "x")["x"]
    assert loaded.dtype == fc.bfloat16
    np.testing.assert_array_equal(loaded.float().numpy(), tensor.float().numpy())


def test_files_move_to_and_from_the_safetensors_library(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    fc.save(ARRAYS, tmp_path / "ours")
    assert same(ARRAYS, load_file(tmp_path / "ours"))
    save_file(ARRAYS, tmp_path / "theirs", {"format": "np"})
    assert same(ARRAYS, fc.load(tmp_path / "theirs"))
    assert not serialization.read(tmp_path / "theirs").verified


def test_save_takes_modules_and_strided_arrays(tmp_path: Path) -> None:
    model = fc.nn.Linear(3, 2)
    fc.save(model, tmp_path / "x")
    assert same(model.state_dict()["weight"], fc.load(tmp_path / "x")["weight"])
    array = np.arange(12.0).reshape(3, 4)
    fc.save({"t": array.T, "big": array.astype(">f8"), "back": array[::-1]}, tmp_path / "x")
    loaded = fc.load(tmp_path / "x")
    assert same(array.T, loaded["t"])
    assert same(array, loaded["big"])
    assert same(array[::-1], loaded["back"])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([1], ("list", "mapping")),
        ({"x": "text"}, ("x is str",)),
        ({"x": {"y": 1}}, ("x is dict",)),
        ({"x": np.array([1j])}, ("complex128",)),
        ({3: np.ones(2)}, ("name 3 is int",)),
    ],
)
def test_save_rejects_what_is_no_tensor(tmp_path: Path, state: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(TypeError) as error:
        fc.save(state, tmp_path / "x")
    for word in words:
        assert word in str(error.value)
    assert not list(tmp_path.iterdir())


# Damage -------------------------------------------------------------------------------------------------------


def write_weights(path: Path) -> None:
    fc.save({"w": np.float32([[1, 2]]), "n": np.array(5)}, path, {"k": 1})


def write_checkpoint(path: Path) -> None:
    save_checkpoint(path, {"w": np.float32([1, 2, 3]), "step": 5}, {"k": 1})


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (write_weights, lambda path: serialization.read(path)[:2]),
        (write_checkpoint, load_checkpoint),
    ],
    ids=["weights", "checkpoint"],
)
def test_every_truncation_and_bit_flip_is_detected_or_harmless(
    tmp_path: Path, write: Callable[[Path], None], read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "file"
    write(path)
    content, expected = path.read_bytes(), read(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="file"):
            read(path)
    detected = 0
    for i in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[i] ^= 1 << bit
            path.write_bytes(changed)
            try:
                tensors, facts = read(path)
            except ValueError:
                detected += 1
                continue
            # What remains: white space, or (weights only) a renamed metadata key; the tensors are as they were.
            assert same(expected[0], tensors)
            assert facts in (expected[1], {})
    assert detected > 0.95 * 8 * len(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("0 bytes",)),
        (b"PK\x03\x04" + bytes(20), ("pickled PyTorch file", "safetensors.torch.save_file")),
        (pickle.dumps({"a": 1}, protocol=2), ("pickled PyTorch file",)),
        (b"\xff" * 16, ("not a safetensors file",)),
        ((2).to_bytes(8, "little") + b"[]", ("header",)),
        ((2**26).to_bytes(8, "little") + b"{}", ("truncated", "10 bytes")),
    ],
    ids=["empty", "zip", "pickle", "length", "list", "cut"],
)
def test_load_says_what_is_wrong_with_other_files(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt") as error:
        fc.load(path)
    for word in words:
        assert word in str(error.value)


def test_load_checks_offsets_shapes_and_types(tmp_path: Path) -> None:
    def write(entry: str, data: bytes = bytes(8)) -> Path:
        text = ('{"x":' + entry + "}").encode()
        path = tmp_path / "x"
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return path

    for entry in (
        '{"dtype":"F32","shape":[3],"data_offsets":[0,8]}',  # shape and bytes disagree
        '{"dtype":"F32","shape":[2],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[2],"data_offsets":[4,12]}',  # beyond the end
        '{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,8]}',  # the product overflows
        '{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}',
        '{"dtype":"XYZ","shape":[2],"data_offsets":[0,8]}',
        '{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}',  # known to the format, not to fastcnn
        '{"shape":[2]}',
    ):
        with pytest.raises(ValueError, match="x"):
            fc.load(write(entry))
    assert fc.load(write('{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'))["x"].shape == (2,)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        fc.load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="folder"):
        fc.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        fc.save(ARRAYS, tmp_path / "no" / "folder")


# Checkpoints --------------------------------------------------------------------------------------------------


def test_checkpoint_returns_nested_states_exactly(tmp_path: Path) -> None:
    path = tmp_path / "c"
    save_checkpoint(path, STATE, {"classes": ["a"]})
    state, about = load_checkpoint(path)
    assert same(STATE, state)
    assert about == {"classes": ["a"]}
    assert same(STATE["model"]["w"], serialization.model_state(path)["w"])  # type: ignore[index]


def test_checkpoint_rejects_what_it_cannot_return(tmp_path: Path) -> None:
    for state, words in (({"a": {"b": object()}}, "a.b is object"), ({"a": {(1, 2): 3}}, "a has a key of type tuple")):
        with pytest.raises(TypeError, match=words):
            save_checkpoint(tmp_path / "c", state)


def test_weights_are_no_checkpoint_and_the_future_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(tmp_path / "w")
    with pytest.raises(ValueError, match="no training checkpoint"):
        load_checkpoint(tmp_path / "w")
    monkeypatch.setattr("fastcnn.train.checkpoint._FORMAT", 2)
    write_checkpoint(tmp_path / "c")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format 2, but this fastcnn reads format 1"):
        load_checkpoint(tmp_path / "c")


# Atomicity ----------------------------------------------------------------------------------------------------


class FullDisk:
    """A file that takes so many bytes, then reports a full disk."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, content: bytes) -> int:
        view = memoryview(content).cast("B")
        self.file.write(view[: self.room])
        self.room -= len(view)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()


@pytest.mark.parametrize("room", [0, 1, 100, 600])
def test_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    path = tmp_path / "c"
    write_checkpoint(path)
    before = path.read_bytes()
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode="r", *rest, **more: FullDisk(real(self, mode, *rest, **more), room)
    )
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, STATE)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_system_calls_leave_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "c"
    write_checkpoint(path)
    before = path.read_bytes()

    def fail(*arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output"):
        save_checkpoint(path, STATE)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


CRASH = """
import os, sys
from fastcnn.train import save_checkpoint
calls, crash_at, path = 0, int(sys.argv[1]), sys.argv[2]

def crashing(real):
    def call(*arguments):
        global calls
        calls += 1
        if calls == crash_at:
            os._exit(9)
        return real(*arguments)
    return call

os.fsync, os.replace = crashing(os.fsync), crashing(os.replace)
save_checkpoint(path, {"step": 2})
"""


@pytest.mark.parametrize(("crash_at", "survivor"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_crash_at_any_system_call_leaves_a_whole_checkpoint(tmp_path: Path, crash_at: int, survivor: int) -> None:
    """Writing in place loses both the old and the new file when the process dies (bug class 27)."""
    path = tmp_path / "c"
    save_checkpoint(path, {"step": 1})
    result = subprocess.run([sys.executable, "-c", CRASH, str(crash_at), str(path)], check=False)
    assert result.returncode == (9 if crash_at < 4 else 0)
    assert load_checkpoint(path)[0] == {"step": survivor}
    save_checkpoint(path, {"step": 3})  # what the crash left behind is no obstacle
    assert load_checkpoint(path)[0] == {"step": 3}


def test_write_order_is_sync_rename_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (events.append(Path(os.readlink(f"/proc/self/fd/{number}")).name), sync(number))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), replace(a, b)))
    write_checkpoint(tmp_path / "c")
    assert events[0].endswith(".tmp")
    assert events[1:] == ["rename", tmp_path.name]
