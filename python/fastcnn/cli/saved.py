"""Trained models as `eval` and `predict` open them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..models import create_model
from ..nn import Module
from ..ops.creation import empty
from ..serialization import model_state, read
from ..train.run import CHECKPOINT
from ..train.trainer import BEST, FINAL


class SavedModel(NamedTuple):
    """A model with the facts stored beside its weights."""

    path: Path
    model: Module
    about: dict[str, Any]


def check_device(device: str) -> None:
    """Raises ValueError, saying why, unless tensors can be put on `device`."""
    empty(0, device=device)


def load_model(path: str, device: str = "cpu") -> SavedModel:
    """Rebuilds the model in a file written by `fastcnn train`, or in a run's folder, on a device.

    Raises:
        FileNotFoundError: no such file, or no model in the folder.
        ValueError: the file is damaged, or does not say which model it holds; or there is no such device.
    """
    check_device(device)
    file = Path(path)
    if file.is_dir():
        candidates = [file / name for name in (FINAL, BEST, CHECKPOINT) if (file / name).is_file()]
        if not candidates:
            raise FileNotFoundError(f"{file} holds none of {FINAL}, {BEST}, {CHECKPOINT}; is it the folder of a run?")
        file = candidates[0]
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such file; fastcnn train writes {FINAL} to its --out folder")
    metadata = read(file).metadata
    about = metadata.get("about", metadata)
    if "model" not in about:
        raise ValueError(
            f"{file} does not say which model it holds; load it with fastcnn.models.create_model(NAME, "
            f"weights={str(file)!r})"
        )
    model = create_model(about["model"]["name"], **about["model"]["arguments"])
    model.load_state_dict(model_state(file))
    model.to(device).eval()
    return SavedModel(file, model, about)
