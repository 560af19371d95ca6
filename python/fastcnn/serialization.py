"""Tensors in safetensors files: checksummed, written atomically, never pickled.

A file is the old one or the new one, whole: `save` writes beside it, syncs, renames and syncs the folder. The header's
`__metadata__` holds one entry, "fastcnn": a JSON object with the caller's metadata and a SHA-256 over everything that
the file says. Any safetensors reader opens these files, and `load` opens any safetensors file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from . import _C
from .tensor import Tensor, from_numpy

_DTYPES = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_NUMPY = {tag: np.dtype("<u2" if tag == "BF16" else name).newbyteorder("<") for name, tag in _DTYPES.items()}
_KEY = "fastcnn"


class _Entry(NamedTuple):
    tag: str  # safetensors' name of the dtype
    array: np.ndarray[Any, Any]  # bfloat16: its bits as uint16


class TensorFile(NamedTuple):
    """What `read` found."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    verified: bool  # whether the file carried a checksum (which then was right)


def save(
    state: Mapping[str, Tensor | np.ndarray[Any, Any]] | Any, path: str | os.PathLike[str], metadata: Any = None
) -> None:
    """Writes tensors to a safetensors file, atomically: after a crash or a full disk the old file is still there.

    Args:
        state: name -> tensor or array, e.g. `model.state_dict()`; or a module, meaning its state_dict.
        path: the file to write, conventionally `*.safetensors`.
        metadata: a JSON-serialisable mapping kept with the tensors.

    Raises:
        TypeError: something else than tensors and arrays, e.g. an optimizer's nested state (use `fastcnn.train.Trainer`
            or save its parts).
        OSError: the file cannot be written; an existing one is unchanged.

    Example:
        >>> import tempfile, os, numpy as np, fastcnn as fc
        >>> path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
        >>> fc.save({"weight": np.ones((2, 3), np.float32)}, path)
        >>> fc.load(path)["weight"].shape
        (2, 3)
    """
    if hasattr(state, "state_dict"):
        state = state.state_dict()
    if not isinstance(state, Mapping):
        raise TypeError(
            f"save: state is {type(state).__name__}, but a mapping of names to tensors is expected, e.g. "
            "model.state_dict()"
        )
    content = _encode({name: _to_entry(name, value) for name, value in state.items()}, dict(metadata or {}))
    with atomic_write(path) as file:
        for part in content:
            file.write(part)


def load(
    path: str | os.PathLike[str],
    device: _C.device | str | None = None,
    *,
    map_location: _C.device | str | None = None,
) -> dict[str, Tensor]:
    """Reads all tensors of a safetensors file written by `save` or by any other library.

    Args:
        path: the file.
        device: where to put the tensors; the CPU by default, wherever they were when they were saved.
        map_location: torch's name of `device`.

    Returns:
        name -> tensor, in the file's order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged, or not safetensors (pickled `.pt`/`.pth` files are named as such).
    """
    return read(path, map_location if device is None else device).tensors


def read(path: str | os.PathLike[str], device: _C.device | str | None = None) -> TensorFile:
    """Reads a safetensors file with its metadata and checks it; see `load`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged or not safetensors.
    """
    path = Path(path)
    entries, header = _decode(path)
    metadata: dict[str, Any] = {}
    verified = False
    if _KEY in header:
        try:
            metadata = json.loads(header[_KEY])
            checksum = metadata.pop("sha256")
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(f"{path} is damaged: its metadata cannot be read") from None
        if checksum != _checksum(entries, metadata):
            raise ValueError(f"{path} is damaged: its SHA-256 does not match its contents; use another copy")
        verified = True
    tensors = {name: _to_tensor(entry, device) for name, entry in entries.items()}
    return TensorFile(tensors, metadata, verified)


def model_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The model's state_dict in a file: all tensors, or a training checkpoint's model.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged or not safetensors.
    """
    tensors, metadata, _ = read(path)
    if metadata.get("kind") != "checkpoint":
        return tensors
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path`, whole, when the block ends without an exception; else nothing changes.

    Raises:
        OSError: it cannot be written (no such folder, disk full, ...).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _to_entry(name: str, value: Any) -> _Entry:
    if not isinstance(name, str):
        raise TypeError(f"save: the name {name!r} is {type(name).__name__}, but str is expected")
    if isinstance(value, Tensor):
        value = value.detach()
        if value.device.type != "cpu":
            value = value.cpu()
        if value.dtype == _C.bfloat16:
            return _Entry("BF16", (value.float().numpy().view(np.uint32) >> 16).astype("<u2", order="C"))
        value = value.numpy()
    tag = _DTYPES.get(value.dtype.name) if isinstance(value, np.ndarray | np.generic) else None
    if tag is None:
        kind = f"an array of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
        raise TypeError(f"save: {name} is {kind}, but a tensor or a numeric array is expected")
    return _Entry(tag, np.asarray(value).astype(_NUMPY[tag], order="C", copy=False))


def _to_tensor(entry: _Entry, device: _C.device | str | None) -> Tensor:
    if entry.tag == "BF16":
        widened = (entry.array.astype(np.uint32) << 16).view(np.float32)
        return from_numpy(widened).to(_C.bfloat16).to(device or "cpu")
    return from_numpy(entry.array, device)


def _checksum(entries: Mapping[str, _Entry], metadata: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(entries):
        tag, array = entries[name]
        digest.update(json.dumps([name, tag, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# The library's writer puts metadata in random order and does not take NumPy's bfloat16 bits, so equal states would not
# give equal files. The format is a length, a JSON header and the bytes.
def _encode(entries: Mapping[str, _Entry], metadata: dict[str, Any]) -> Iterator[bytes | memoryview]:
    metadata = json.loads(json.dumps(metadata))  # what a reader will see: the checksum covers exactly that
    header: dict[str, Any] = {
        "__metadata__": {_KEY: json.dumps({**metadata, "sha256": _checksum(entries, metadata)}, sort_keys=True)}
    }
    # Widest elements first keeps every tensor aligned.
    order = sorted(entries, key=lambda name: (-entries[name].array.itemsize, name))
    offset = 0
    for name in order:
        tag, array = entries[name]
        header[name] = {"dtype": tag, "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield np.ascontiguousarray(entries[name].array).reshape(-1).view(np.uint8).data


def _decode(path: Path) -> tuple[dict[str, _Entry], dict[str, str]]:
    import safetensors

    if path.is_dir():
        raise ValueError(f"{path} is a folder, but a safetensors file is expected")
    content = path.read_bytes()
    if content[:2] in (b"PK", b"\x80\x02"):
        raise ValueError(
            f"{path} is a pickled PyTorch file, which can run code when opened; in PyTorch, write it again with "
            f"safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        )
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > 100_000_000:
        raise ValueError(f"{path} is not a safetensors file ({len(content)} bytes), or it is damaged")
    if 8 + length > len(content):
        raise ValueError(
            f"{path} is truncated: its header ends at byte {8 + length}, but the file has {len(content)} bytes"
        )
    try:
        header = json.loads(content[8 : 8 + length])
        end = 8 + length + max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError(f"{path} is not a safetensors file, or it is damaged: its header cannot be read") from None
    if end > len(content):
        raise ValueError(f"{path} is truncated: {end} bytes are expected, but the file has {len(content)}")
    try:
        # checks offsets, sizes and overlaps
        parsed: Any = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or it is damaged: {error}") from None
    entries = {}
    for name, part in sorted(parsed, key=lambda item: item[0]):
        if part["dtype"] not in _NUMPY:
            raise ValueError(f"{path}: tensor {name} has dtype {part['dtype']}, but {', '.join(_NUMPY)} are supported")
        entries[name] = _Entry(part["dtype"], np.frombuffer(part["data"], _NUMPY[part["dtype"]]).reshape(part["shape"]))
    return entries, header.get("__metadata__") or {}
