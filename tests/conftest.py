"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, random

ISAS = ("scalar", "avx2", "avx512")
SUPPORTED_ISAS = ISAS[: ISAS.index(_C.best_isa()) + 1]


# Shells start background jobs with Ctrl-C ignored, which Python inherits; tests of interrupted runs need its default.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sample", type=int, default=1, metavar="N", help="run every Nth test only, for slow checkers")
    parser.addoption("--guard", action="store_true", help="tensors end at memory whose use ends the process")


def pytest_configure(config: pytest.Config) -> None:
    _C.guard_allocations(config.getoption("--guard"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    step = config.getoption("--sample")
    if step > 1:
        config.hook.pytest_deselected(items=[item for i, item in enumerate(items) if i % step])
        items[:] = items[::step]


@pytest.fixture(params=["cpu"])
def device(request: pytest.FixtureRequest) -> str:
    """Every device at hand."""
    return str(request.param)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set this CPU runs, forced in turn."""
    if request.param not in SUPPORTED_ISAS:
        pytest.skip(f"this CPU does not run {request.param}: its best is {_C.best_isa()}")
    before = _C.active_isa()
    _C.set_isa(request.param)
    assert _C.active_isa() == request.param
    yield request.param
    _C.set_isa(before)


@pytest.fixture(autouse=True)
def fixed_state() -> Iterator[None]:
    """Every test starts from the same random state and leaves threads and gradient mode as they were."""
    random.manual_seed(0)
    threads = _C.num_threads()
    yield
    _C.fail_nth_allocation(0)
    _C.set_num_threads(threads)
    assert fc.is_grad_enabled(), "the test left gradients switched off"


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator, seeded."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def trained_lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stripes.npz and, in run/, a LeNet that `fastcnn train` trained on it; to be read only."""
    from fastcnn.cli import main
    from tests.command_line import SMALL
    from tests.small_data import write_npz

    folder = tmp_path_factory.mktemp("cli")
    npz = write_npz(folder / "stripes.npz")
    assert main(["train", "--data", str(npz), "--out", str(folder / "run"), *SMALL]) == 0
    return folder


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, the optional second oracle."""
    return pytest.importorskip("torch", reason="PyTorch is not installed: the second oracle is skipped")
