"""`DataLoader`: batches in an order that depends on (seed, epoch) only, resumable at any batch."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import _C
from ..tensor import Tensor, from_numpy
from .dataset import Dataset

_sample = threading.local()


class DataLoader:
    """Iterates over batches of tensors; each pass is one epoch.

    In-memory data (a `Dataset` or arrays) is gathered and normalised by a native kernel on fastcnn's own threads. Any
    other object with `__len__` and `__getitem__` is read sample by sample on `num_threads` Python threads, a few
    batches ahead. There are no worker processes.

    The order of an epoch depends on `seed` and the epoch's number only. `state_dict()`, also in mid-epoch, lets another
    loader continue with the very next batch.

    Args:
        dataset: a `Dataset`; a tuple of arrays of equal length; or an object with `__len__` and `__getitem__`. uint8
            arrays with four axes (N, C, H, W) become float32 in [0, 1]; other arrays keep their dtype.
        batch_size: samples in a batch.
        shuffle: draw a new order every epoch.
        drop_last: leave out a last batch with fewer samples.
        seed: of the orders, and of `sample_generator()`.
        num_threads: Python threads that read samples; by default as many as fastcnn uses. In-memory data needs none.
        collate_fn: makes a batch from a list of samples; by default `default_collate`.

    Raises:
        TypeError: `dataset` is none of the above.
        ValueError: sizes that make no sense.

    Example:
        >>> import numpy as np
        >>> loader = DataLoader((np.zeros((10, 1, 4, 4), np.uint8), np.arange(10)), batch_size=4)
        >>> [tuple(x.shape) for x, y in loader]
        [(4, 1, 4, 4), (4, 1, 4, 4), (2, 1, 4, 4)]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        num_threads: int | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}, but at least 1 is expected")
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"DataLoader: num_threads is {num_threads}, but at least 1 is expected")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0  # of the next pass
        self._num_threads = num_threads
        self._collate = collate_fn or default_collate
        self._next_batch = 0  # of the pass under way
        self._resuming = False
        self._columns: list[_Column] | None = None
        if collate_fn is None and isinstance(dataset, Dataset):
            self._columns = [_ImageColumn(dataset.images, *dataset.affine), _Column(dataset.labels)]
        elif (
            collate_fn is None
            and isinstance(dataset, tuple)
            and all(isinstance(a, np.ndarray | Tensor) for a in dataset)
        ):
            self._columns = [_column(array) for array in dataset]
            lengths = [len(column) for column in self._columns]
            if len(set(lengths)) != 1:
                raise ValueError(f"DataLoader: the arrays have {lengths} samples, but equal numbers are expected")
        elif not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"DataLoader: dataset is {type(dataset).__name__}, but a Dataset, a tuple of arrays or an object with "
                f"__len__ and __getitem__ is expected"
            )
        self.num_samples = len(self._columns[0]) if self._columns else len(dataset)

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(self.num_samples, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> np.ndarray[Any, Any]:
        """The order of the samples in an epoch, int64 (num_samples,)."""
        if not self.shuffle:
            return np.arange(self.num_samples)
        # Sorting Philox words instead of Generator.permutation: NumPy promises the former's bits for all versions.
        words = np.random.Philox(key=[self.seed % 2**64, epoch]).random_raw(self.num_samples)
        return np.argsort(words, kind="stable")

    def __iter__(self) -> Iterator[Any]:
        if not self._resuming:
            if self._next_batch:  # the previous pass was abandoned
                self.epoch += 1
            self._next_batch = 0
        self._resuming = False
        order = self.order(self.epoch)
        first, last = self._next_batch, len(self)
        indices = (order[b * self.batch_size : (b + 1) * self.batch_size] for b in range(first, last))
        batches = self._gather(indices) if self._columns else self._read(indices)
        for batch in batches:
            self._next_batch += 1
            yield batch
        self.epoch += 1
        self._next_batch = 0

    def _gather(self, indices: Iterator[np.ndarray[Any, Any]]) -> Iterator[tuple[Tensor, ...]]:
        assert self._columns is not None
        for index in indices:
            raw = from_numpy(index)._data
            yield tuple([column.take(index, raw) for column in self._columns])

    def _read(self, indices: Iterator[np.ndarray[Any, Any]]) -> Iterator[Any]:
        threads = self._num_threads or _C.num_threads()
        ahead: deque[list[Future[Any]]] = deque()
        # A pool per pass: threads do not survive a fork, and an abandoned pass must not leave any behind.
        pool = ThreadPoolExecutor(threads, thread_name_prefix="fastcnn-loader")
        owner = os.getpid()
        try:
            exhausted = False
            while ahead or not exhausted:
                while not exhausted and len(ahead) < 3:
                    index = next(indices, None)
                    exhausted = index is None
                    if index is not None:
                        ahead.append([pool.submit(self._load_sample, self.epoch, int(i)) for i in index])
                if ahead:
                    yield self._collate([sample.result() for sample in ahead.popleft()])
                if os.getpid() != owner:
                    raise RuntimeError(
                        "DataLoader: the process forked in mid-epoch; start a new iteration in the child"
                    )
        finally:
            if os.getpid() == owner:
                pool.shutdown(wait=True, cancel_futures=True)

    def _load_sample(self, epoch: int, index: int) -> Any:
        _sample.key = (self.seed, epoch, index)
        _sample.generator = None
        try:
            return self.dataset[index]
        except Exception as error:
            error.add_note(f"while DataLoader read sample {index} of {type(self.dataset).__name__}")
            raise
        finally:
            _sample.key = None

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: the next batch it would give, and what fixes the order."""
        return {
            "epoch": self.epoch,
            "batch": self._next_batch,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "num_samples": self.num_samples,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next pass continue where the loader that gave `state` was.

        Raises:
            ValueError: this loader's data or settings differ, so the order would not be the same.
        """
        own = self.state_dict()
        differing = [
            f"{key} is {own[key]}, was {state.get(key)}"
            for key in own
            if key not in ("epoch", "batch") and own[key] != state.get(key)
        ]
        if differing:
            raise ValueError(f"DataLoader.load_state_dict: cannot continue: {'; '.join(differing)}")
        self.epoch, self._next_batch = int(state["epoch"]), int(state["batch"])
        self._resuming = True
        if self._next_batch >= len(self):
            self.epoch, self._next_batch = self.epoch + 1, 0


class _Column:
    """One array of an in-memory data set."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, index: np.ndarray[Any, Any], raw_index: _C.Tensor) -> Tensor:
        return from_numpy(self.array[index])


class _ImageColumn(_Column):
    """Images (N, C, H, W): gathered, converted to float32 and normalised in one native pass."""

    def __init__(self, array: np.ndarray[Any, Any], scale: np.ndarray[Any, Any], shift: np.ndarray[Any, Any]) -> None:
        super().__init__(array)
        self._images = from_numpy(array)._data
        self._scale, self._shift = from_numpy(scale)._data, from_numpy(shift)._data

    def take(self, index: np.ndarray[Any, Any], raw_index: _C.Tensor) -> Tensor:
        return Tensor(_C.image_batch(self._images, raw_index, self._scale, self._shift))


def _column(array: np.ndarray[Any, Any] | Tensor) -> _Column:
    if isinstance(array, Tensor):
        array = array.detach().numpy()
    if array.ndim == 0:
        raise ValueError("DataLoader: an array has no sample axis (shape ())")
    if array.ndim == 4 and array.dtype in (np.uint8, np.float32):
        unit = 255.0 if array.dtype == np.uint8 else 1.0
        channels = array.shape[1]
        return _ImageColumn(array, np.full(channels, 1 / unit, np.float32), np.zeros(channels, np.float32))
    return _Column(array)


def sample_generator() -> np.random.Generator:
    """The random generator of the sample being read: call it in `__getitem__` for augmentation.

    Its numbers depend on the loader's seed, the epoch and the sample's index only: never the same for two samples, the
    same in every run, whichever thread reads the sample.

    Raises:
        RuntimeError: not called while a `DataLoader` reads a sample.

    Example:
        >>> class Noise:
        ...     def __len__(self): return 4
        ...     def __getitem__(self, index): return sample_generator().random(2, dtype=np.float32)
        >>> len(list(DataLoader(Noise(), batch_size=2)))
        2
    """
    key = getattr(_sample, "key", None)
    if key is None:
        raise RuntimeError("sample_generator: only a dataset's __getitem__, called by a DataLoader, has one")
    if _sample.generator is None:
        seed, epoch, index = key
        _sample.generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch], counter=[0, 0, index, 1]))
    generator: np.random.Generator = _sample.generator
    return generator


def default_collate(samples: Sequence[Any]) -> Any:
    """Stacks samples into a batch: arrays and tensors along a new first axis, containers element by element.

    Python integers become int64, floats float32; strings stay a list.

    Raises:
        ValueError: samples of unequal shapes or lengths; the message names the first that differs.
        TypeError: samples of a type that cannot be stacked.
    """
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        for i, sample in enumerate(samples):
            if len(sample) != len(first):
                raise ValueError(
                    f"collate: sample {i} of the batch has {len(sample)} elements, but sample 0 has {len(first)}"
                )
        return tuple(default_collate(column) for column in zip(*samples, strict=True))
    if isinstance(first, str | bytes):
        return list(samples)
    if isinstance(first, Tensor):
        samples = [sample.detach().numpy() for sample in samples]
        first = samples[0]
    if isinstance(first, np.ndarray):
        for i, sample in enumerate(samples):
            if np.shape(sample) != first.shape:
                raise ValueError(
                    f"collate: sample {i} of the batch has shape {np.shape(sample)}, but sample 0 has {first.shape}; "
                    "make them equal in __getitem__, or pass collate_fn"
                )
        return from_numpy(np.stack(samples))
    if isinstance(first, float):
        return from_numpy(np.asarray(samples, np.float32))
    if isinstance(first, bool | int | np.generic):
        return from_numpy(np.asarray(samples))
    raise TypeError(
        f"collate: samples are {type(first).__name__}, but arrays, tensors, numbers, strings, tuples, lists or dicts "
        "of them are expected; pass collate_fn"
    )
