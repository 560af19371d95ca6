"""Downloads: only when asked, checked, resumable, and published whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """A file on the internet and the checksum its publisher gives for it."""

    url: str
    algorithm: str  # "sha256", "md5", ...
    checksum: str


def fetch(source: Source, path: str | os.PathLike[str], timeout: float = 30.0) -> Path:
    """Downloads `source` to `path` unless a file with its checksum is there already.

    The bytes go to `<path>.part`, where an interrupted download continues (HTTP Range); only a complete file with the
    right checksum is renamed to `path`.

    Raises:
        ConnectionError: the server cannot be reached or breaks off; call again to continue.
        ValueError: the complete file has another checksum; it is deleted.
    """
    path = Path(path)
    if path.is_file() and _checksum(path, source.algorithm) == source.checksum:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    print(f"downloading {source.url}", file=sys.stderr)
    try:
        _transfer(source.url, part, timeout)
    except OSError as error:  # URLError is one
        done = part.stat().st_size if part.exists() else 0
        reason = error if hasattr(error, "code") else getattr(error, "reason", error)
        raise ConnectionError(
            f"downloading {source.url} failed after {done:,} bytes: {reason}; run the command again to continue"
        ) from None
    found = _checksum(part, source.algorithm)
    if found != source.checksum:
        size = part.stat().st_size
        part.unlink()
        raise ValueError(
            f"{source.url}: {source.algorithm} is {found}, but {source.checksum} is expected ({size:,} bytes, deleted)"
        )
    os.replace(part, path)
    return path


def _transfer(url: str, part: Path, timeout: float) -> None:
    import urllib.error
    import urllib.request

    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing is left to send: the checksum decides
            return
        raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        remaining = response.headers.get("Content-Length")
        expected = file.tell() + int(remaining) if remaining else None
        while block := response.read(1 << 18):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        if expected is not None and file.tell() < expected:
            raise ConnectionError(f"the connection broke off at {file.tell():,} of {expected:,} bytes")


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
