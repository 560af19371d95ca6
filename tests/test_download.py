"""Downloads from a local server: checked, resumed, published whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastcnn.data import cifar, mnist
from fastcnn.data.download import Source, fetch

CONTENT = bytes(range(256)) * 400


class Server(ThreadingHTTPServer):
    ranges = True  # whether the server honours Range
    break_after: int | None = None  # bytes after which the next response breaks off
    requests: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted or "all")
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT) if self.server.break_after is None else self.server.break_after
        self.server.break_after = None
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def source(server: Server, checksum: str = hashlib.sha256(CONTENT).hexdigest(), name: str = "file") -> Source:
    return Source(f"http://127.0.0.1:{server.server_address[1]}/{name}", "sha256", checksum)


def test_fetch_downloads_once(server: Server, tmp_path: Path) -> None:
    path = fetch(source(server), tmp_path / "new" / "x")
    assert path.read_bytes() == CONTENT
    fetch(source(server), path)
    assert server.requests == ["all"]
    assert [p.name for p in path.parent.iterdir()] == ["x"]


@pytest.mark.parametrize("ranges", [True, False])
def test_fetch_continues_where_the_connection_broke(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.break_after, server.ranges = 70_000, ranges
    path = tmp_path / "x"
    with pytest.raises(ConnectionError, match=r"70,000 of 102,400 bytes.*again to continue"):
        fetch(source(server), path)
    assert not path.exists()
    assert (tmp_path / "x.part").stat().st_size == 70_000
    fetch(source(server), path)
    assert path.read_bytes() == CONTENT
    assert server.requests == ["all", "bytes=70000-"]


def test_fetch_finishes_a_complete_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(CONTENT)
    assert fetch(source(server), tmp_path / "x").read_bytes() == CONTENT


def test_fetch_rejects_a_wrong_checksum(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sha256 is .*102,400 bytes, deleted"):
        fetch(source(server, "0" * 64), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_fetch_reports_an_unreachable_server_and_a_missing_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="404"):
        fetch(source(server, name="none"), tmp_path / "x")
    with pytest.raises(ConnectionError, match="after 0 bytes"):
        fetch(Source("http://127.0.0.1:1/x", "md5", ""), tmp_path / "x", timeout=2)


def test_loaders_fetch_only_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def fake_fetch(wanted: Source, path: Path) -> Path:
        asked.append(wanted.url)
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(mnist, "fetch", fake_fetch)
    monkeypatch.setattr(cifar, "fetch", fake_fetch)
    for load in (mnist.load_mnist, mnist.load_fashion_mnist, cifar.load_cifar10):
        with pytest.raises(FileNotFoundError):
            load(tmp_path)
        assert not asked
        with pytest.raises(ConnectionError):
            load(tmp_path, download=True)
        assert len(asked) == 1
        assert asked.pop().startswith("http")
