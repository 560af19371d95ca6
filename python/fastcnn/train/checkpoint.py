"""Checkpoints: everything a run needs to continue as if it had never stopped, in one safetensors file.

The file's tensors are the state's tensors, named by their paths ("optimizer.state.0.exp_avg"); the JSON in its header
is the rest of the state. One SHA-256 covers both, and the file replaces the previous one atomically
(`fastcnn.serialization`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..serialization import read, save
from ..tensor import Tensor

_FORMAT = 1


def save_checkpoint(
    path: str | os.PathLike[str], state: Mapping[str, Any], about: Mapping[str, Any] | None = None
) -> None:
    """Writes nested dicts, lists and tuples of tensors, arrays, numbers, strings and None.

    Args:
        path: file to replace.
        state: what `load_checkpoint` will return.
        about: JSON-serialisable facts about the run, readable without the state.

    Raises:
        TypeError: the state holds something else; the message names its path.
        OSError: the file cannot be written; the old one is unchanged.
    """
    tensors: dict[str, Any] = {}
    tree = _pack(dict(state), "", tensors)
    save(tensors, path, {"kind": "checkpoint", "format": _FORMAT, "state": tree, "about": dict(about or {})})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what `save_checkpoint` wrote.

    Returns:
        (state, about); tensors are `Tensor`s on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, damaged, not a checkpoint, or from a newer version.
    """
    tensors, metadata, verified = read(path)
    if not verified or metadata.get("kind") != "checkpoint":
        raise ValueError(
            f"{os.fspath(path)} holds no training checkpoint (weights alone cannot be resumed from), or it is damaged"
        )
    if metadata["format"] != _FORMAT:
        raise ValueError(
            f"{os.fspath(path)} has checkpoint format {metadata['format']}, but this fastcnn reads format {_FORMAT}; "
            "install the version that wrote it"
        )
    state: dict[str, Any] = _unpack(metadata["state"], tensors)
    return state, metadata["about"]


def _pack(value: Any, path: str, tensors: dict[str, Any]) -> Any:
    """`value` as JSON; tensors move to `tensors` and leave a reference."""
    if isinstance(value, Tensor | np.ndarray):
        tensors[path] = value
        return {"$tensor": path}
    if isinstance(value, Mapping):
        items = [(key, _pack(item, f"{path}.{key}" if path else str(key), tensors)) for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return dict(items)
        for key in value:
            if not isinstance(key, str | int):
                raise TypeError(
                    f"checkpoint: {path} has a key of type {type(key).__name__}, but str or int is expected"
                )
        return {"$dict": [list(item) for item in items]}
    if isinstance(value, list | tuple):
        packed = [_pack(item, f"{path}.{i}", tensors) for i, item in enumerate(value)]
        return packed if isinstance(value, list) else {"$tuple": packed}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"checkpoint: {path} is {type(value).__name__}, but tensors, arrays, numbers, strings, None and dicts, lists "
        "and tuples of them can be saved"
    )


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if isinstance(value, dict):
        if "$tensor" in value:
            return tensors[value["$tensor"]]
        if "$dict" in value:
            return {key: _unpack(item, tensors) for key, item in value["$dict"]}
        if "$tuple" in value:
            return tuple(_unpack(item, tensors) for item in value["$tuple"])
        return {key: _unpack(item, tensors) for key, item in value.items()}
    return value
