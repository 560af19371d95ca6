"""NumPy files, and the table of data sets that have a name."""

from __future__ import annotations

import difflib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .cifar import load_cifar10
from .dataset import Dataset, Splits
from .mnist import load_fashion_mnist, load_mnist, load_mnist5k

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_PUBLISHED = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist, "cifar10": load_cifar10}
DATASETS = ("mnist5k", *_PUBLISHED)


def load_npz(path: str | os.PathLike[str]) -> Splits:
    """Images and labels from an .npz file with the keys x_train, y_train, x_test, y_test, as Keras uses them.

    Images are uint8 or floating-point, (N, H, W), (N, C, H, W) or (N, H, W, C); four axes are read as (N, H, W, C)
    when the last has 1, 3 or 4 elements and the second has not. Labels are integers (N,) or (N, 1).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an .npz file, keys missing, pickled objects inside, or shapes that do not fit.
    """
    path = Path(path)
    try:
        arrays = _read_keys(path)
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a usable .npz file: {error}") from None
    x_train, y_train, x_test, y_test = arrays
    train_images, test_images = _as_images(x_train), _as_images(x_test)
    top = max((int(y.max(initial=-1)) for y in (y_train, y_test) if np.issubdtype(y.dtype, np.integer)), default=-1)
    classes = tuple(str(i) for i in range(top + 1))
    train = Dataset(train_images, y_train, classes, name=f"{path.name} train")
    test = Dataset(test_images, y_test, classes, train.mean, train.std, f"{path.name} test")
    if train.sample_shape != test.sample_shape:
        raise ValueError(f"{path}: training images are {train.sample_shape}, but test images are {test.sample_shape}")
    return Splits(train, test)


def _read_keys(path: Path) -> list[np.ndarray[Any, Any]]:
    with path.open("rb") as stream:
        file = np.load(stream, allow_pickle=False)
        held = file.files if hasattr(file, "files") else ["a single array"]
        missing = [key for key in _KEYS if key not in held]
        if missing:
            raise ValueError(
                f"it lacks {', '.join(missing)}: it holds {', '.join(held) or 'nothing'}, but {', '.join(_KEYS)} are "
                f"expected (np.savez)"
            )
        return [file[key] for key in _KEYS]


def _as_images(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype in (np.float64, np.float16):
        array = array.astype(np.float32)
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        return array.transpose(0, 3, 1, 2)
    return array


def load_dataset(name: str, data_dir: str | os.PathLike[str] | None = None, download: bool = False) -> Splits:
    """A data set by name, or an .npz file by path.

    Args:
        name: mnist5k, mnist, fashion-mnist, cifar10, or the path of an .npz file.
        data_dir: folder with the files; by default `$FASTCNN_DATA/<name>`, or `data/<name>`. mnist5k needs none.
        download: fetch what is missing.

    Raises:
        ValueError: unknown name; the message suggests the closest one.
        FileNotFoundError: files are missing.
    """
    if name == "mnist5k":
        return load_mnist5k()
    if name.endswith(".npz"):
        return load_npz(Path(data_dir or "", name))
    if name not in _PUBLISHED:
        close = difflib.get_close_matches(name, DATASETS, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"unknown data set {name!r}: {', '.join(DATASETS)} or an .npz file are known{hint}")
    folder = Path(data_dir) if data_dir is not None else Path(os.environ.get("FASTCNN_DATA", "data"), name)
    return _PUBLISHED[name](folder, download)
