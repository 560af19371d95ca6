"""Data sets in memory or read by threads, and batches of them."""

from .arrays import DATASETS, load_dataset, load_npz
from .batch_size import BatchSizeScheduler
from .cifar import load_cifar10
from .crops import five_crop, ten_crop
from .dataset import Dataset, Splits
from .idx import read_idx
from .loader import DataLoader, default_collate, sample_generator
from .mixup import mixup
from .mnist import load_fashion_mnist, load_mnist, load_mnist5k

__all__ = [
    "DATASETS",
    "BatchSizeScheduler",
    "DataLoader",
    "Dataset",
    "Splits",
    "default_collate",
    "five_crop",
    "load_cifar10",
    "load_dataset",
    "load_fashion_mnist",
    "load_mnist",
    "load_mnist5k",
    "load_npz",
    "mixup",
    "read_idx",
    "sample_generator",
    "ten_crop",
]
