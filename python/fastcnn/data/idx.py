"""Readers of the idx format, in which MNIST and its relatives are published.

Two zero bytes, a type code, the number of dimensions, the dimensions as big-endian uint32, then the values, big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """Reads an idx file, gzipped or not, of any element type and number of dimensions.

    Returns:
        The array, in the machine's byte order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an idx file, truncated, or corrupt; the message names the file and the byte counts.
    """
    path = Path(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is truncated or corrupt ({len(content)} gzipped bytes): {error}") from None
    if len(content) < 4:
        raise ValueError(f"{path} is not an idx file: {len(content)} bytes, but its header alone has at least 4")
    if content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise ValueError(
            f"{path} is not an idx file: it starts with {content[:4].hex(' ')}, but 00 00, a type code "
            f"({', '.join(f'{code:02x}' for code in _TYPES)}) and the number of dimensions are expected"
        )
    dtype, rank = np.dtype(_TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{path} is truncated: {len(content)} bytes, but the header for {rank} dimensions has {start}")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "is truncated" if len(content) < expected else "has trailing bytes"
        raise ValueError(f"{path} {what}: shape {shape} needs {expected} bytes, but there are {len(content)}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
