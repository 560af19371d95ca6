"""CIFAR-10, in its binary and in its pickled ("python") version.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Dataset, Splits
from .download import Source, fetch

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_BINARY, _PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"
_TRAIN, _TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
_ARCHIVE = Source("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "md5", "c32a1d4ab5d03f1284b67883e8d87530")
_PIXELS = 3 * 32 * 32


def load_cifar10(data_dir: str | os.PathLike[str], download: bool = False) -> Splits:
    """CIFAR-10: 50,000 + 10,000 colour photographs, 32 x 32, 10 classes.

    Args:
        data_dir: folder that holds (or is) cifar-10-batches-bin or cifar-10-batches-py.
        download: fetch the binary version into `data_dir` if neither is there (162 MB).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is truncated or corrupt, or a pickle holds anything but arrays, bytes, strings and lists.
    """
    data_dir = Path(data_dir)
    for folder, read, end in ((_BINARY, _read_binary, ".bin"), (_PYTHON, _read_python, "")):
        for root in (data_dir / folder, data_dir):
            if (root / (_TEST[0] + end)).is_file():
                parts = [[read(root / (name + end)) for name in names] for names in (_TRAIN, _TEST)]
                (images, labels), (test_images, test_labels) = (
                    (_channels_last(np.concatenate([p[0] for p in part])), np.concatenate([p[1] for p in part]))
                    for part in parts
                )
                train = Dataset(images, labels, _CLASSES, name="cifar10 train")
                return Splits(train, Dataset(test_images, test_labels, _CLASSES, train.mean, train.std, "cifar10 test"))
    if not download:
        raise FileNotFoundError(
            f"cifar10: neither {_BINARY} nor {_PYTHON} found in {data_dir}; give the folder that holds one of them, or "
            f"download it (--download, or download=True)"
        )
    archive = fetch(_ARCHIVE, data_dir / "cifar-10-binary.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(data_dir, filter="data")
    return load_cifar10(data_dir)


def _channels_last(planes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(N, 3072) rows as (N, 3, 32, 32) images whose memory is channels-last, like every fastcnn tensor's."""
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _read_binary(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if content.size == 0 or content.size % (1 + _PIXELS):
        raise ValueError(
            f"{path} is truncated or corrupt: {content.size} bytes, but a multiple of {1 + _PIXELS} (label and image) "
            "is expected"
        )
    rows = content.reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode(encoding)


class _ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and built-in containers. Nothing else can be named, so nothing else can run."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 spells bytes
            return _encode
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _read_python(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        batch = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        images, labels = np.asarray(fields["data"]), np.asarray(fields["labels"])
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"{path} is not a CIFAR-10 batch, or it is corrupt: {error or type(error).__name__}") from None
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != _PIXELS or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{path}: images are {images.dtype} {images.shape} and labels {labels.shape}, but uint8 (N, {_PIXELS}) and "
            "(N,) are expected"
        )
    return images, labels.astype(np.int64)
