"""Completeness: every kernel binding and every public function is reached by a case table, or tested elsewhere."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn import functional as F
from tests import walk
from tests.cases import all_ops

TESTS = Path(__file__).parent

# Kernels that no table can describe (they write in place, draw random numbers or return no tensor), and the file that
# tests them through the Python API.
ELSEWHERE = {
    "test_capture.py": "is_recording",
    "test_composed_optimizers.py": "empty_outside_recordings",
    "test_fusion.py": "batch_norm_normalize",
    "test_conv2d_algorithms.py": "conv2d_algorithms",
    "test_cuda.py": """cuda_build cuda_device_count cuda_empty_cache cuda_fail_next_call cuda_memory_stats
        cuda_properties cuda_reset_max_memory_allocated cuda_stream cuda_synchronize cuda_why_unavailable""",
    "test_cuda_conv2d.py": "conv2d_forward_statistics cuda_force_gemm",
    "test_bench.py": "copy_peak fma_peak mma_peak",
    "test_packed_weights.py": "derived_bytes",
    "test_core.py": """accumulate_ active_isa begin_recording best_isa copy_ cpu_has_bf16 cpu_has_vnni empty
        empty_cache empty_like end_recording fail_nth_allocation generator_state get_precision memory_stats num_threads
        num_threads_source reset_max_memory_allocated running_pool_threads set_isa set_num_threads set_precision
        to_layout write_ zero_ zeros""",
    "test_clip_grad.py": "clamp_grads_ grad_norm scale_grads_",
    "test_dlpack.py": "from_dlpack to_dlpack",
    "test_guarded_memory.py": "guard_allocations",
    "test_indexing.py": "index_write_ slice_write",
    "test_loader.py": "image_batch",
    "test_optim.py": "adagrad_step adam_step rmsprop_step sgd_step",
    "test_optim_state.py": "refresh_masters",
    "test_random.py": "bernoulli full fill_ normal_ philox4x32 randint_ randperm trunc_normal_ uniform_",
    "test_dropout.py": "dropout dropout_backward",
    "test_elementwise.py": "broadcast_shapes promote_types result_type",
    "walk.py": "poison_allocations",
}


class Reached:
    """Python code and C functions that ran."""

    def __init__(self) -> None:
        self.code: set[CodeType] = set()
        self.builtins: set[str] = set()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self.code.add(frame.f_code)
        elif event == "c_call" and getattr(arg, "__module__", None) == _C.__name__:
            self.builtins.add(arg.__name__)

    @contextmanager
    def watch(self) -> Iterator[None]:
        previous = sys.getprofile()
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(previous)


def run_tables(dtype: str) -> Reached:
    """Every small case of every table, forward and backward, watched."""
    reached = Reached()
    for op in all_ops():
        for case in op.cases:
            if walk.is_small(op, case):
                with reached.watch():
                    walk.forward(op, case, dtype)
                    if case.grad and op.differentiable:
                        walk.gradients(op, case, dtype)
    return reached


@pytest.fixture(scope="module")
def reached() -> Reached:
    return run_tables("float32")


def test_every_kernel_is_reached_by_a_table_or_tested_elsewhere(reached: Reached) -> None:
    kernels = {n for n in dir(_C) if not n.startswith(("_", "emulator_")) and inspect.isbuiltin(getattr(_C, n))}
    elsewhere = {name for names in ELSEWHERE.values() for name in names.split()}
    assert sorted(kernels - reached.builtins - elsewhere) == []
    assert sorted(elsewhere - kernels) == []
    assert [file for file in ELSEWHERE if not (TESTS / file).exists()] == []


def test_every_public_function_is_reached_by_a_table_or_named_in_a_test(reached: Reached) -> None:
    found = {name: getattr(F, name) for name in F.__all__} | {name: getattr(fc, name) for name in fc.__all__}
    functions = {n: f for n, f in found.items() if inspect.isfunction(f) and f.__module__.startswith("fastcnn.")}
    missing = {name for name, f in functions.items() if f.__code__ not in reached.code}
    tests = "".join(path.read_text() for path in TESTS.glob("test_*.py") if path.name != Path(__file__).name)
    assert sorted(name for name in missing if not re.search(rf"\b{name}[(,]", tests)) == []


def test_case_ids_are_unique_and_words_of_errors_are_given() -> None:
    ops = list(all_ops())
    assert len({op.name for op in ops}) == len(ops)
    for op in ops:
        ids = [case.id for case in op.cases]
        assert len(set(ids)) == len(ids), f"{op.name}: {sorted({i for i in ids if ids.count(i) > 1})}"
        assert all(case.words for case in op.errors), op.name
        assert set(op.differentiable) <= {name for case in op.cases for name in case.args}, op.name


def test_tables_have_an_oracle() -> None:
    """A table without any reference compares fastcnn with itself only."""
    without = [op.name for op in all_ops() if op.reference is None and op.torch is None]
    assert without == []
